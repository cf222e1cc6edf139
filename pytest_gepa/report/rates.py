"""How often the cases passed that did not always end alike: from the state of a run, and as lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_gepa.optimize.state import RunState
from pytest_gepa.report.phrases import case_rates_words
from pytest_gepa.report.result import CaseRates, PassRate, Result
from pytest_gepa.report.rows import capped, row
from pytest_gepa.suite.rollout import Case
from pytest_gepa.verdict.interval import wilson
from pytest_gepa.wording import count

LISTED_RATES = 3


def case_rates(state: RunState, cases: Sequence[Case]) -> tuple[CaseRates, ...]:
    """The cases that did not always end alike, the least steady first, and those that nobody can decide."""
    today, winner = state.search.seed.id, (state.winner or state.search.seed).id
    undecidable = state.search.pool.ledger.undecidable
    found = []
    for case in cases:
        # Where the winner is today's prompts their trials are counted once.
        other = PassRate(0, 0) if winner == today else _rate(state, winner, case.id)
        rates = CaseRates(case.nodeid, _rate(state, today, case.id), other)
        if _unlike(rates) or case.id in undecidable:
            found.append(rates)
    return tuple(sorted(found, key=_unlike, reverse=True))


def rates_lines(result: Result) -> Iterator[str]:
    """What the closing section says of flaky cases: those that were set aside, and of the others the least steady."""
    aside = [rates for rates in result.rates if rates.case in result.undecidable]
    if aside:
        verbs = "passes and fails" if len(aside) == 1 else "pass and fail"
        yield row("set aside", f"{count(len(aside), 'case')} {verbs} by chance, whatever the prompt:")
        yield from _listed(aside)
    flaky = [rates for rates in result.rates if rates.case not in result.undecidable]
    if flaky:
        cases = count(len(flaky), "other case" if aside else "case")
        yield row("flaky", f"{cases} did not always end alike:")
        yield from _listed(flaky)


def _listed(rates: Sequence[CaseRates]) -> Iterator[str]:
    yield from capped([row("", case_rates_words(one)) for one in rates], LISTED_RATES)


def _rate(state: RunState, candidate: str, case: str) -> PassRate:
    ends = state.trial_passes.get((candidate, case), {}).values()
    return PassRate(len(ends), sum(ends), wilson(sum(ends), len(ends)))


def _unlike(rates: CaseRates) -> int:
    """How many trials did not end as the others of their side: 0 for a case that is steady on both."""
    return sum(min(side.passed, side.trials - side.passed) for side in (rates.today, rates.winner))
