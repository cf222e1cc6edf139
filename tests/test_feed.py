"""In which order cases that have ended are shown, where they end in any."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_gepa.front import feed
from pytest_gepa.front.feed import MOST_WAITING, Feeder
from pytest_gepa.suite.rollout import Case, Outcome, Rollout

COUNT = 2 * MOST_WAITING


class Shown:
    """A session whose hooks note what they are told."""

    def __init__(self) -> None:
        self.names: list[str] = []
        names = [f"test_it.py::test_{number}" for number in range(COUNT)]
        self.hook = hook = SimpleNamespace(
            pytest_runtest_logstart=lambda nodeid, location: self.names.append(nodeid),
            pytest_runtest_logreport=lambda report: None,
            pytest_runtest_logfinish=lambda nodeid, location: None,
        )
        items = [SimpleNamespace(nodeid=name, location=("test_it.py", 1, name)) for name in names]
        session = SimpleNamespace(config=SimpleNamespace(hook=hook), items=items)
        self.feeder = Feeder(cast("Any", session), [Case(name, name) for name in names])

    def feed(self, *numbers: int) -> list[int]:
        """The numbers of all that was shown so far, after these have ended."""
        for number in numbers:
            self.feeder.feed(Rollout("c", f"test_it.py::test_{number}", "search/0", Outcome.passed, 1.0))
        return self.shown()

    def shown(self) -> list[int]:
        return [int(name.rpartition("_")[2]) for name in self.names]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    monkeypatch.setattr(feed, "finish_progress", lambda config: None)
    return Shown()


def test_they_are_shown_in_the_order_of_collection(shown: Shown) -> None:
    assert shown.feed(1, 3) == []
    assert shown.feed(0) == [0, 1]
    assert shown.feed(2) == [0, 1, 2, 3]


def test_many_do_not_wait_for_one_that_is_run_again(shown: Shown) -> None:
    assert shown.feed(*range(1, MOST_WAITING + 1)) == []
    assert shown.feed(MOST_WAITING + 1) == list(range(1, MOST_WAITING + 2))
    assert shown.feed(0)[-1] == 0


def test_at_the_end_what_waits_is_shown_though_others_never_came(shown: Shown) -> None:
    shown.feed(2, 1)
    shown.feeder.flush()
    assert shown.shown() == [1, 2]


def test_a_hook_of_another_that_fails_costs_nothing_and_is_told(shown: Shown) -> None:
    def fails(report: Any) -> None:
        raise AttributeError("'str' object has no attribute 'score'")

    shown.hook.pytest_runtest_logreport = fails
    assert shown.feed(0, 1) == [0, 1]
    (problem,) = shown.feeder.problems
    assert problem.startswith("a hook failed (")
    assert "test_feed.py:" in problem
    assert "AttributeError: 'str' object has no attribute 'score'), with the reports of 2 cases" in problem
