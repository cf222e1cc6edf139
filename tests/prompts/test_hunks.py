"""Hunks: a text's changes, in parts that can be taken back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.prompts.hunks import find_hunks, with_hunks

LINE = st.sampled_from(
    [
        *("", "Answer.", "- one", "- two", "  more", "Input: x", "Output: y", "and so on"),
        *("```", "# H", "## D", "<example>", "</example>", "<rules>", "</rules>"),
    ]
)
TEXT = st.lists(LINE, max_size=12).map("\n".join)


def added(before: str, after: str, *wholes: str) -> list[tuple[str, ...]]:
    return [hunk.new for hunk in find_hunks(before, after, wholes)]


@given(TEXT, TEXT)
def test_all_hunks_make_the_one_text_of_the_other_and_none_leaves_it(before: str, after: str):
    hunks = find_hunks(before, after)
    assert with_hunks(before, hunks) == after
    assert with_hunks(before, ()) == before


@given(TEXT, TEXT, st.data())
def test_any_of_the_hunks_can_be_left_out(before: str, after: str, data: st.DataObject):
    hunks = find_hunks(before, after)
    kept = [hunk for hunk in hunks if data.draw(st.booleans())]
    around = {frame for hunk in kept for frame in hunk.frames}
    expected = sum(len(hunk.new) - len(hunk.old) for hunk in kept)
    expected += sum(len(frame.opening) + len(frame.closing) for frame in around)
    assert len(with_hunks(before, kept).split("\n")) == len(before.split("\n")) + expected


@given(TEXT, TEXT)
def test_undivided_the_hunks_are_those_of_a_diff(before: str, after: str):
    assert with_hunks(before, find_hunks(before, after, divide=False)) == after


def test_each_added_rule_is_a_hunk_of_its_own():
    assert added("Route it.\n", "Route it.\nUse lower case.\nOne word.\n- Be brief.\n- No dot.\n") == [
        ("Use lower case.",),
        ("One word.",),
        ("- Be brief.",),
        ("- No dot.",),
    ]


def test_rules_without_a_full_stop_are_hunks_of_their_own():
    assert added("Route it.\n", "Route it.\nUse lower case\nAnswer with one word\n") == [
        ("Use lower case",),
        ("Answer with one word",),
    ]


def test_a_wrapped_sentence_a_nested_list_and_a_fence_stay_whole():
    wrapped = ("The mark of every fruit, of all those kinds that are sold in", "Germany and France, is FRU.")
    nested = ("- Marks:", "  - FRU", "  - CIT")
    fenced = ("```", "One.", "", "Two.", "```")
    after = "\n".join(["Route it.", *wrapped, *nested, "Say:", *fenced, ""])
    assert added("Route it.\n", after) == [wrapped, nested, ("Say:", *fenced)]


def test_a_paragraph_takes_the_blank_line_before_it_along():
    assert added("Route it.\n", "Route it.\n\nOne word.\n\nNo dot.\n") == [("", "One word."), ("", "No dot.")]


def test_a_question_and_its_answer_stay_together():
    assert added("Route it.\n", "Route it.\nInput: A plum.\nOutput: FRU.\n") == [("Input: A plum.", "Output: FRU.")]


def test_an_example_stays_whole_although_its_lines_look_like_rules():
    example = "My parcel is late.\n\nSend it again.\nGOODS"
    assert added("Route it.\n", f"Route it.\nOne word.\n\n{example}\n", example) == [
        ("One word.",),
        ("", "My parcel is late.", "", "Send it again.", "GOODS"),
    ]


def test_of_a_changed_line_and_added_ones_each_is_a_hunk():
    hunks = find_hunks("Rules:\n- Use lower case.\n", "Rules:\n- No dot.\n- Use lower case only.\n- One word.\n")
    assert [(hunk.old, hunk.new) for hunk in hunks] == [
        ((), ("- No dot.",)),
        (("- Use lower case.",), ("- Use lower case only.",)),
        ((), ("- One word.",)),
    ]


def test_changed_lines_are_paired():
    hunks = find_hunks("- One.\n- Two.\n", "- Eins.\n- Zwei.\n")
    assert [(hunk.old, hunk.new) for hunk in hunks] == [
        (("- One.",), ("- Eins.",)),
        (("- Two.",), ("- Zwei.",)),
    ]


def test_a_hunk_tells_its_lines():
    (hunk,) = find_hunks("Route it.\nUse a list.\n", "Route it.\nUse one word.\n")
    assert hunk.lines == ("- Use a list.", "+ Use one word.")


EXAMPLE = ("<example>", "Input: My card was charged twice.", "", "Hurry.", "Output: billing", "</example>")


def test_an_element_stays_whole_and_apart_from_what_stands_beside_it():
    after = "\n".join(["Route it.", "One word.", *EXAMPLE, "Be brief.", ""])
    assert added("Route it.\n", after) == [("One word.",), EXAMPLE, ("Be brief.",)]
    form = ("Answer in this form:", "<answer>", "the label", "</answer>")
    assert added("Route it.\n", "\n".join(["Route it.", "One word.", *form, ""])) == [("One word.",), form]
    shown = ("<example>", "- one", "- two", "</example>")
    assert added("Route it.\n", "\n".join(["Route it.", *shown, ""])) == [shown]


RULES = "<rules>\n- one\n- two\n\n- three\n</rules>\n"


def test_of_a_list_in_tags_each_item_is_a_hunk_and_the_tags_stay_with_any_of_them():
    before = "Route it.\n\nEnd.\n"
    hunks = find_hunks(before, f"Route it.\n\n{RULES}\nEnd.\n")
    assert [hunk.new for hunk in hunks] == [("- one",), ("- two",), ("", "- three")]
    for kept in (hunks[:1], hunks[1:2], hunks[::2]):
        inside = "\n".join(line for hunk in kept for line in hunk.new)
        assert with_hunks(before, kept) == f"Route it.\n\n<rules>\n{inside}\n</rules>\n\nEnd.\n"
    several = ("<example>", "a", "</example>"), ("<example>", "b", "</example>")
    text = "\n".join(["<examples>", *several[0], *several[1], "</examples>"])
    assert added("Route it.\n", f"Route it.\n{text}\n") == [*several]


def test_a_heading_stays_as_long_as_something_under_it_does():
    before, after = "Route it.\n", "Route it.\n- a\n\n## Dates\n\n- b\n- c\n### Years\n- d\n## Names\n- e\n"
    hunks = find_hunks(before, after)
    assert [hunk.new for hunk in hunks] == [("- a",), ("", "- b"), ("- c",), ("- d",), ("- e",)]
    assert with_hunks(before, hunks[:1]) == "Route it.\n- a\n"
    assert with_hunks(before, hunks[2:3]) == "Route it.\n\n## Dates\n- c\n"
    assert with_hunks(before, hunks[3:]) == "Route it.\n\n## Dates\n### Years\n- d\n## Names\n- e\n"


def test_a_heading_with_nothing_new_under_it_is_a_hunk_and_one_in_anothers_place_goes_with_it():
    assert added("- a\n", "## Rules\n- a\n") == [("## Rules",)]
    hunks = find_hunks("## Old\n- a\n", "## New\n- b\n")
    assert [(hunk.old, hunk.new) for hunk in hunks] == [(("## Old",), ("## New",)), (("- a",), ("- b",))]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# T\n\n## Rules\n- x\n", "# T\n\n## Strict rules\n- a\n- b\n- x\n"),
        ("## Rules\n- x\n", "## Strict rules\n- y first\n- z second\n"),
    ],
)
def test_a_heading_that_was_renamed_never_stands_beside_the_former_one(before: str, after: str) -> None:
    hunks = find_hunks(before, after)
    for left_out in range(len(hunks)):
        text = with_hunks(before, [one for at, one in enumerate(hunks) if at != left_out])
        assert text.count("ules\n") == 1


def test_a_text_that_is_kept_whole_is_so_with_any_line_ends() -> None:
    whole = "Mail:\nI am angry about it. Call me.\n\nIt is late.\n\nAnswer: refund"
    for end in ("\n", "\r\n"):
        before, after = "Sort.\n".replace("\n", end), f"Sort.\n\n{whole}\n".replace("\n", end)
        assert len(find_hunks(before, after, [whole])) == 1
