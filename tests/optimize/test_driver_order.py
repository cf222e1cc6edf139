"""Whole searches without processes, whose reflections end in one order or another: the outcome is the same."""

from __future__ import annotations

import random
import re
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa import hookspecs
from pytest_gepa.errors import ReflectionError
from pytest_gepa.evolve.problem import SearchCase, SearchSettings
from pytest_gepa.evolve.search import Search
from pytest_gepa.evolve.tasks import Evaluated, Reflected
from pytest_gepa.optimize.driver import SearchDriver
from pytest_gepa.optimize.extensions import Extensions
from pytest_gepa.optimize.state import RunState, Screen
from pytest_gepa.prompts.guards import Guard
from pytest_gepa.prompts.leaks import CaseText, Leaks, case_values
from pytest_gepa.reflect.model import RawReply
from pytest_gepa.reflect.request import ChatMessage
from pytest_gepa.run.clock import RunClock
from pytest_gepa.run.crew import Crew
from pytest_gepa.run.journal import Journal, read_journal
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.trace.trajectory import Call, Message, Trajectory
from tests.fake_suite import FakeSuite
from tests.harness import edits

ROUTE, REPLY = "route.md", "reply.md"
TEXTS = {ROUTE: "You route tickets of the Juniper desk.\n", REPLY: "You write a kind reply.\n"}
SOURCE = "def test_route(ticket, queue):\n    assert route(ticket) == queue\n"
LABELS = ("billing", "fault", "sales")
CASES = [
    Case(name, f"test_it.py::{name}", SOURCE, (("ticket", repr(f"the {n}th ticket")), ("queue", repr(label))))
    for n, label in enumerate(LABELS * 4)
    for name in [f"test_route[{n}]"]
]
WORTH = "Be brief."
"""A line that mends every third case."""


class Ordered(Crew):
    """Hands on what ends meanwhile in the order of `rank`, whatever ended first."""

    def __init__(self, rank: Callable[[Any], int]) -> None:
        super().__init__()
        self._rank = rank
        self._ready: list[Any] = []

    def next(self, timeout: float | None = None) -> Any:
        if not self._ready:
            told, ended, number = [], [], self.busy
            while len(ended) < number:
                message = super().next(60)
                (ended if isinstance(message, (Evaluated, Reflected)) else told).append(message)
            self._ready = [*told, *sorted(ended, key=self._rank)]
            # They count as busy until they are handed on.
            self.busy += number
        message = self._ready.pop(0)
        self.busy -= isinstance(message, (Evaluated, Reflected))
        return message


