from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from pytest_gepa.codec import to_json
from pytest_gepa.suite import evaluate as evaluate_module
from pytest_gepa.suite import fork, supervise
from pytest_gepa.suite.evaluate import Evaluation
from pytest_gepa.suite.job import Channel, Job
from pytest_gepa.suite.places import Limit, PlacesHere
from pytest_gepa.suite.rollout import Outcome, Rollout
from pytest_gepa.suite.runner import Runner
from pytest_gepa.suite.supervise import Supervisor
from tests.suite.world import PROMPT, Build, Project, Purse, evaluate, outcomes

PATIENCE = 3.0
"""Seconds for a case: enough to pass on a busy machine, and less than a fixture of `SLOW_TO_SET_UP` takes."""

DEADLY = """
    import multiprocessing, os, signal, subprocess, sys, threading

    def test_first():
        pass

    def test_exits():
        os._exit(3)

    def test_is_fine_after_the_exit():
        pass

    def test_violates_a_segment():
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGSEGV)

    def test_interrupts():
        raise KeyboardInterrupt

    def test_last():
        pass
"""
HANGING = """
    import os, threading

    def test_first():
        pass

    def test_hangs():
        threading.Event().wait()

    def test_hangs_and_has_a_child():
        if not os.fork():
            threading.Event().wait()
        threading.Event().wait()

    def test_last():
        pass
"""
SLOW_TO_SET_UP = """
    import threading, time

    import pytest

    @pytest.fixture(scope="module")
    def tokenizer():
        time.sleep(0.1)

    @pytest.fixture(scope="session")
    def model(request):
        request.getfixturevalue("gauge")
        time.sleep(4)

    @pytest.fixture(scope="session")
    def gauge():
        pass

    @pytest.fixture
    def never():
        threading.Event().wait()

    def test_first(model, tokenizer):
        pass

    def test_hangs(model, tokenizer):
        threading.Event().wait()

    def test_hangs_before(never):
        pass

    def test_last(model):
        pass
"""
LEAVES_A_CHILD = """
    import os, threading

    def test_leaves_a_child_behind():
        if not os.fork():
            threading.Event().wait()

    def test_last():
        pass
"""
SHRINKING = """
    from pathlib import Path

    import pytest

    LINES = (Path(__file__).parent / "prompts" / "greet.md").read_text().splitlines()

    @pytest.mark.parametrize("line", LINES)
    def test_line(line):
        assert line

    def test_other():
        pass
"""
BROKEN = """
    from pathlib import Path

    if "today" not in (Path(__file__).parent / "prompts" / "greet.md").read_text():
        raise ValueError("where is today?")

    def test_inside():
        pass

    def test_inside_as_well():
        pass
"""
FLAKY = """
    from pathlib import Path

    import pytest

    TRIES = Path(__file__).parent.parent / "temp"

    def attempt(name):
        file = TRIES / name
        file.write_text(file.read_text() + "x" if file.exists() else "x")
        return len(file.read_text())

    def test_fine():
        pass

    def test_refused_twice():
        if attempt("twice") < 3:
            raise ConnectionError("no route")

    def test_refused_always():
        attempt("always")
        raise ConnectionError("no route")
"""


@pytest.fixture(scope="module")
def project(build: Build) -> Project:
    return build(
        {
            "test_deadly.py": DEADLY,
            "test_hanging.py": HANGING,
            "test_slow.py": SLOW_TO_SET_UP,
            "test_leaving.py": LEAVES_A_CHILD,
            "test_shrinking.py": SHRINKING,
            "test_broken.py": BROKEN,
            "test_healthy.py": "def test_healthy():\n    pass\n",
        }
    )


def names(source: str, file: str) -> list[str]:
    found = [line.split("(")[0].split()[1] for line in source.splitlines() if "def test_" in line]
    return [f"{file}::{name}" for name in found]


def test_a_case_that_takes_its_process_down_is_lost_alone(project: Project, runner: Runner) -> None:
    evaluation = evaluate(project.suite(runner, names(DEADLY, "test_deadly.py")))

    assert outcomes(evaluation) == {
        "test_first": "passed",
        "test_exits": "crashed",
        "test_is_fine_after_the_exit": "passed",
        "test_violates_a_segment": "crashed",
        "test_interrupts": "crashed",
        "test_last": "passed",
    }
    told = {case.split("::")[1]: rollout.trajectory.failure for case, rollout in evaluation.rollouts.items()}
    assert "exited with code 3" in told["test_exits"]
    assert "SIGSEGV" in told["test_violates_a_segment"]


