"""What attempts that are run again have cost: told with the last one, and known to a run that is resumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_gepa.codec import to_json
from pytest_gepa.suite.charges import NO_ROOM, Charge, Charges
from pytest_gepa.suite.evaluate import Evaluation, Suite, Surroundings
from pytest_gepa.suite.job import Job
from pytest_gepa.suite.places import Limit
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.suite.runner import Emit
from tests.suite.world import Purse

LOST, LOST_UNPAID, PASSED, STORED = (
    (Outcome.timeout, True),
    (Outcome.timeout, False),
    (Outcome.passed, True),
    (Outcome.passed, False),
)


class Scripted:
    """A runner without processes, whose cases end attempt by attempt as they are told, and are charged or not."""

    name = "scripted"

    def __init__(self, ends: Mapping[str, Sequence[tuple[Outcome, bool]]]) -> None:
        self.ends = {case: list(attempts) for case, attempts in ends.items()}

    def run(self, job: Job, emit: Emit, limit: Limit) -> None:
        for case in job.cases:
            outcome, charged = self.ends[case].pop(0)
            score = 1.0 if outcome.is_evidence else None
            rollout = Rollout(job.candidate, case, job.trial, outcome, score, charged=charged)
            emit({"event": "rollout", "rollout": to_json(rollout)})

    def stop(self) -> None:
        """Nothing runs."""

    def close(self) -> None:
        """Nothing is held."""


def run(
    directory: Path,
    purse: Purse,
    ends: Mapping[str, Sequence[tuple[Outcome, bool]]],
    charges: Charges | None = None,
    attempts: list[Rollout] | None = None,
) -> tuple[Evaluation, dict[str, Rollout]]:
    """The evaluation of these cases, and the rollouts that were heard of."""
    around = Surroundings(
        args=(),
        cwd=str(directory),
        rootdir=str(directory),
        sys_path=(),
        temp=directory,
        cache="",
        concurrency=1,
        timeout=1.0,
        charges=charges,
    )
    suite = Suite([Case(case, case) for case in ends], [], around, Scripted(ends))
    heard: list[Rollout] = []
    attempts = [] if attempts is None else attempts
    evaluation = suite.run(
        "c",
        {},
        list(ends),
        "search/0",
        allowance=purse,
        on_rollout=heard.append,
        on_attempt=attempts.append,
    )
    assert len(heard) == len(ends)
    return evaluation, {rollout.case: rollout for rollout in heard}


def test_attempts_that_were_paid_for_in_vain_are_told_with_the_last_one(tmp_path: Path) -> None:
    purse = Purse(rollouts=10)
    ends = {
        "a": (LOST, LOST_UNPAID, PASSED),
        "b": (PASSED,),
        "c": (LOST_UNPAID, STORED),
        "d": (LOST, LOST, LOST),
    }
    evaluation, heard = run(tmp_path, purse, ends)
    assert {case: (one.charged, one.in_vain) for case, one in heard.items()} == {
        "a": (True, 1),
        "b": (True, 0),
        "c": (False, 0),
        "d": (True, 2),
    }
    spent = sum(evaluation.charged.values()) + sum(charged for _, charged in purse.settled)
    assert sum(one.charged + one.in_vain for one in heard.values()) == spent == 6


def test_a_resumed_run_pays_for_the_attempts_of_the_earlier_one(tmp_path: Path) -> None:
    """Of an answer that is stored the first attempt is the last, and takes what all of them took then."""
    purse = Purse(rollouts=10)
    charges = {
        ("c", "a", "search/0"): Charge(charged=True, in_vain=2),
        ("c", "b", "search/0"): Charge(charged=False, in_vain=1),
    }
    evaluation, heard = run(tmp_path, purse, {"a": (STORED,), "b": (LOST, PASSED), "d": (PASSED,)}, charges)
    assert evaluation.charged == {"a": True, "b": True, "d": True}
    assert purse.settled == [(3, 3), (1, 1)]
    assert {case: one.in_vain for case, one in heard.items()} == {"a": 2, "b": 2, "d": 0}


def test_trouble_that_a_resumed_run_pays_for_again_counts_both_times(tmp_path: Path) -> None:
    charges = {("c", case, "search/0"): Charge(charged=True, trouble=True, in_vain=2) for case in "ab"}
    purse = Purse(rollouts=10)
    _, heard = run(tmp_path, purse, {"a": (LOST, PASSED), "b": (STORED,)}, charges)
    assert {case: one.charged + one.in_vain for case, one in heard.items()} == {"a": 3 + 2, "b": 3}
    assert sum(charged for _, charged in purse.settled) == 3 + 1 + 2


def test_trouble_is_not_paid_for_again_where_the_budget_cannot_hold_both(tmp_path: Path) -> None:
    charges = {("c", "a", "search/0"): Charge(charged=True, trouble=True)}
    evaluation, heard = run(tmp_path, Purse(), {"a": (PASSED,), "b": (PASSED,)}, charges)
    assert {case: one.outcome for case, one in heard.items()} == {"a": Outcome.error, "b": Outcome.passed}
    assert heard["a"].trajectory.failure == NO_ROOM
    assert list(evaluation.rollouts) == ["a", "b"]
    assert (heard["a"].charged, heard["a"].in_vain, evaluation.charged["a"]) == (True, 0, True)


def test_what_is_stored_nowhere_counts_as_often_as_it_is_paid_for_as_far_as_there_is_room(
    tmp_path: Path,
) -> None:
    charges = {("c", case, "search/0"): Charge(charged=True) for case in "ab"}
    purse = Purse(rollouts=1)
    _, heard = run(tmp_path, purse, {"a": (PASSED,), "b": (PASSED,)}, charges)
    assert [one.charged + one.in_vain for one in heard.values()] == [2, 2]
    assert purse.settled == [(1, 1)]


def test_an_attempt_that_may_be_run_again_is_told_at_once_if_it_was_paid_for(tmp_path: Path) -> None:
    attempts: list[Rollout] = []
    ends = {"a": (LOST, LOST_UNPAID, PASSED), "b": (PASSED,), "c": (LOST_UNPAID, PASSED)}
    run(tmp_path, Purse(rollouts=10), ends, attempts=attempts)
    assert [(one.case, one.charged, one.in_vain) for one in attempts] == [("a", True, 0)]


def test_a_case_that_was_lost_in_every_attempt_costs_a_replay_what_it_cost_then(tmp_path: Path) -> None:
    purse = Purse(rollouts=10)
    charges = {("c", "a", "search/0"): Charge(charged=True, in_vain=2)}
    evaluation, heard = run(tmp_path, purse, {"a": [LOST_UNPAID] * 3}, charges)
    assert heard["a"].outcome is Outcome.timeout
    spent = sum(evaluation.charged.values()) + sum(charged for _, charged in purse.settled)
    assert heard["a"].charged + heard["a"].in_vain == spent == 3