@dataclass
class Desk:
    """A model of twelve tickets that all fail today. `reflect` answers a reflection request."""

    reflect: Callable[[str], str]
    asked: list[str] = field(default_factory=list)
    has_ended: bool = False
    settings: Any = field(default_factory=lambda: SimpleNamespace(model="reflector"))

    def end(self) -> None:
        self.has_ended = True

    def ask(self, messages: Sequence[ChatMessage], schema: object = None) -> RawReply:
        said = messages[1]["content"]
        self.asked.append(said)
        return RawReply(self.reflect(said), "stop", "", 10, 1)

    def rollout(self, name: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        number = [one.id for one in CASES].index(case)
        wanted = LABELS[number % 3]
        is_right = WORTH in texts[ROUTE] and number % 3 == 0
        answer = wanted if is_right else f"The {wanted} queue"
        asked = (
            *(Message("system", text) for text in texts.values()),
            Message("user", f"the {number}th ticket"),
        )
        printed = f">   assert route(ticket) == queue\nE   AssertionError: assert {answer!r} == {wanted!r}"
        trajectory = Trajectory(
            (Call(f"{case} {texts}", "task", asked, Message("assistant", answer), status=200),),
            failure="" if is_right else printed,
        )
        outcome = Outcome.passed if is_right else Outcome.failed
        return Rollout(name, case, trial, outcome, float(is_right), trajectory, uses=tuple(TEXTS), charged=True)

    def search(self, crew: Crew | None = None, concurrency: int = 8, **settings: int) -> RunState:
        """The state of a search that has ended."""
        rules = SearchSettings(**{"rollouts": 400, "minibatch": 3, "patience": 5, **settings})
        strings = [CaseText(case.id, case_values(case.parameters, case.source)) for case in CASES]
        guard = Guard(TEXTS, Leaks(strings, TEXTS.values()))
        manager = pytest.PytestPluginManager()
        manager.add_hookspecs(hookspecs)
        state = RunState(Search([SearchCase(case.id) for case in CASES], TEXTS, rules, guard.check))
        with tempfile.TemporaryDirectory() as place:
            journal = Journal(Path(place) / "journal.jsonl", str)
            SearchDriver(
                state,
                {case.id: case for case in CASES},
                cast("Any", FakeSuite(self.rollout)),
                cast("Any", self),
                journal,
                cast("Screen", _Silent()),
                RunClock(None, state.started, lambda: 0, len(CASES), concurrency),
                guard,
                Extensions(manager.hook),
                crew=crew,
                concurrency=concurrency,
            ).run()
            journal.close()
            self.journal = list(read_journal(Path(place) / "journal.jsonl"))
        return state

    def records(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.journal if record["record"] == kind]


class _Silent:
    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def outcome(state: RunState) -> tuple[object, ...]:
    search = state.search
    texts = [(one.id, one.texts, one.proposal) for one in search.candidates.values()]
    return texts, state.decisions, search.done, dict(state.menus), search.best().id


def by_number(sign: int) -> Ordered:
    """Replies in the order in which they were asked for, or the other way round."""
    return Ordered(lambda event: sign * int(event.proposal[1:]) if isinstance(event, Reflected) else 0)


def test_what_stands_in_for_replies_without_an_edit_does_not_hang_on_which_came_first() -> None:
    first, last = (Desk(lambda said: "I would rather not.").search(by_number(sign)) for sign in (1, -1))
    assert len(first.search.candidates) > 2
    assert outcome(first) == outcome(last)


@pytest.mark.thorough
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_whatever_is_replied_the_order_of_replies_changes_nothing(replies: int, order: int) -> None:
    def reflect(said: str) -> str:
        draw = random.Random(f"{replies} {said}")
        line = draw.choice([WORTH, "Be polite.", "Be quick.", "Name the queue."])
        return draw.choice(["I would rather not.", edits(), edits(f"- {line}")])

    draws = random.Random(order)
    mixed = Ordered(lambda event: draws.randrange(100))
    assert outcome(Desk(reflect).search(by_number(1))) == outcome(Desk(reflect).search(mixed))


@pytest.mark.parametrize("concurrency", [1, 2])
def test_as_many_reflections_are_under_way_as_concurrency_allows(concurrency: int) -> None:
    under_way, most = 0, 0
    lock, meeting = threading.Lock(), threading.Barrier(concurrency)

    def reflect(said: str) -> str:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        meeting.wait(60)
        with lock:
            under_way -= 1
        return edits()

    desk = Desk(reflect)
    desk.search(concurrency=concurrency)
    assert len(desk.asked) > 6
    assert most == concurrency
    assert desk.has_ended, "what is still to be asked when the search is over would be paid for in vain"


def test_one_at_a_time_reflections_go_out_in_the_order_of_groups_and_prompts() -> None:
    desk = Desk(lambda said: edits(f"- Be polite, {len(desk.asked)} times."))
    desk.search(concurrency=1, patience=4)
    # The first round is opened by a rule of the checks, the second by all that they state.
    wanted = [(name, record["failing"][0]) for record in desk.records("reflect")[6:] for name in record["components"]]
    pattern = r"\A# Prompt to edit: (\S+)\n.*?## Failing case 1: test_it.py::(\S+)\n"
    shown = [re.search(pattern, said, re.S) for said in desk.asked]
    assert [found.groups() for found in shown if found] == wanted


def test_after_a_model_that_cannot_be_used_nothing_more_is_asked() -> None:
    def refuse(said: str) -> str:
        raise ReflectionError("no such key")

    desk = Desk(refuse)
    state = desk.search(concurrency=1)
    assert (state.reflection_failed, len(desk.asked)) == ("no such key", 1)


def test_the_round_that_rules_of_the_checks_have_opened_is_no_attempt_of_the_model() -> None:
    desk = Desk(lambda said: edits(f"- Be polite, {len(said)} times."))
    desk.search(patience=4)
    assert [one["origin"] for one in desk.records("proposal")[:2]] == ["model-free"] * 2
    first, *later = (said for said in desk.asked if "# Prompt to edit: route.md" in said)
    assert "This is request" not in first
    assert any("This is request 2 about this version" in said for said in later)
