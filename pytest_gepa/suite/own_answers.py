"""Whether an application answers from a store of its own, on disk, what it has asked before: then a further trial is no
draw of its own, whatever this plugin does to keep trials apart.

A whole trial is looked at, not a case: within a process one case may well be answered by what another has asked.
"""

from __future__ import annotations

from collections.abc import Iterable

from pytest_gepa.suite.rollout import Rollout
from pytest_gepa.trace.rough import has_price

_MEND = (
    "the application keeps answers of its own (a cache on disk?); switch it off, or give it a directory for each trial "
    "(environment variable GEPA_TRIAL)"
)
NOT_CONFIRMED = f"the cases asked no model in the confirm run, though they did before: {_MEND}"
NOT_COMPARED = f"the cases asked no model in a further trial, though they did in the first: {_MEND}"


def asks_nothing_more(before: Iterable[Rollout], trial: Iterable[Rollout]) -> bool:
    """Whether no case of a trial has asked a model, although one of them had, under the same texts, `before`.

    An answer from this plugin's own store was asked for all the same. What ended in trouble says nothing.
    """
    found = [rollout for rollout in trial if rollout.outcome.is_evidence]
    cases = {rollout.case for rollout in found}
    return not any(map(_asks, found)) and any(rollout.case in cases and _asks(rollout) for rollout in before)


def _asks(rollout: Rollout) -> bool:
    """Embeddings are computed and not drawn: to ask for them anew makes no new trial."""
    return any(has_price(call) and call.kind != "embedding" for call in rollout.trajectory.calls)
