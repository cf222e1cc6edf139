"""Which replies speak against the menu of edits that a model is given."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_gepa.evolve.candidate import Candidate, derive
from pytest_gepa.evolve.problem import SearchCase, SearchSettings
from pytest_gepa.evolve.search import Search
from pytest_gepa.evolve.tasks import Reflect
from pytest_gepa.optimize.menu_record import MenuRecord
from pytest_gepa.optimize.state import RunState
from pytest_gepa.prompts.edits import KINDS
from pytest_gepa.reflect.propose import MODEL_FREE, ProposedEdit

LEAK = "leak: 'Oslo' belongs to one case, and no other case can profit from it"
TEXTS = {"p": "Find dates.\n"}


class Asked:
    """A run in which rounds of replies come."""

    def __init__(self) -> None:
        self.search = Search([SearchCase("x")], TEXTS, SearchSettings(rollouts=9))
        self.state = RunState(self.search)
        self.record = MenuRecord(self.state, KINDS)

    def reply(self, *names: str, **said: object) -> list[Reflect]:
        """Each of these tasks is answered so; the tasks."""
        tasks = []
        for name in names:
            task = Reflect(name, self.search.seed, ("p",), ("x",))
            self.record.hand_out(task)
            made = ProposedEdit("p", **{"text": None, **said})  # type: ignore[arg-type]
            self.state.proposals[name] = {"p": made}
            self.record.heed_reply(task)
            tasks.append(task)
        return tasks

    def child(self, *names: str) -> Candidate:
        return derive(self.search.seed, {"p": f"Find {names}.\n"}, proposal="+".join(names))

    @property
    def menu(self) -> str:
        return self.record.choice.menu.name


def test_replies_that_cannot_be_read_bring_a_smaller_menu_and_leaks_do_not() -> None:
    read = Asked()
    read.reply("p1", "p2", "p3", rejections=(LEAK,))
    assert read.menu == "full"
    unread = Asked()
    unread.reply("p1", "p2", rejections=("no JSON: it is prose",))
    assert unread.menu == "rule"


def test_that_no_prompt_is_to_blame_is_an_answer_which_brings_nothing() -> None:
    asked = Asked()
    asked.reply("p1", "p2", "p3")
    assert asked.menu == "full"
    asked.reply("p4")
    assert asked.menu == "rule"


@pytest.mark.parametrize(("origin", "menu"), [("model", "rule"), (MODEL_FREE, "full")])
def test_a_model_that_repeats_itself_is_asked_in_another_way(origin: str, menu: str) -> None:
    asked = Asked()
    for number in range(4):
        tasks = asked.reply(f"p{number}", text="Find dates. Be brief.\n", origin=origin)
        tasks.append(replace(tasks[0], proposal=f"q{number}"))  # the last of the round held no edit
        asked.record.heed_duplicate(tasks)
    assert asked.menu == menu


def test_edits_that_failed_together_and_alone_are_one_failure() -> None:
    asked = Asked()
    asked.reply("p1", "p2", "p3", text="new")
    asked.record.heed_child(asked.child("p1", "p2", "p3"), gained=False)
    for name in ("p1", "p2", "p3"):
        asked.record.heed_child(asked.child(name), gained=False)
    assert asked.record.choice.fruitless == 1
    asked.record.heed_child(asked.child("p1", "p2"), gained=True)
    assert asked.record.choice.fruitless == 0
    assert asked.record.choice.has_gained
