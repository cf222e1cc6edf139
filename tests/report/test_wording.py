"""Numbers and foreign text as words."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_gepa.evolve.objectives import Outlay
from pytest_gepa.report.phrases import outlay_words, resumed_words
from pytest_gepa.run.history import Resumed
from pytest_gepa.verdict.judge import Tally
from pytest_gepa.wording import count, duration, p_words, passed, points, printable


@pytest.mark.parametrize(
    ("number", "noun", "words"),
    [
        (0, "case", "0 cases"),
        (1, "case", "1 case"),
        (2, "reply", "2 replies"),
        (1, "reply", "1 reply"),
        (1200, "trial", "1,200 trials"),
    ],
)
def test_a_count_agrees_with_its_noun(number: int, noun: str, words: str):
    assert count(number, noun) == words


@pytest.mark.parametrize(
    ("resumed", "words"),
    [
        (Resumed("2026-11-22-1", 132, 1.98), "2026-11-22-1, which had paid for 132 rollouts and spent $1.98"),
        (Resumed("r", 1, 1.98, True), "r, which had paid for 1 rollout and spent at least $1.98"),
        (Resumed("r", 1, 0.0, True), "r, which had paid for 1 rollout"),
    ],
)
def test_a_run_that_was_resumed_is_told_with_what_is_known_of_its_cost(resumed: Resumed, words: str):
    assert resumed_words(resumed) == words


@pytest.mark.parametrize(
    ("outlay", "words"),
    [
        (Outlay(1204, 0.84, 430.2, 0.0031), "1,204 characters, 0.8 s, 430 tokens and $0.0031 a case"),
        (Outlay(1, None, 430.2), "1 character, 430 tokens a case"),
        (Outlay(7, 1.0, None, 0.5), "7 characters, 1.0 s and $0.50 a case"),
        (Outlay(7, None, None), "7 characters"),
    ],
)
def test_what_a_candidate_takes_is_told_as_far_as_it_is_known(outlay: Outlay, words: str):
    assert outlay_words(outlay) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0.0 s"),
        (12.34, "12.3 s"),
        (59.4, "59.4 s"),
        (59.97, "1 min 0 s"),
        (400, "6 min 40 s"),
        (7201, "120 min 1 s"),
    ],
)
def test_a_duration(seconds: float, words: str):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("p", "words"), [(0.0009, "p < 0.001"), (0.001, "p = 0.001"), (0.0312, "p = 0.031"), (1.0, "p = 1")]
)
def test_a_p_value(p: float, words: str):
    assert p_words(p) == words


def test_effects_are_signed_points_and_tallies_fractions():
    assert points(0.484) == "+48 points"
    assert points(-0.5) == "-50 points"
    assert passed(Tally(12, 31, 12 / 31)) == "12/31"
    assert passed(Tally(12, 31, 0.4)) == "12/31 (score 0.40)"
    assert passed(Tally(0, 0, 0.0)) == "0/0"


@given(st.text(st.characters()))
@example("\ud83d\u2028\u061c\u200f\u202e")
def test_printable_text_steers_no_terminal_and_can_be_encoded(text: str):
    shown = printable(text)
    assert not any(ord(sign) < 32 and sign not in "\n\t" for sign in shown)
    assert not any(127 <= ord(sign) < 160 for sign in shown)
    assert not {"\u202e", "\u2066", "\u200f", "\u061c"} & set(shown)
    shown.encode("utf-8")


@pytest.mark.parametrize("text", ["plain", "Größe, 数字, \N{SNOWMAN}", "two\nlines\tand a tab"])
def test_ordinary_text_is_kept(text: str):
    assert printable(text) == text


def test_what_is_not_printable_is_shown_as_its_code():
    assert printable("\x1b[31m\x00\u202e") == r"\x1b[31m\x00\x202e"


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        (0.48, "+48 points"),
        (-0.0123, "-1 points"),
        (0.002, "+0.2 points"),
        (-0.0096, "-1.0 points"),
        (0.0001, "+0 points"),
        (0.0, "+0 points"),
    ],
)
def test_a_small_effect_is_told_to_a_tenth(effect: float, words: str):
    assert points(effect) == words
