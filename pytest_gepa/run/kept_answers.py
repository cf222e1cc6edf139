"""Cases that show no call, behind others of their process that had asked: the application may have kept the answers."""

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
    """What stands for the cases of which nothing was known, by case, after they were run again apart from the others.

    `run_apart` runs cases in new processes, in the same trial, and leaves out what there is no room for. Most of them
    are tests that ask nothing: all together first, each by itself as soon as the answers are kept among them.
    """
    doubted = {run.case: run for run in rollouts if run.may_repeat}
    found: dict[str, Rollout] = {}
    waiting = list(doubted)
    while waiting:
        again = run_apart(waiting)
        found.update(
            {case: _standing(doubted[case], run) for case, run in again.items() if not run.may_repeat}
        )
        left = [case for case in waiting if case in again and again[case].may_repeat]
        if 2 * len(left) > len(waiting):
            for case in left:
                found.update({name: _standing(doubted[name], run) for name, run in run_apart([case]).items()})
            break
        waiting = left
    return found


def _standing(before: Rollout, apart: Rollout) -> Rollout:
    """Which of two rollouts of a case stands. It was paid for as the first one was."""
    if not apart.outcome.is_evidence or apart.may_repeat:
        return before
    if apart.trajectory.calls or apart.uses or apart.reads:
        return replace(apart, charged=before.charged, in_vain=before.in_vain)
    # Without the others it may end otherwise before it has asked: that tells nothing.
    is_same = apart.outcome is before.outcome and apart.score == before.score
    return replace(before, asked_before=()) if is_same else before
