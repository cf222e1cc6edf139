"""Which results a candidate has without a run: those of cases that what it changed has no part in. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.suite.passed_on import answers_to
from pytest_gepa.suite.rollout import Rollout
from pytest_gepa.trace.attribution import components_touched, repeats

Rollouts = Mapping[tuple[str, str], Rollout]
"""Rollouts by candidate and case."""


def untouched(
    candidate: Candidate,
    parents: Iterable[Candidate],
    rollouts: Rollouts,
    cases: Iterable[str],
    wanted: Sequence[str],
    used: Mapping[str, Collection[str]],
) -> dict[str, Rollout]:
    """The rollouts of `wanted` cases that a candidate has from a parent, by case. `used` tells by case what it was seen
    to use under any candidate: under this parent an answer may have been kept.

    Under that parent no piece of a prompt that differs was part of the case's requests, nor an answer to one that held
    it (kept by the process from an earlier case), so the same requests would go out again. Only a prompt whose text was
    seen to arrive in one of all `cases` can be known to be missing in another.
    """
    everything = list(cases)
    found: dict[str, Rollout] = {}
    for parent in parents:
        changed = {name for name, text in candidate.texts.items() if text != parent.texts[name]}
        runs = _evidence(rollouts, parent.id, everything)
        if changed <= {name for run in runs.values() for name in run.uses}:
            texts = {name: parent.texts[name] for name in changed}
            answers = answers_to(changed, runs.values())
            found.update(
                {
                    case: runs[case]
                    for case in wanted
                    if case in runs and changed.isdisjoint(used.get(case, ())) and _misses(texts, answers, runs[case])
                }
            )
    return found


def modelless(seed: Candidate, rollouts: Rollouts, cases: Iterable[str], wanted: Iterable[str]) -> dict[str, Rollout]:
    """The rollouts of `wanted` cases, of all `cases`, that reached no model, with no prompt read for them or known to
    them in another way: nothing can change them."""
    runs = _evidence(rollouts, seed.id, cases)
    arrived = seen_to_arrive(runs.values())
    return {
        case: runs[case]
        for case in wanted
        if case in runs and not (_asks(runs[case]) or runs[case].reads or may_know(runs[case], arrived))
    }


def seen_to_arrive(runs: Iterable[Rollout]) -> frozenset[str]:
    """The components that these rollouts were seen to use."""
    return frozenset(name for run in runs for name in run.uses)


def may_know(run: Rollout, arrived: frozenset[str]) -> frozenset[str]:
    """The prompts that were read before a rollout in its process, and that it may go by unseen.

    Which cases ran earlier in a process is chance. So a prompt that only they have read is left out if it was seen to
    arrive in some request; if it never was, whatever passed it on unseen, such as a cache, may do so here too. An
    answer may have been kept in either case, until a run without those cases has shown that none was.
    """
    return (frozenset(run.imported) - (arrived & frozenset(run.carried))) | run.may_repeat


def _asks(rollout: Rollout) -> bool:
    """Whether a model was asked, or a mock of one with the text of a prompt."""
    return bool(rollout.uses) or any(call.sent for call in rollout.trajectory.calls)


def _evidence(rollouts: Rollouts, candidate: str, cases: Iterable[str]) -> dict[str, Rollout]:
    known = ((case, rollouts.get((candidate, case))) for case in cases)
    return {case: run for case, run in known if run is not None and run.outcome.is_evidence}


def _misses(texts: Mapping[str, str], answers: Sequence[str], rollout: Rollout) -> bool:
    """Whether a rollout had calls, and nothing of these prompts, nor of the answers to them, had any part in it."""
    calls = rollout.trajectory.calls
    known = {*rollout.reads, *rollout.uses}  # what is kept of a long request may lack a text that was in it
    if not calls or not texts.keys().isdisjoint(known):
        return False
    return not components_touched(texts, calls) and not repeats(calls, answers)