def test_a_case_that_hangs_is_lost_alone(project: Project, runner: Runner) -> None:
    evaluation = evaluate(project.suite(runner, names(HANGING, "test_hanging.py"), timeout=PATIENCE))

    assert outcomes(evaluation) == {
        "test_first": "passed",
        "test_hangs": "timeout",
        "test_hangs_and_has_a_child": "timeout",
        "test_last": "passed",
    }
    rollout = evaluation.rollouts["test_hanging.py::test_hangs"]
    assert (rollout.score, rollout.charged) == (None, True)
    assert rollout.trajectory.failure == "no answer within 3 seconds"


def test_what_many_cases_share_may_take_longer_to_set_up_than_a_case(project: Project, usual_runner: Runner) -> None:
    evaluation = evaluate(project.suite(usual_runner, names(SLOW_TO_SET_UP, "test_slow.py"), timeout=PATIENCE))

    assert outcomes(evaluation) == {
        "test_first": "passed",
        "test_hangs": "timeout",
        "test_hangs_before": "timeout",
        "test_last": "passed",
    }
    told = {rollout.trajectory.failure for rollout in evaluation.rollouts.values()}
    assert told == {"", "no answer within 3 seconds"}


def test_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "STARTUP_SECONDS", 0.5)
    told = supervised(lambda _: _Silent("next", "setting up", "setting up", "set up"), ["one"])
    assert told[-1] == lost("one", "timeout", "no answer within 0.5 seconds")


def refuse(_place: int) -> _Silent:
    raise BlockingIOError(11, "too many processes")


def test_cases_that_no_process_could_be_started_for_are_told_why() -> None:
    reason = "no worker process could be started for this case: [Errno 11] too many processes"
    told = [lost(case, "crashed", reason, begun=False) for case in ("one", "two")]
    assert supervised(refuse, ["one", "two"]) == told


def test_where_the_system_refuses_more_processes_those_that_work_do_the_rest() -> None:
    workers = iter([_Silent("next"), None, None, _Silent("next")])

    def start(place: int) -> _Silent:
        return next(workers) or refuse(place)

    told = supervised(start, ["one", "two"], workers=3)
    assert told == [lost(case, "timeout", "no answer within 0.1 seconds") for case in ("one", "two")]


def supervised(start: Callable[[int], _Silent], cases: Sequence[str], workers: int = 1) -> list[Mapping[str, Any]]:
    """What a supervisor tells of cases, with a timeout of 0.1 seconds; `start` is given the place of a worker."""
    told: list[Mapping[str, Any]] = []
    places = PlacesHere(Limit(workers))
    supervisor = Supervisor(
        spawn=lambda _channels, place: start(place),
        workers=workers,
        timeout=0.1,
        emit=told.append,
        places=places,
    )
    supervisor.run(cases)
    places.close()
    return told


def lost(case: str, outcome: str, reason: str, *, begun: bool = True) -> Mapping[str, Any]:
    return {"event": "lost", "case": case, "outcome": outcome, "reason": reason, "begun": begun}


class _Silent:
    """A worker that says something and then nothing more."""

    def __init__(self, *events: str) -> None:
        ours, self._theirs = socket.socketpair()
        self.channel = Channel(ours)
        for event in events:
            Channel(self._theirs).send({"event": event})

    def kill(self) -> None:
        self._theirs.close()

    def reap(self) -> str:
        return "ended"


def test_a_process_that_a_case_leaves_behind_holds_nothing_up(project: Project, usual_runner: Runner) -> None:
    evaluation = evaluate(project.suite(usual_runner, names(LEAVES_A_CHILD, "test_leaving.py")))

    assert outcomes(evaluation) == {"test_leaves_a_child_behind": "passed", "test_last": "passed"}


def test_a_case_that_is_not_there_under_the_candidate_has_vanished(project: Project, usual_runner: Runner) -> None:
    cases = [f"test_shrinking.py::test_line[{number}]" for number in range(3)] + ["test_shrinking.py::test_other"]
    suite = project.suite(usual_runner, cases)

    assert set(outcomes(evaluate(suite, "One.\nTwo.\nThree.\n")).values()) == {"passed"}
    fewer = evaluate(suite, "One.\n")
    assert outcomes(fewer) == {
        "test_line[0]": "passed",
        "test_line[1]": "vanished",
        "test_line[2]": "vanished",
        "test_other": "passed",
    }
    assert "not collected" in fewer.rollouts[cases[1]].trajectory.failure
    assert fewer.charged[cases[1]] is False


