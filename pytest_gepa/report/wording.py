"""Numbers and foreign text as words: the one place for how they look."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pytest_gepa.cost.prices import NANO
from pytest_gepa.cost.purse import dollars as in_words
from pytest_gepa.evolve.objectives import Outlay
from pytest_gepa.report.result import CaseRates, PassRate, Resumed, Spent
from pytest_gepa.verdict.judge import Tally
from pytest_gepa.verdict.power import POWER, ProvableGain

_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


EDIT_WORDS = {
    "ancestor": "the earlier text of",
    "merge": "merge of",
    "pruning": "an added line taken away again in",
    "repair": "a part of the edit taken back in",
    "shrink": "changes that no case needs taken away again in",
}
"""How a candidate came of its parent, by its origin, before the names of what it differs in; others are edits of it.

A repair may put back what an edit removed as well as remove what it added.
"""


def printable(text: str) -> str:
    """Text of a model or a test without what could steer a terminal or turn the direction of writing."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", text)


def sentence(text: str) -> str:
    """A text of a model as a sentence that another one can follow."""
    text = text.rstrip()
    return text if not text or text[-1] in ".!?:;" else f"{text}."


def name_without_file(nodeid: str) -> str:
    """A nodeid without its file: `test_line[loss-in-parentheses]`."""
    name, bracket, parameters = nodeid.partition("[")
    return name.rsplit("::", 1)[-1] + bracket + parameters


def named_models(models: Mapping[str, Sequence[str]]) -> str:
    """The names of the models by their role: `task small-1 and small-2, reflection large`."""
    return ", ".join(f"{role} {' and '.join(names) or 'none named'}" for role, names in models.items())


def points(effect: float) -> str:
    """A difference of scores in percentage points: `+48 points`, and `+0.2 points` where it is less than one."""
    return f"{100 * effect:+.{1 if 0.0005 <= abs(effect) < 0.00995 else 0}f} points"


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
    several = f", with {gain.candidates} candidates judged" if gain.candidates > 1 else ""
    return (
        f"a suite of this size and flakiness proves {points(gain.points)} ({count(gain.cases, 'case')} mended) in "
        f"{100 * POWER:.0f} % of runs or more{several}"
    )


def groups_words(groups: int, cases: int) -> str:
    """How many cases count for themselves: `12 independent groups of 60 cases`."""
    return f"{count(groups, 'independent group')} of {count(cases, 'case')}"


def p_words(p_value: float) -> str:
    """A p-value: `p < 0.001`, `p = 0.03`."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def passed(tally: Tally) -> str:
    """`12/31`, and the mean score where that says something else: `12/31 (score 0.62)`."""
    share = tally.passed / tally.total if tally.total else 0.0
    graded = f" (score {tally.score:.2f})" if abs(tally.score - share) >= 0.005 else ""
    return f"{tally.passed}/{tally.total}{graded}"


def pass_rate(rate: PassRate) -> str:
    """A rate with its interval: `3 of 7 (16 to 75 %)`."""
    if not rate.trials:
        return "no trial"
    low, high = (100 * bound for bound in rate.interval)
    return f"{rate.passed} of {rate.trials} ({low:.0f} to {high:.0f} %)"


def case_rates_words(rates: CaseRates) -> str:
    """A case and how often it passed: `test_a.py::test_x: today 3 of 7 (16 to 75 %), winner 2 of 2 (34 to 100 %)`."""
    winner = f", winner {pass_rate(rates.winner)}" if rates.winner.trials else ""
    return f"{rates.case}: today {pass_rate(rates.today)}{winner}"


def resumed_words(resumed: Resumed) -> str:
    """`2026-11-22-1, which had paid for 132 rollouts and spent $1.98`."""
    cost = f" and spent {dollars(resumed.usd)}" if resumed.usd else ""
    return f"{resumed.run}, which had paid for {count(resumed.paid, 'rollout')}{cost}"


def price(spent: Spent) -> str:
    """`$1.18 of $2.00`; of an unknown price the reason, and its bound if there is one."""
    cap = "" if spent.cap is None else f" of {dollars(spent.cap)}"
    if spent.usd is not None:
        return f"{dollars(spent.usd)}{cap}"
    why = f" ({', '.join(spent.unpriced)})" if spent.unpriced else ""
    bound = "" if spent.usd_at_most is None else f", at most {dollars(spent.usd_at_most)}{cap}"
    return f"price unknown{why}{bound}"


def dollars(usd: float) -> str:
    """`$1.18`; smaller sums with the digits that tell something: `$0.0031`."""
    return in_words(round(usd * NANO))


def outlay_words(outlay: Outlay) -> str:
    """`1,204 characters, 0.8 s, 430 tokens and $0.0031 a case`, as far as it is known."""
    parts = [f"{outlay.seconds:.1f} s"] if outlay.seconds is not None else []
    parts += [f"{outlay.tokens:,.0f} tokens"] if outlay.tokens is not None else []
    parts += [dollars(outlay.usd)] if outlay.usd is not None else []
    listed = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    each = f", {listed} a case" if parts else ""
    return f"{count(outlay.characters, 'character')}{each}"


def duration(seconds: float) -> str:
    """`6 min 40 s`, `12.3 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


NAMED = 3


def some(names: Sequence[str]) -> str:
    """The first names of several, and how many more there are: `a, b, c and 4 more`."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def count(number: int, noun: str) -> str:
    """`1 case`, `2 cases`, `1 reply`, `2 replies`."""
    if number == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {plural}"


def at_a_time(concurrency: int) -> str:
    """How many cases run at once, in words."""
    return f"up to {concurrency} at a time" if concurrency > 1 else "one case at a time"
