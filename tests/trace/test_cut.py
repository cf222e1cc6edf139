from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.trace.cut import beginning, byte_length, cut_middle, cut_report, is_mark, level, mark


def cut_characters(text: str) -> int:
    """What the marks in a text say, together."""
    return sum(int(count.replace(",", "")) for count in re.findall(r"\[\.\.\. ([\d,]+) characters cut \.\.\.\]", text))


@given(st.text(max_size=400), st.integers(0, 300))
def test_a_cut_text_takes_no_more_than_it_may_and_counts_what_is_gone(text: str, limit: int) -> None:
    cut = cut_middle(text, limit)

    assert byte_length(cut) <= max(limit, len(mark(len(text))))
    if cut is not text:
        left = [part for part in re.split(r"\n?\[\.\.\. [\d,]+ characters cut \.\.\.\]\n?", cut) if part]
        assert cut_characters(cut) + sum(map(len, left)) == len(text)


@given(st.integers(1_000, 5_000), st.integers(300, 900), st.integers(0, 299))
def test_a_text_that_was_cut_is_cut_again_with_one_mark_for_all(size: int, first: int, second: int) -> None:
    text = "".join(chr(97 + at % 26) for at in range(size))
    once = cut_middle(text, first)
    twice = cut_middle(once, second)

    assert twice.count("characters cut") == 1
    kept = re.sub(r"\n?\[.*\]\n?", "", twice)
    assert cut_characters(twice) in range(size - len(kept) - 2, size - len(kept) + 3)  # the mark's line ends count


def test_the_ends_of_a_text_stay() -> None:
    text = "first line\n" + "middle\n" * 500 + "last line"

    assert cut_middle(text, 200).startswith("first line\n")
    assert cut_middle(text, 200).endswith("\nlast line")


@pytest.mark.parametrize(("text", "expected"), [(mark(1_234), True), ("x" + mark(2), False), ("", False)])
def test_a_mark_is_known(text: str, expected: bool) -> None:
    assert is_mark(text) is expected


@given(st.lists(st.integers(0, 50), max_size=20), st.integers(0, 400))
def test_a_level_is_the_greatest_that_fits(sizes: list[int], room: int) -> None:
    cap = level(sizes, room)

    assert sum(min(size, cap) for size in sizes) <= room or cap == 0
    if sizes and cap < max(sizes):
        assert sum(min(size, cap + 1) for size in sizes) > room


def test_of_a_failure_the_failing_statements_outlast_any_cut() -> None:
    diff = "\n".join(f"E         - item {number}" for number in range(2_000))
    text = f">       load()\n{diff}\n>       assert books == wanted\n{diff}\nbooks.py:3: AssertionError"
    cut = cut_report(text, 1_000)

    assert byte_length(cut) <= 1_000
    assert cut.startswith(">       load()\nE ")
    assert "characters cut ...]\n>       assert books == wanted\nE " in cut
    assert cut.endswith("\nbooks.py:3: AssertionError")


def test_of_very_many_statements_the_last_are_kept() -> None:
    text = "\n".join(f"> assert {number}\nE   no" for number in range(500))
    cut = cut_report(text, 600)

    assert byte_length(cut) <= 600
    assert [number for number in range(500) if f"> assert {number}\n" in cut][-1] == 499
    assert "> assert 0\n" in cut


@given(st.text(alphabet="> aé\n", max_size=800), st.integers(0, 500))
def test_a_failure_takes_no_more_than_it_may(text: str, limit: int) -> None:
    cut = cut_report(text, limit)

    assert byte_length(cut) <= max(limit, len(mark(len(text))))
    assert cut is text or byte_length(text) > limit


def test_pytest_s_margin_goes_on_beyond_a_cut() -> None:
    text = f">       assert x\nE       assert '{'y' * 5_000}'\n\nt.py:3: AssertionError"
    lines = cut_report(text, 600).split("\n")

    assert lines[0] == ">       assert x"
    assert lines[1].startswith("E       assert 'yy")
    assert lines[2].startswith("E       [... ")
    assert lines[3].startswith("E       yy")
    assert lines[3].endswith("yy'")
    assert lines[4:] == ["", "t.py:3: AssertionError"]


@pytest.mark.parametrize(
    ("text", "limit", "kept"),
    [
        ("one two-three four", 18, "one two-three four"),
        ("one two-three four", 13, "one two-three"),
        ("one two-three four", 12, "one "),
        ("one two-three four", 5, "one "),
        ("one two-three four", 2, ""),
        ('{"key":"abc"}', 10, '{"key":"'),
        ("x " + "y" * 900, 800, "x " + "y" * 798),
        ("", 0, ""),
    ],
)
def test_a_beginning_ends_before_a_word_that_would_be_cut(text: str, limit: int, kept: str) -> None:
    assert beginning(text, limit) == kept
