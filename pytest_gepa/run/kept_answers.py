"""Cases that lack a call, behind others of their process that had asked: the application may have kept the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.suite.charges import Allowance, reserve_up_to
from pytest_gepa.suite.evaluate import Suite
from pytest_gepa.suite.rollout import Rollout


def run_again(
    suite: Suite, candidate: Candidate, cases: Sequence[str], trial: str, allowance: Allowance
) -> Mapping[str, Rollout]:
    """Run cases of a trial again in new processes, as many as the allowance holds; nobody else hears of it.

    Their answers are there, so that only what is stored nowhere is paid for.
    """
    number = reserve_up_to(allowance, len(cases))
    if not number:
        return {}
    found = suite.run(
        candidate.id, candidate.texts, cases[:number], trial, allowance=allowance, on_rollout=lambda _: None
    )
    charged = [run for case, run in found.rollouts.items() if found.charged[case]]
    paid = sum(not suite.paid_before(run) for run in charged)
    allowance.settle(number, 0 if suite.is_replay else paid)
    return found.rollouts


def settled(
    rollouts: Iterable[Rollout], run_apart: Callable[[Sequence[str]], Mapping[str, Rollout]]
) -> dict[str, Rollout]:
    """What stands for the cases that may lack a call, by case, after they were run again apart from the others.

    `run_apart` runs cases in new processes, in the same trial, and leaves out what there is no room for. Those that use
    the same prompts are run together first, as nobody there asks for another one; each by itself as soon as the answers
    are kept among them.
    """
    runs = list(rollouts)
    steps = {frozenset(run.uses) for run in runs}
    groups: dict[frozenset[str], dict[str, Rollout]] = {}
    for run in runs:
        if _is_doubted(run, steps):
            groups.setdefault(frozenset(run.uses), {})[run.case] = run
    found: dict[str, Rollout] = {}
    for doubted in groups.values():
        waiting = list(doubted)
        while waiting:
            again = run_apart(waiting)
            left = [case for case in waiting if case in again and _is_doubted(again[case], steps)]
            found.update({case: _standing(doubted[case], run) for case, run in again.items() if case not in left})
            if 2 * len(left) > len(waiting):
                for case in left:
                    alone = run_apart([case])
                    found.update({name: _standing(doubted[name], run) for name, run in alone.items()})
                break
            waiting = left
    return found


def _is_doubted(run: Rollout, steps: Iterable[frozenset[str]]) -> bool:
    """Whether a rollout may go by an answer that an earlier case of its process had got: it shows no call, or only some
    of the `steps` (prompts that are used together) which others show, and a prompt that it lacks was asked with before.
    """
    if not run.trajectory.calls or not run.outcome.is_evidence:
        return bool(run.may_repeat)
    own = frozenset(run.uses)
    before = frozenset(run.asked_before).difference(own, run.reads)
    return any(own < used and not before.isdisjoint(used - own) for used in steps)


def _standing(before: Rollout, apart: Rollout) -> Rollout:
    """Which of two rollouts of a case stands. It was paid for as the first one was."""
    if not apart.outcome.is_evidence or apart.may_repeat:
        return before
    as_paid = replace(apart, charged=before.charged, in_vain=before.in_vain)
    if before.trajectory.calls:
        # Without another step it is the same case once more.
        return as_paid if {*apart.uses} > {*before.uses} else before
    if apart.trajectory.calls or apart.uses or apart.reads:
        return as_paid
    # Without the others it may end otherwise before it has asked: that tells nothing.
    is_same = apart.outcome is before.outcome and apart.score == before.score
    return replace(before, asked_before=()) if is_same else before
