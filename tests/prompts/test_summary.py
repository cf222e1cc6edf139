"""An edit in short."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.prompts.summary import all_changes, summarize

WORDS = " ".join(f"word{number}" for number in range(60))


def test_of_a_long_line_is_shown_where_it_differs() -> None:
    before, after = f"{WORDS} and so on. {WORDS}\n", f"{WORDS} but not so. {WORDS}\n"
    removed, added = summarize(before, after, in_part=True).split("\n")
    assert removed == "- ... 5 word56 word57 word58 word59 and so on. word0 word1 word2 word3 word ..."
    assert added == "+ ... 5 word56 word57 word58 word59 but not so. word0 word1 word2 word3 word ..."


def test_two_additions_to_one_paragraph_are_told_apart() -> None:
    first, second = (summarize(WORDS, f"{WORDS} {rule}", in_part=True) for rule in ("Be brief.", "Be kind."))
    assert first != second
    assert first.endswith("word59 Be brief.")


def test_lines_of_their_own_are_shown_from_the_beginning() -> None:
    assert summarize("one\ntwo\n", f"one\n{WORDS}\n{WORDS}\ntwo\n", in_part=True).startswith("+ word0 word1")


def test_a_new_text_shows_what_it_is_more_than_what_it_was() -> None:
    before = "".join(f"old line {number} of the prompt\n" for number in range(40))
    after = "".join(f"new line {number} of the prompt\n" for number in range(40))
    lines = summarize(before, after).split("\n")
    assert 0 < sum(line.startswith("- ") for line in lines) < sum(line.startswith("+ ") for line in lines)
    assert lines[0] == "- old line 0 of the prompt"
    assert lines[-1] == f"({80 - len(lines) + 1} more changed lines)"


def test_a_few_lines_are_shown_whole_whatever_they_are() -> None:
    before, after = "one\ntwo\nthree\n", "one\nzwei\ndrei\n"
    assert summarize(before, after) == "- two\n- three\n+ zwei\n+ drei"
    taken = "".join(f"line {number}\n" for number in range(30))
    assert summarize(taken, "line 29\n").count("\n") == 28


@given(st.text(max_size=600), st.text(max_size=600), st.booleans())
def test_no_change_is_longer_than_it_may_be(before: str, after: str, in_part: bool) -> None:
    assert len(summarize(before, after, in_part=in_part)) <= 440
    assert len(all_changes(before, after)) <= 4_040
