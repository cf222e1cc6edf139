"""Edits that failed together in one child are tried one by one."""

from __future__ import annotations

from pytest_gepa.evolve.search import Search
from pytest_gepa.evolve.tasks import Closing, Evaluate, Reflect
from tests.evolve.world import Editor, World

GOOD = "- mind the {}\n"
BAD = "- gap\n"


def words(*names: str) -> dict[str, dict[str, tuple[str, ...]]]:
    return {f"{name}-{number}": {"p": (name,)} for name in names for number in range(4)}


def lacking(world: World, task: Reflect) -> str:
    return world.lacking(task.parent, task.failing[0], "p")[0]


def gates(world: World) -> list[Evaluate]:
    return [task for task in world.tasks if isinstance(task, Evaluate) and task.purpose == "gate"]


def harmful(world: World, task: Reflect, name: str) -> str:
    """Of the first edits the one for the dates makes all cases fail, those for which the others are right as well."""
    word = lacking(world, task)
    is_bad = word == "date" and not task.parent.parents
    return task.parent.texts[name] + (BAD if is_bad else GOOD.format(word))


def begin(editor: Editor, *names: str, patience: int = 9) -> tuple[World, Search]:
    """Three groups of four cases, one for each word; an edit with a gap in it spoils them all."""
    needs = words(*names)
    world = World(needs, spoils={"gap": tuple(needs)}, editor=editor)
    settings = {"minibatch": 4, "groups": len(names), "alike": 1.0, "patience": patience, "stuck_after": 99}
    return world, world.run(world.search(**settings))


def test_the_good_edits_of_a_child_that_failed_are_kept_without_asking_anew() -> None:
    world, search = begin(harmful, "date", "price", "queue")
    assert search.done == "every case passes"
    assert "gap" not in search.best().texts["p"]
    union, *_ = gates(world)
    assert union.candidate.proposal == "p1+p2+p3"
    judged = [one for one in world.decisions if one.kind in ("accepted", "rejected")]
    assert (judged[0].kind, judged[0].candidate) == ("rejected", union.candidate.id)
    accepted = [search.candidates[one.candidate].proposal for one in judged if one.kind == "accepted"]
    # The two that passed alone are united, and the reflection on what is left comes after.
    first, both, *_ = accepted
    assert first in both.split("+")
    assert set(both.split("+")) < {"p1", "p2", "p3"}


def vain(world: World, task: Reflect, name: str) -> str:
    """No edit is of any use."""
    return f"{task.parent.texts[name]}- chatter {task.proposal}\n"


def test_one_round_that_fails_is_one_attempt_however_many_edits_are_tried_alone() -> None:
    world, search = begin(vain, "date", "price", "queue", patience=1)
    assert search.done == "1 proposals in a row brought no gain"
    assert world.kinds() == ["baseline", *["rejected"] * 4, "done"]


def test_what_failed_with_others_and_alone_is_told_once_by_what_it_did_alone() -> None:
    world, _ = begin(vain, "date", "price", patience=2)
    later = [task for task in world.tasks if isinstance(task, Reflect)][-1]
    assert later.attempt == 1
    assert later.discarded
    assert all("with other edits" not in one.reason for one in later.discarded)


def test_a_search_that_ends_meanwhile_tries_no_more_of_them() -> None:
    world = World(words("date", "price", "queue"), editor=vain)
    search = world.search(minibatch=4, groups=3, alike=1.0)
    while "rejected" not in world.kinds():
        for task in search.ask():
            world.tell(search, world.answer(task))
    world.tell(search, Closing("the time is over"))
    assert search.ask() == ()
    assert search.done == "the time is over"
