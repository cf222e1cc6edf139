from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.evolve.tasks import Closing, Evaluated, Reflected, Stopped
from pytest_gepa.run.crew import Crew
from pytest_gepa.run.replay_order import RecordedCrew


def finish(crew: RecordedCrew, names: Sequence[str]) -> list[threading.Event]:
    """Start work of these names; each ends when its event is set."""
    gates = []
    for name in names:
        gate = threading.Event()

        def work(name: str = name, gate: threading.Event = gate) -> Evaluated:
            assert gate.wait(20)
            crew.tell(f"told by {name}")
            return Evaluated(name, {})

        crew.start(work)
        gates.append(gate)
    return gates


def all_of(crew: RecordedCrew) -> list[str]:
    found = []
    while crew.busy:
        message = crew.next(20)
        found.append(message.candidate if isinstance(message, Evaluated) else str(message))
    return found


@given(st.permutations("abcd"), st.permutations("abcd"))
def test_whatever_the_order_of_ends_results_come_in_the_recorded_order(recorded: list[str], ending: list[str]) -> None:
    crew = RecordedCrew([f"Evaluated {name}" for name in recorded])
    gates = dict(zip("abcd", finish(crew, "abcd"), strict=True))
    for name in ending:
        gates[name].set()
    assert all_of(crew) == [word for name in recorded for word in (f"told by {name}", name)]


def test_a_run_that_goes_on_is_told_at_once_what_was_paid_for() -> None:
    crew = RecordedCrew(["Evaluated b", "Evaluated a"], tells_late=False)
    gates = finish(crew, "ab")
    gates[0].set()
    assert crew.next(20) == "told by a"
    with pytest.raises(queue.Empty):
        crew.next(0)
    assert crew.busy == 2
    gates[1].set()
    assert all_of(crew) == ["told by b", "b", "a"]


def test_what_the_record_does_not_know_comes_as_it_ends() -> None:
    crew = RecordedCrew(["Evaluated lost", "Evaluated b", "Reflected p"])
    for gate in finish(crew, "ab"):
        gate.set()
    assert [word for word in all_of(crew) if len(word) == 1] == ["b", "a"]
    crew.start(partial(Reflected, "q"))
    assert crew.next(20).proposal == "q"
    assert crew.busy == 0


@pytest.mark.parametrize("kind", [Stopped, Closing])
def test_a_stop_comes_where_it_came_in_the_recorded_run(kind: type[Stopped] | type[Closing]) -> None:
    crew = RecordedCrew(["Evaluated a", f"{kind.__name__} the 5 minutes are over", "Evaluated b"])
    for gate in finish(crew, "ab"):
        gate.set()
    found: list[Any] = []
    while crew.busy:
        found.append(crew.next(20))
    assert [type(message) for message in found] == [str, Evaluated, kind, str, Evaluated]
    assert found[2] == kind("the 5 minutes are over")


@pytest.mark.parametrize("kind", [Stopped, Closing])
def test_a_stop_that_is_due_is_known_before_anything_is_begun(kind: type[Stopped] | type[Closing]) -> None:
    crew = RecordedCrew([f"{kind.__name__} the cap is reached", "Evaluated a"])
    assert crew.stop_due() == "the cap is reached"
    assert crew.stop_due() == ""
    (gate,) = finish(crew, "a")
    gate.set()
    assert all_of(crew) == ["told by a", "a"]
    assert crew.stop_due() == ""
    assert Crew().stop_due() == ""


def test_a_failure_is_raised_at_once_and_what_was_told_before_it_is_not_lost() -> None:
    def fail() -> None:
        crew.tell("a rollout")
        raise ZeroDivisionError

    crew = RecordedCrew(["Evaluated a"])
    (gate,) = finish(crew, "a")
    crew.start(fail)
    assert crew.next(20) == "a rollout"
    with pytest.raises(ZeroDivisionError):
        crew.next(20)
    gate.set()
    assert all_of(crew) == ["told by a", "a"]


def test_an_interrupted_run_learns_what_was_held_back() -> None:
    crew = RecordedCrew(["Evaluated a", "Evaluated b"])
    first, second = finish(crew, "ab")
    second.set()
    with pytest.raises(queue.Empty):
        crew.next(0.5)
    assert [getattr(message, "candidate", message) for message in crew.drain()] == ["told by b", "b"]
    assert crew.drain() == []
    first.set()


def test_messages_from_other_threads_are_not_held_back() -> None:
    crew = RecordedCrew(["Evaluated a"])
    (gate,) = finish(crew, "a")
    crew.tell("news")
    assert crew.next(20) == "news"
    gate.set()
    all_of(crew)
