from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.prompts.edits import Edit, apply_edits
from pytest_gepa.prompts.examples import Example, cases_of, is_kept, still_kept

TEXT = "Example input: the blue kettle of my aunt whistles\nExample answer: repairs"
KETTLE = Example("c1", "p.md", TEXT)
LINES = st.lists(st.sampled_from(["one two three four five", "short", "", "- item", "a b"]), min_size=1, max_size=5)


def test_an_example_is_kept_while_a_telling_line_of_it_stands() -> None:
    assert is_kept(KETTLE, f"Route it.\n\n{TEXT}\n")
    assert is_kept(KETTLE, "Route it.\n- Example input: the blue kettle of my aunt whistles\n")
    assert not is_kept(KETTLE, "Route it.\nExample answer: repairs\n")
    assert not is_kept(KETTLE, "Example input: the red kettle of my aunt whistles\n")
    assert not is_kept(KETTLE, "")


def test_an_example_of_a_few_words_is_kept_while_its_longest_line_stands() -> None:
    short = Example("c1", "p.md", "fruit: one\n-> one-FRU")
    assert is_kept(short, "Rules.\nfruit: one\n")
    assert not is_kept(short, "Rules.\n-> one-FRU\n")


def test_what_is_kept_is_told_by_component_and_each_once() -> None:
    other = Example("c2", "q.md", TEXT)
    texts = {"p.md": TEXT, "q.md": "nothing"}
    assert still_kept([KETTLE, other, KETTLE], texts) == (KETTLE,)
    assert still_kept([KETTLE], {}) == ()
    assert cases_of([other, KETTLE, Example("c1", "q.md", "x")]) == ("c1", "c2")


@given(LINES, LINES)
def test_an_example_stands_in_a_text_that_it_was_just_added_to(example: list[str], lines: list[str]) -> None:
    added = "\n".join(example)
    if added.strip():
        text = apply_edits("\n".join(lines), [Edit("example", "", added)])
        assert is_kept(Example("c", "p.md", added), text)
