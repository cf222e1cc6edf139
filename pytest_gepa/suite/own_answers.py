"""Whether an application answers from a store of its own, on disk, what it has asked before: then a further trial is no
draw of its own, whatever this plugin does to keep trials apart.

A whole trial is looked at, not a case: within a process one case may well be answered by what another has asked. One
trial is not enough either: a case may find its way without a model now and then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pytest_gepa.suite.rollout import Outcome, Rollout
from pytest_gepa.trace.model_calls import is_to_model
from pytest_gepa.wording import count

_MEND = (
    "the application keeps answers of its own (a cache on disk?); switch it off, or give it a directory for each trial "
    "(environment variable GEPA_TRIAL)"
)
NOT_CONFIRMED = f"the cases asked no model in the confirm run, though they did before: {_MEND}"
ENOUGH = 2
"""So many trials without a request are a sign of a store, unless fewer were to be had."""


def not_compared(cases: Sequence[str]) -> str:
    """Why the further trials of these cases, at least one, by what they are called, are no evidence."""
    more = f" and {count(len(cases) - 1, 'other case')}" if cases[1:] else ""
    they = "they" if cases[1:] else "it"
    return f"{cases[0]}{more} asked no model in further trials, though {they} did in the first: {_MEND}"


def asks_nothing_more(before: Iterable[Rollout], trial: Iterable[Rollout]) -> bool:
    """Whether no case of a trial has asked a model, although one of them had, under the same texts, `before`.

    An answer from this plugin's own store was asked for all the same. What ended in trouble says nothing, and neither
    does a case that failed before it had asked, unless it failed as it did when it had.
    """
    return bool(repeating_cases(before, trial))


def repeating_cases(before: Iterable[Rollout], trial: Iterable[Rollout]) -> frozenset[str]:
    """The cases of such a trial that had asked; none, where one of its cases has."""
    trial = list(trial)
    asked = _asking(before)
    if any(_asks(rollout) for rollout in trial if rollout.outcome.is_evidence):
        return frozenset()
    return frozenset(rollout.case for rollout in trial if _is_telling(rollout, asked))


def telling_cases(before: Iterable[Rollout], trial: Iterable[Rollout]) -> frozenset[str]:
    """The cases that had asked before, and of which this trial tells if they are answered from a store."""
    asked = _asking(before)
    return frozenset(rollout.case for rollout in trial if _is_telling(rollout, asked))


def _asking(rollouts: Iterable[Rollout]) -> dict[str, list[Rollout]]:
    asked: dict[str, list[Rollout]] = {}
    for rollout in filter(_asks, rollouts):
        asked.setdefault(rollout.case, []).append(rollout)
    return asked


def _is_telling(rollout: Rollout, asked: Mapping[str, Sequence[Rollout]]) -> bool:
    if rollout.case not in asked or not rollout.outcome.is_evidence:
        return False
    if _asks(rollout) or rollout.outcome is Outcome.passed:
        return True
    return _end(rollout) in map(_end, asked[rollout.case])


def _end(rollout: Rollout) -> tuple[object, ...]:
    """How a rollout has ended; what a failure says may hold a time or an address, so that its place goes before it."""
    return rollout.outcome, rollout.score, rollout.reached or rollout.trajectory.failure


def _asks(rollout: Rollout) -> bool:
    """Embeddings are computed and not drawn: to ask for them anew makes no new trial."""
    return any(is_to_model(call) and call.kind != "embedding" for call in rollout.trajectory.calls)
