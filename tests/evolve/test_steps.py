"""A test that checks one thing after the other: an edit that mends the first of them passes no case yet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.search import Search
from pytest_gepa.evolve.tasks import CaseResult, Closing, Evaluate, Reflect
from tests.evolve.world import World


class InTurn(World):
    """Every case checks its words one after the other, and stops at the first that is lacking."""

    def result(self, candidate: Candidate, case: str) -> CaseResult:
        known = super().result(candidate, case)
        wanted = self.needs[case]["p"]
        lacking = self.lacking(candidate, case, "p")
        if not lacking:
            return known
        line = 10 + wanted.index(lacking[0])
        return replace(known, likeness=f"the {lacking[0]} is wrong", reached=(line,))


def first_word(world: World, task: Reflect, name: str) -> str:
    """The reflection mends what it is shown: the check that failed."""
    lacking = world.lacking(task.parent, task.failing[0], name)
    return f"{task.parent.texts[name]}- mind the {lacking[0]}\n"


NEEDS = {f"c{number}": {"p": ("json", "date")} for number in range(6)}


def reflections(world: World) -> list[Reflect]:
    return [task for task in world.tasks if isinstance(task, Reflect)]


def run(world: World, **settings: object) -> Search:
    return world.run(world.search(groups=1, patience=4, stuck_after=99, **settings))


def test_an_edit_after_which_the_tests_get_further_is_gone_on_from() -> None:
    world = InTurn(NEEDS, editor=first_word)
    search = run(world)
    assert search.done == "every case passes"
    assert world.kinds() == ["baseline", "step", "accepted", "frontier", "done"]
    step = next(one for one in world.decisions if one.kind == "step")
    assert step.reason == "no case passes by it, but 6 got further before failing"
    first, second = reflections(world)
    assert (first.parent, second.parent.id) == (search.seed, step.candidate)
    assert (first.tally, second.tally) == ((0, 6), (0, 6))
    # It cost the cases that were shown, and no others.
    assert search.budget.spent == 3 * len(NEEDS)


def test_three_checks_in_a_row_take_two_steps() -> None:
    needs = {case: {"p": ("json", "date", "price")} for case in NEEDS}
    world = InTurn(needs, editor=first_word)
    assert run(world).done == "every case passes"
    assert world.kinds() == ["baseline", "step", "step", "accepted", "frontier", "done"]


def test_a_step_that_leads_nowhere_is_dropped_and_never_run_on_other_cases() -> None:
    def once(world: World, task: Reflect, name: str) -> str:
        if task.parent.parents:
            return f"{task.parent.texts[name]}Chatter {task.proposal}.\n"
        return first_word(world, task, name)

    needs = {f"c{number}": {"p": ("json", "date")} for number in range(30)}
    world = InTurn(needs, editor=once)
    search = run(world, minibatch=6)
    (step,) = (one.candidate for one in world.decisions if one.kind == "step")
    assert len(search.results[step]) == 6
    assert "frontier" not in world.kinds()
    stopped = next(one for one in world.decisions if one.kind == "stopped")
    assert (stopped.candidate, stopped.reason) == (
        step,
        "its cases got further before they failed, but none passes",
    )
    later = reflections(world)[-1]
    assert later.parent == search.seed
    assert [one.reason for one in later.discarded] == [stopped.reason]


def test_a_closing_search_does_not_run_a_step_to_its_end() -> None:
    world = InTurn(NEEDS, editor=first_word)
    search = world.search(groups=1, minibatch=3)
    while not any(one.kind == "step" for one in world.decisions):
        for task in search.ask():
            world.tell(search, world.answer(task))
    world.tell(search, Closing("the time is over"))
    assert not any(isinstance(task, Evaluate) for task in search.ask())
    assert search.best() == search.seed


@pytest.mark.parametrize("addition", ["Chatter.", "- json is out"])
def test_what_gets_no_further_is_no_step(addition: str) -> None:
    class Fickle(InTurn):
        """The first check comes to fail again once its word is ruled out."""

        def lacking(self, candidate: Candidate, case: str, component: str) -> list[str]:
            lost = ["json"] if "json is out" in candidate.texts[component] else []
            return lost + super().lacking(candidate, case, component)

    def edit(world: World, task: Reflect, name: str) -> str:
        return f"{task.parent.texts[name]}{addition} {task.proposal}\n"

    world = Fickle(NEEDS, texts={"p": "mind the json\n"}, editor=edit)
    run(world)
    assert set(world.kinds()) == {"baseline", "rejected", "done"}
