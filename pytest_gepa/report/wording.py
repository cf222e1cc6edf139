"""Numbers and foreign text as words: the one place for how they look."""

from __future__ import annotations

import re

from pytest_gepa.verdict.judge import Tally
from pytest_gepa.verdict.power import POWER, ProvableGain

_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Text of a model or a test without what could steer a terminal or turn the direction of writing."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", text)


def points(effect: float) -> str:
    """A difference of scores in percentage points: `+48 points`."""
    return f"{100 * effect:+.0f} points"


def drop_words(drop: float) -> str:
    """How far a score outside the search lies from the one in it, in points: `12 points below the search score`."""
    number = round(100 * drop)
    if not number:
        return "as the search score"
    return f"{count(abs(number), 'point')} {'below' if number > 0 else 'above'} the search score"


def provable_words(gain: ProvableGain | None) -> str:
    """What a suite can prove, as a sentence."""
    if gain is None:
        return "nothing: even with every failing case mended a suite of this size is too small or too flaky"
    return (
        f"a suite of this size and flakiness proves {points(gain.points)} ({count(gain.cases, 'case')} mended) in "
        f"{100 * POWER:.0f} % of runs or more"
    )


def p_words(p_value: float) -> str:
    """A p-value: `p < 0.001`, `p = 0.03`."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def passed(tally: Tally) -> str:
    """`12/31`, and the mean score where that says something else: `12/31 (score 0.62)`."""
    share = tally.passed / tally.total if tally.total else 0.0
    graded = f" (score {tally.score:.2f})" if abs(tally.score - share) >= 0.005 else ""
    return f"{tally.passed}/{tally.total}{graded}"


def duration(seconds: float) -> str:
    """`6 min 40 s`, `12.3 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def count(number: int, noun: str) -> str:
    """`1 case`, `2 cases`, `1 reply`, `2 replies`."""
    if number == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {plural}"
