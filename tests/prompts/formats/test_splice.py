from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.prompts.formats.splice import Spelled, Splice, hunks, is_shown, spliced

LINES = st.lists(st.sampled_from(["a", "a b", "", "b c d", "x", " "]), max_size=8).map("\n".join)


@given(LINES | st.text(max_size=20), LINES | st.text(max_size=20))
def test_the_hunks_of_two_texts_make_one_from_the_other(old, new):
    made, position = "", 0
    for hunk in hunks(old, new):
        assert position <= hunk.start <= hunk.end <= len(old)
        assert hunk.text != old[hunk.start : hunk.end]
        made += old[position : hunk.start] + hunk.text
        position = hunk.end
    assert made + old[position:] == new


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("a\nb\n", "a\nb\n", []),
        ("one two", "one 2", [Splice(4, 7, "2")]),
        ("a\nb\n", "a\nx\nb\n", [Splice(2, 2, "x\n")]),
        ("a b\nc\n", "a 2 b\nx\nc\n", [Splice(2, 2, "2 "), Splice(4, 4, "x\n")]),
        ("a\nb\nc", "a\nc", [Splice(2, 4, "")]),
        ("", "a", [Splice(0, 0, "a")]),
    ],
)
def test_only_words_and_lines_that_differ_are_in_a_hunk(old, new, expected):
    assert hunks(old, new) == expected


def test_texts_of_many_lines_are_compared_in_one_piece_in_the_middle():
    old = "head\n" + "".join(f"{number}\n" for number in range(1500)) + "tail\n"
    new = "head\n" + "".join(f"{number}x\n" for number in range(1500)) + "tail\n"
    (hunk,) = hunks(old, new)
    assert (hunk.start, len(old) - hunk.end) == (5, 6)


def test_source_outside_of_the_hunks_is_taken_over():
    spelled = Spelled(0, 8, "abc", [1, 3, 5, 7])
    assert spliced('"\\a\\b\\c"', spelled, [Splice(1, 2, "x")], str.upper) == '"\\aX\\c"'
    assert spliced('"\\a\\b\\c"', spelled, [Splice(1, 2, "x")], lambda run: None) is None


def test_what_no_reader_sees_is_not_shown():
    assert all(map(is_shown, "a é→🎉\u200d\xa0"))
    assert not any(map(is_shown, "\n\t\0\x7f\x85\u2028\u202e\ufeff\ufffe\U000e0041"))
