"""What results hold, as phrases that several reports use."""

from __future__ import annotations

from pytest_gepa.evolve.objectives import Outlay
from pytest_gepa.report.result import CaseRates, PassRate, Spent
from pytest_gepa.run.history import Resumed
from pytest_gepa.verdict.power import POWER, ProvableGain
from pytest_gepa.wording import count, dollars, joined, points

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
    """`2026-11-22-1, which had paid for 132 rollouts and spent $1.98`, or `and spent at least $1.98`."""
    least = "at least " if resumed.usd_is_least else ""
    cost = f" and spent {least}{dollars(resumed.usd)}" if resumed.usd else ""
    return f"{resumed.run}, which had paid for {count(resumed.paid, 'rollout')}{cost}"


def price(spent: Spent) -> str:
    """`$1.18 of $2.00`; of an unknown price the reason, and its bound if there is one."""
    cap = "" if spent.cap is None else f" of {dollars(spent.cap)}"
    if spent.usd is not None:
        return f"{dollars(spent.usd)}{cap}"
    why = f" ({', '.join(spent.unpriced)})" if spent.unpriced else ""
    bound = "" if spent.usd_at_most is None else f", at most {dollars(spent.usd_at_most)}{cap}"
    return f"price unknown{why}{bound}"


def outlay_words(outlay: Outlay) -> str:
    """`1,204 characters, 0.8 s, 430 tokens and $0.0031 a case`, as far as it is known."""
    parts = [f"{outlay.seconds:.1f} s"] if outlay.seconds is not None else []
    parts += [f"{outlay.tokens:,.0f} tokens"] if outlay.tokens is not None else []
    parts += [dollars(outlay.usd)] if outlay.usd is not None else []
    each = f", {joined(parts)} a case" if parts else ""
    return f"{count(outlay.characters, 'character')}{each}"