def test_a_module_that_breaks_under_the_candidate_has_vanished_for_its_reason(
    project: Project, usual_runner: Runner
) -> None:
    inside, healthy = names(BROKEN, "test_broken.py"), "test_healthy.py::test_healthy"

    rollouts = evaluate(project.suite(usual_runner, [*inside, healthy]), "Never.\n").rollouts

    assert [rollouts[case].outcome.value for case in inside] == ["vanished", "vanished"]
    assert all("where is today?" in rollouts[case].trajectory.failure for case in inside)
    assert rollouts[healthy].outcome.value == "passed"


def test_each_vanished_case_is_told_the_reason_of_its_own_file(project: Project, usual_runner: Runner) -> None:
    gone = "test_shrinking.py::test_line[1]"

    rollouts = evaluate(project.suite(usual_runner, ["test_broken.py::test_inside", gone]), "Never.\n").rollouts

    assert "where is today?" not in rollouts[gone].trajectory.failure
    assert "where is today?" in rollouts["test_broken.py::test_inside"].trajectory.failure


def test_a_conftest_that_breaks_under_the_candidate_is_told_for_every_case(build: Build, usual_runner: Runner) -> None:
    broken = BROKEN.split("def test_")[0]
    project = build({"conftest.py": broken, "test_healthy.py": "def test_one(): pass\ndef test_two(): pass\n"})

    suite = project.suite(usual_runner, ["test_healthy.py::test_one", "test_healthy.py::test_two"], concurrency=2)
    rollouts = evaluate(suite, "Never.\n").rollouts

    assert {rollout.outcome.value for rollout in rollouts.values()} == {"vanished"}
    assert all("where is today?" in rollout.trajectory.failure for rollout in rollouts.values())


def test_a_session_that_never_collects_is_given_up(
    build: Build, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork, "STARTUP_SECONDS", 0.5)
    monkeypatch.setattr(supervise, "STARTUP_SECONDS", 0.5)
    project = build({"conftest.py": "import threading\nthreading.Event().wait()\n"})
    suite = project.suite(runner, ["test_it.py::test_one", "test_it.py::test_two"], timeout=0.5)

    rollouts = evaluate(suite).rollouts.values()

    assert {rollout.score for rollout in rollouts} == {None}
    assert all(rollout.outcome.is_trouble for rollout in rollouts)
    told = "silent" if isinstance(runner, fork.ForkRunner) else "no worker process could be started"
    assert all(told in rollout.trajectory.failure for rollout in rollouts)


def test_a_session_that_dies_is_noticed_although_a_program_that_it_started_lives(
    build: Build, fork_runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork, "_patience", lambda _: 5.0)
    project = build({"conftest.py": "import os\nos.system('sleep 600 &')\nos._exit(3)\n"})

    (rollout,) = evaluate(project.suite(fork_runner, ["test_it.py::test_one"])).rollouts.values()

    assert rollout.outcome.value == "crashed"
    assert rollout.trajectory.failure == "the child session ended early"


