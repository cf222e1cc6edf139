"""A search that begins with an earlier version of the prompts as well as with today's."""

from __future__ import annotations

from pytest_gepa.evolve.tasks import Evaluate, Reflect
from tests.evolve.world import World, words_world

HEAD = "You do.\n"


def world_of(today: str, before: str) -> World:
    world = words_world(["date", "price"], ancestor={"prompt": HEAD + before})
    world.texts = {"prompt": HEAD + today}
    return world


def test_it_is_run_on_every_case_right_after_the_baseline() -> None:
    world = world_of("- mind the price\n", "- mind the date\n")
    search = world.search()
    for task in search.ask():
        world.tell(search, world.answer(task))
    (task,) = search.ask()
    assert isinstance(task, Evaluate)
    assert set(task.cases) == set(world.needs)
    assert (task.candidate.origin, task.candidate.parents) == ("ancestor", (search.seed.id,))
    assert task.candidate.texts == world.ancestor
    world.tell(search, world.answer(task))
    assert {standing.candidate for standing in search.frontier()} == {search.seed.id, task.candidate.id}


def test_a_regression_is_mended_by_it_without_any_reflection() -> None:
    world = world_of("", "- mind the date\n- mind the price\n")
    search = world.run(world.search())
    assert search.done == "every case passes"
    assert search.best().origin == "ancestor"
    assert not any(isinstance(task, Reflect) for task in world.tasks)


def test_what_either_version_does_well_ends_up_in_one() -> None:
    world = world_of("- mind the price\n", "- mind the date\n")
    search = world.run(world.search())
    assert search.done == "every case passes"
    assert {"date", "price"} <= set(search.best().texts["prompt"].split())


def test_texts_as_they_are_today_are_not_run_twice() -> None:
    world = world_of("- mind the price\n", "- mind the price\n")
    search = world.run(world.search())
    assert all(candidate.origin != "ancestor" for candidate in search.candidates.values())


def test_it_is_the_first_that_is_run_on_every_case_and_then_the_baseline_is_repeated() -> None:
    world = world_of("- mind the price\n", "- mind the date\n")
    search = world.search(probe=3)
    for purpose in ("baseline", "rest", "repeat"):
        (task,) = search.ask()
        assert isinstance(task, Evaluate)
        assert task.purpose == purpose
        assert (task.candidate.origin == "ancestor") == (purpose == "rest")
        world.tell(search, world.answer(task))
