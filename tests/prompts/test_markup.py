"""Tags and fences on lines of their own: what pairs up, and an edit that leaves one without the other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.prompts.guards import Guard, kind_of
from pytest_gepa.prompts.markup import Element, elements, markup_problem

RULES = "Route it.\n<rules>\n- one\n- two\n</rules>\n"


def test_elements_are_found_by_tags_that_stand_alone_and_pair_up():
    text = '<a>\n<b kind="x">\n</b>\n<c>\n```\n</c>\n```\n</a>\nIn <d>\n</d>\n<br />\n</e>'
    assert elements(text.split("\n")) == [Element("b", 1, 2), Element("a", 0, 7)]


@pytest.mark.parametrize(
    ("parent", "text"),
    [
        (RULES, "Route it.\n- one\n"),
        (RULES, RULES.replace("- two\n", "")),
        (RULES, "Route it.\n<rules>- one</rules>\n"),
        (RULES, "Route it.\n<rules>- one\n</rules>\n"),
        (RULES, f"{RULES}Follow the <rules> to the letter.\n"),
        (RULES, f"{RULES}```\n<rules>\n```\n"),
        (RULES, f"{RULES}Begin with\n<answer>\n"),
        ("Route it.\n", "Route it.\n<p>Dear all,\nhello.\n</p>\n"),
        ("<ticket>\n", "Read it.\n<ticket>\n"),
        ("```\nopen\n", "```\nstill open\n"),
        ("Route it.\n", "Route it.\n```markdown\n```json\n{}\n```\n```\n"),
        ("Route it.\n", "Route it.\n````\n```\n````\n"),
        ("Route it.\n", "Route it.\nBegin with ``` or not.\n"),
    ],
)
def test_an_edit_may_move_both_tags_and_speak_of_one(parent: str, text: str):
    assert markup_problem(parent, parent, text) is None


@pytest.mark.parametrize(
    ("parent", "text", "told"),
    [
        (RULES, RULES.replace("<rules>\n", ""), "</rules> closes nothing"),
        (RULES, RULES.replace("</rules>\n", ""), "<rules> is never closed"),
        ("Route it.\n", "Route it.\n- one\n</rules>\n", "</rules> closes nothing"),
        ("Say:\n```\nyes\n```\n", "Say:\nyes\n```\n", "a fence stands alone"),
        ("Route it.\n", "Route it.\n```json\n{}\n", "a fence stands alone"),
    ],
)
def test_one_that_leaves_a_tag_or_a_fence_alone_is_refused(parent: str, text: str, told: str):
    reason = Guard({"p.md": parent}).check("p.md", parent, text) or ""
    assert kind_of(reason) == "markup broken"
    assert told in reason


def test_a_tag_of_todays_that_comes_back_alone_is_refused():
    assert "never closed" in (markup_problem(RULES, "Route it.\n", "Route it.\n<rules>\n- one\n") or "")


def test_a_program_may_have_tags_as_it_likes():
    code = 'A = """\n<rules>\n</rules>\n"""\n'
    assert Guard({"p.py": code}).check("p.py", code, code.replace("</rules>\n", "")) is None


LINES = st.lists(st.sampled_from(["", "a", "<a>", "</a>", "<b>", "</b>", "```", "In <a>."]), max_size=8)


@given(LINES, LINES)
def test_what_does_not_touch_tags_and_fences_is_never_refused(one: list[str], other: list[str]):
    parent = "\n".join(one)
    assert markup_problem(parent, parent, f"Say it.\n{parent}\nSay more.") is None
    if not any("<" in line or "`" in line for line in other):
        assert markup_problem(parent, parent, "\n".join([*one, *other])) is None


@pytest.mark.parametrize(
    "added",
    [
        "Put the reply in an <answer> tag, like so:\n<answer>Dear customer,\nwe are sorry.\n</answer>\n",
        "Output: ```json\n{}\n```\n",
        '```md title="x"\n```python\nx\n```\n```\n',
        "1.  item\n    ```json\n    {}\n   ```\n",
    ],
)
def test_marks_that_pair_up_in_other_ways_are_not_refused(added: str) -> None:
    assert markup_problem("Sort mail.\n", "Sort mail.\n", f"Sort mail.\n{added}") is None


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_tag_in_a_fence_is_none_with_any_line_ends(end: str) -> None:
    text = "<answer>\nYes.\n</answer>\n".replace("\n", end)
    assert markup_problem(text, text, text + "```\n<answer>\n```\n".replace("\n", end)) is None