@pytest.fixture
def flaky(build: Build, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setattr(evaluate_module, "BACKOFF_SECONDS", (0.0, 0.0))
    return build({"test_flaky.py": FLAKY})


def test_trouble_is_tried_again_from_the_allowance_and_within_bounds(flaky: Project, fork_runner: Runner) -> None:
    purse, heard = Purse(rollouts=10), list[Rollout]()

    evaluation = _evaluate_flaky(flaky, fork_runner, purse, heard)

    assert outcomes(evaluation) == {
        "test_fine": "passed",
        "test_refused_twice": "passed",
        "test_refused_always": "error",
    }
    assert (flaky.temp / "always").read_text() == "xxx"
    assert purse.asked == [2, 2]
    assert purse.settled == [(2, 0), (2, 0)]
    assert sorted(rollout.case for rollout in heard) == sorted(evaluation.rollouts)
    assert not any(evaluation.charged.values())


def test_trouble_is_not_tried_again_when_the_allowance_refuses(flaky: Project, fork_runner: Runner) -> None:
    purse, heard = Purse(rollouts=1), list[Rollout]()

    evaluation = _evaluate_flaky(flaky, fork_runner, purse, heard)

    assert outcomes(evaluation)["test_refused_twice"] == "error"
    assert (flaky.temp / "always").read_text() == "x"
    assert (purse.asked, purse.settled) == ([2], [])
    assert len(heard) == 3


def test_what_no_process_has_begun_costs_nothing_and_is_tried_again(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_to_fork(job: Job) -> fork.ForkedSession:
        raise BlockingIOError(11, "too many processes")

    waited, attempts = list[float](), list[Rollout]()
    project = build({"test_it.py": "def test_one(): pass\ndef test_two(): pass\n"})
    runner, purse = fork.ForkRunner(project.temp, (), []), Purse(rollouts=10)
    monkeypatch.setattr(runner, "_fork", refuse_to_fork)
    suite = project.suite(runner, ["test_it.py::test_one", "test_it.py::test_two"])
    monkeypatch.setattr(suite._stopping, "wait", waited.append)

    evaluation = suite.run(
        "candidate",
        {component.id: component.text for component in suite.components.values()},
        list(suite.cases),
        "search/0",
        allowance=purse,
        on_rollout=lambda _: None,
        on_attempt=attempts.append,
    )

    assert outcomes(evaluation) == {"test_one": "crashed", "test_two": "crashed"}
    told = {rollout.trajectory.failure for rollout in evaluation.rollouts.values()}
    assert told == {"no session could be forked: [Errno 11] too many processes"}
    assert not any(evaluation.charged.values())
    assert (attempts, purse.settled) == ([], [(2, 0), (2, 0)])
    assert waited == list(evaluate_module.BACKOFF_SECONDS)


class Scripted:
    """A runner whose jobs end as told, one after the other, all cases of a job alike."""

    def __init__(self, *ends: str) -> None:
        self._ends = iter(ends)

    def run(self, job: Job, emit: Callable[[Mapping[str, Any]], None], limit: Limit) -> None:
        outcome = Outcome(next(self._ends))
        score = 1.0 if outcome is Outcome.passed else None
        for case in job.cases:
            rollout = Rollout(job.candidate, case, job.trial, outcome, score, uses=(PROMPT,))
            emit({"event": "rollout", "rollout": to_json(rollout)})

    def stop(self) -> None:
        """Nothing runs."""

    def close(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize(
    ("ends", "cases", "is_waited_for"),
    [
        (("passed", "error", "error", "error"), 3, True),
        (("error", "error", "error"), 3, False),
        (("passed", "error", "error", "error"), 2, False),
    ],
)
def test_a_server_that_has_answered_and_is_gone_is_waited_for(
    ends: Sequence[str], cases: int, is_waited_for: bool, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    suite = build({}).suite(Scripted(*ends), [f"test_it.py::test_{number}" for number in range(cases)])
    monkeypatch.setattr(suite._stopping, "wait", waited.append)
    for _ in range(1 + ("passed" in ends)):
        evaluate(suite, allowance=Purse(rollouts=10))
    usual, longer = evaluate_module.BACKOFF_SECONDS, evaluate_module.OUTAGE_SECONDS
    assert waited == list(longer if is_waited_for else usual)


def test_nobody_waits_as_long_again_for_a_server_that_stays_away(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    suite = build({}).suite(Scripted("passed", *["error"] * 6), [f"test_it.py::test_{number}" for number in range(3)])
    monkeypatch.setattr(suite._stopping, "wait", waited.append)
    for _ in range(3):
        evaluate(suite, allowance=Purse(rollouts=10))
    assert waited == [*evaluate_module.OUTAGE_SECONDS, *evaluate_module.BACKOFF_SECONDS]


def test_nobody_waits_when_the_minutes_are_over(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    suite = build({}).suite(Scripted(*["error"] * 3), ["test_it.py::test_0"])
    monkeypatch.setattr(suite, "_around", replace(suite._around, deadline=0.0))
    monkeypatch.setattr(suite._stopping, "wait", waited.append)
    evaluate(suite, allowance=Purse(rollouts=10))
    assert waited == [0.0, 0.0]


def test_failures_and_vanished_cases_are_not_tried_again(project: Project, fork_runner: Runner) -> None:
    purse = Purse(rollouts=10)
    suite = project.suite(fork_runner, ["test_shrinking.py::test_line[1]", "test_shrinking.py::test_line[0]"])

    found = outcomes(evaluate(suite, "\n", allowance=purse))

    assert found == {"test_line[1]": "vanished", "test_line[0]": "failed"}
    assert purse.asked == []


def _evaluate_flaky(project: Project, runner: Runner, purse: Purse, heard: list[Rollout]) -> Evaluation:
    return evaluate(project.suite(runner, names(FLAKY, "test_flaky.py")), allowance=purse, heard=heard)
