"""Prompts that have a part in a case of whose own text its requests show too little: a piece of what was read at
import, or an answer that the application has kept."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from pytest_gepa.suite.rollout import Rollout
from pytest_gepa.trace.attribution import answers_given, components_touched, repeated

MOST_ANSWERS = 500
"""So many answers are looked for in the requests of others: agents give a thousand, and keep none."""


def answers_to(names: Collection[str], runs: Iterable[Rollout]) -> tuple[str, ...]:
    """What models have answered in rollouts that use one of these prompts. An application that keeps an answer passes
    the prompt's part in it on to later cases of its process, which show neither prompt nor request."""
    using = (run for run in runs if not set(names).isdisjoint(run.uses))
    answers = (answer for run in using for answer in answers_given(run.trajectory.calls))
    found: dict[str, None] = {}
    for answer in answers:
        if len(found) == MOST_ANSWERS:
            break
        found[answer] = None
    return tuple(found)


def partly_used(texts: Mapping[str, str], answers: Mapping[str, Sequence[str]], *rollouts: Rollout) -> frozenset[str]:
    """Those of the prompts in `texts` that these rollouts of a case do not count as used, and that have a part in it.

    Of one that was read at import any piece in a request is enough: a section of many, say. `answers` are what each
    prompt was answered, in whatever rollout.
    """
    calls = [call for one in rollouts for call in one.trajectory.calls]
    used = {name for one in rollouts for name in one.uses}
    imported = {name for one in rollouts for name in one.imported}
    others = {name: said for name, said in answers.items() if name in texts and name not in used}
    kept = repeated(calls, others)
    near = {name: text for name, text in texts.items() if name in imported and name not in used}
    pieces = components_touched(near, calls) if near else ()
    return frozenset((*kept, *pieces))
