"""Which results may be chance, so that another trial of a case is worth its rollout. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pytest_gepa.evolve.ledger import Ledger
from pytest_gepa.evolve.problem import TIE

_FALSE_SHARE = 0.15
"""Of the failing cases, how many may be expected to fail by chance before they are run again."""

_MOST_TRIALS = 5


def unsettled(ledger: Ledger, candidate: str) -> tuple[str, ...]:
    """Return the failing cases that may well pass in another trial: those with the fewest trials among them.

    Nothing, where trials end alike, or where so many fail that those which do by chance are few.
    """
    failing, passing = ledger.divide(candidate)
    if ledger.noise * len(passing) < _FALSE_SHARE * len(failing):
        return ()
    return fewest_trials(ledger, candidate, failing)


def fewest_trials(ledger: Ledger, candidate: str, cases: Iterable[str]) -> tuple[str, ...]:
    """Return those of the cases that are not settled, and of these the ones with the fewest trials."""
    idle = {*ledger.undecidable}
    return _least(ledger, candidate, cases, lambda case: case not in idle and not ledger.is_settled(candidate, case))


def open_to_doubt(ledger: Ledger, candidate: str, cases: Iterable[str]) -> tuple[str, ...]:
    """Return those of the cases that may be run again under a candidate however their trials have ended so far, and
    of these the ones with the fewest trials.
    """
    return _least(ledger, candidate, cases, lambda case: True)


def leads_on_fewer_trials(
    ledger: Ledger, candidate: str, rivals: Iterable[str], cases: Iterable[str]
) -> tuple[str, ...]:
    """Return the cases where the candidate scores above a rival that has had more trials there; of these, the ones
    with the fewest trials. Where trials differ, a lead counts only over equally many: a lucky first trial would be
    the advantage of whoever was run less.

    Cases whose further trials give no evidence are left as they are.
    """
    if not ledger.noise:
        return ()
    idle = {*ledger.undecidable}
    names = tuple(rivals)

    def is_doubted(case: str) -> bool:
        return case not in idle and any(
            0 < ledger.trials(candidate, case) < ledger.trials(rival, case)
            and ledger.score(candidate, case) > ledger.score(rival, case) + TIE
            for rival in names
        )

    return _least(ledger, candidate, cases, is_doubted)


def _least(ledger: Ledger, candidate: str, cases: Iterable[str], is_wanted: Callable[[str], bool]) -> tuple[str, ...]:
    """The wanted cases that have had the fewest trials, as long as these are not too many."""
    counts = {
        case: ledger.trials(candidate, case) for case in cases if ledger.may_repeat(candidate, case) and is_wanted(case)
    }
    least = min(counts.values(), default=_MOST_TRIALS)
    return tuple(case for case, count in counts.items() if count == least < _MOST_TRIALS)
