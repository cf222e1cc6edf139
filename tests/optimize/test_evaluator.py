"""What the search learns of rollouts, where a case was run more than once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from pytest_gepa.evolve.candidate import Candidate, derive
from pytest_gepa.evolve.problem import SearchCase, SearchSettings
from pytest_gepa.evolve.search import Search
from pytest_gepa.evolve.tasks import Evaluate, Evaluated, Stopped
from pytest_gepa.optimize.evaluator import Evaluator
from pytest_gepa.optimize.state import RunState, Screen
from pytest_gepa.run.crew import Crew
from pytest_gepa.run.journal import Journal
from pytest_gepa.run.shared_budget import SharedBudget
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.trace.trajectory import Call, Message, Trajectory
from tests.fake_suite import FakeSuite

ROUTE, REPLY = "route.md", "reply.md"
TEXTS = {ROUTE: "You route tickets of the Juniper desk to a queue.\n", REPLY: "You write a kind reply.\n"}
CASES = {name: Case(name, f"test_it.py::test_it[{name}]", "", (("word", repr(name)),)) for name in ("one", "two")}


def told(candidate: Candidate, case: str, passed: bool) -> Rollout:
    """A rollout of a case that uses the route prompt, "two" the other one as well."""
    used = (ROUTE, REPLY) if case == "two" else (ROUTE,)
    request = tuple(Message("system", candidate.texts[name]) for name in used)
    call = Call("k", "model", request, Message("assistant", "right" if passed else "wrong"), status=200)
    outcome = Outcome.passed if passed else Outcome.failed
    failure = "" if passed else "AssertionError: wrong"
    return Rollout(candidate.id, case, "", outcome, float(passed), Trajectory((call,), failure=failure), uses=used)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.jsonl", str)
    yield journal
    journal.close()


class Runs:
    """An evaluator whose rollouts of the case "one" end as `ends` says, trial by trial; "two" always fails."""

    def __init__(self, journal: Journal, ends: str) -> None:
        self.search = Search([SearchCase(case) for case in CASES], TEXTS, SearchSettings(40, probe=2))
        self.state, self.crew = RunState(self.search), Crew()
        self.suite = FakeSuite(lambda name, texts, case, trial: self.rollout(name, case, ends, trial))
        screen = cast("Screen", _Silent())
        self.evaluator = Evaluator(
            self.state, CASES, cast("Any", self.suite), journal, screen, self.crew, SharedBudget(9)
        )

    def rollout(self, name: str, case: str, ends: str, trial: str) -> Rollout:
        is_passed = case == "one" and ends[int(trial.rpartition("/")[2])] == "1"
        return told(self.search.candidates[name], case, is_passed)

    def run(self, task: Evaluate) -> Evaluated:
        event = self.evaluator.run(task)
        for message in self.crew.drain():
            message()
        return event

    def trial(self, candidate: Candidate, purpose: Any, trial: int, *cases: str) -> Evaluated:
        return self.run(Evaluate(candidate, cases, purpose, trial))


class _Silent:
    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def shown(runs: Runs, case: str) -> str:
    return runs.state.standing[runs.search.seed.id, case].outcome.value


@pytest.mark.parametrize(("ends", "outcomes"), [("10", "passed failed"), ("011", "failed failed passed")])
def test_a_case_is_shown_as_most_of_its_trials_ended_and_as_failing_in_doubt(
    journal: Journal, ends: str, outcomes: str
) -> None:
    runs = Runs(journal, ends)
    seen = []
    for trial in range(len(ends)):
        runs.trial(runs.search.seed, "repeat" if trial else "baseline", trial, "one")
        seen.append(shown(runs, "one"))
    assert seen == outcomes.split()
    first = runs.state.rollouts[runs.search.seed.id, "one"]
    assert first.outcome.value == ("passed" if ends[0] == "1" else "failed")


@pytest.mark.parametrize("is_replay", [False, True])
def test_a_stopped_case_ends_the_search_with_its_own_words_where_no_others_were_written(
    journal: Journal, is_replay: bool
) -> None:
    runs = Runs(journal, "1")
    runs.suite.is_replay = is_replay
    runs.suite.run_case = lambda name, texts, case, trial: Rollout(
        name, case, trial, Outcome.stopped, None, Trajectory(failure="the bill cannot be written\nnor read")
    )
    assert runs.evaluator.run(Evaluate(runs.search.seed, ("one",), "baseline", 0)).results == {}
    told = [message for message in runs.crew.drain() if not callable(message)]
    # A replay has it from its record.
    assert told == ([] if is_replay else [Stopped("the bill cannot be written")])
    assert runs.state.stopped == ("" if is_replay else "the bill cannot be written")


def test_an_untouched_case_stands_under_the_child_as_all_trials_under_the_parent_have_it(
    journal: Journal,
) -> None:
    runs = Runs(journal, "011")
    seed = runs.search.seed
    runs.search.ask()
    runs.search.tell(runs.trial(seed, "baseline", 0, "one", "two"))
    for trial in (1, 2):
        event = runs.trial(seed, "repeat", trial, "one")
        runs.search.pool.ledger.repeat(seed.id, event.results)
    child = derive(seed, {REPLY: "You write a kind and short reply.\n"})
    runs.search.pool.add(child)
    before = len(runs.suite.asked)
    results = runs.trial(child, "gate", 0, "one").results
    assert [asked.cases for asked in runs.suite.asked[before:]] in ([], [()])
    assert results["one"].score == 1.0
    assert not results["one"].charged
