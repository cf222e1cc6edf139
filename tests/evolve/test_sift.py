"""Edits that failed together in one child are tried one by one."""

from __future__ import annotations

from pytest_gepa.evolve.tasks import Evaluate, Reflect
from tests.evolve.world import World

GOOD = "- mind the {}\n"
BAD = "- gap\n"


def words(*names: str) -> dict[str, dict[str, tuple[str, ...]]]:
    return {f"{name}-{number}": {"p": (name,)} for name in names for number in range(4)}


def lacking(world: World, task: Reflect) -> str:
    return world.lacking(task.parent, task.failing[0], "p")[0]


def gates(world: World) -> list[Evaluate]:
    return [task for task in world.tasks if isinstance(task, Evaluate) and task.purpose == "gate"]


def harmful(world: World, task: Reflect, name: str) -> str:
    """Of the first three edits the one for the dates spoils the cases that pass, and mends nothing."""
    word = lacking(world, task)
    is_bad = word == "date" and not task.parent.parents
    return task.parent.texts[name] + (BAD if is_bad else GOOD.format(word))


def test_the_good_edits_of_a_child_that_failed_are_kept_without_asking_anew() -> None:
    needs = {**words("date", "price", "queue"), **{f"old-{n}": {"p": ()} for n in range(9)}}
    spoilt = tuple(case for case in needs if case.startswith(("old", "price-0", "price-1", "queue")))
    world = World(needs, spoils={"gap": spoilt}, editor=harmful)
    search = world.run(world.search(minibatch=6, groups=3, alike=1.0, neighbours=9, patience=9))
    assert search.done == "every case passes"
    assert "gap" not in search.best().texts["p"]
    union, *alone = gates(world)
    assert union.candidate.proposal == "p1+p2+p3"
    kinds = [(one.kind, one.candidate) for one in world.decisions if one.kind in ("accepted", "rejected")]
    assert kinds[0] == ("rejected", union.candidate.id)
    first = next(candidate for kind, candidate in kinds if kind == "accepted")
    # What passed alone was a reply to the round whose union failed.
    assert set(search.candidates[first].proposal.split("+")) < {"p1", "p2", "p3"}
    assert alone


def test_one_round_that_fails_costs_one_attempt_however_many_edits_are_tried_alone() -> None:
    def vain(world: World, task: Reflect, name: str) -> str:
        return f"{task.parent.texts[name]}- gap {task.proposal}\n"

    needs = {**words("date", "price", "queue"), **{f"old-{n}": {"p": ()} for n in range(9)}}
    spoilt = tuple(case for case in needs if case.startswith("old"))
    world = World(needs, spoils={"gap": spoilt}, editor=vain)
    search = world.run(world.search(minibatch=6, groups=3, alike=1.0, neighbours=9, patience=1, stuck_after=9))
    assert search.done == "1 proposals in a row brought no gain"
    assert len(world.decisions) == world.kinds().count("rejected") + 2


def test_edits_whose_cases_stayed_as_they_were_are_not_tried_alone() -> None:
    def vain(world: World, task: Reflect, name: str) -> str:
        return f"{task.parent.texts[name]}- chatter {task.proposal}\n"

    world = World(words("date", "price", "queue"), editor=vain)
    world.run(world.search(minibatch=6, groups=3, alike=1.0, patience=1, stuck_after=9))
    assert world.kinds() == ["baseline", "rejected", "done"]


def test_what_failed_with_others_and_alone_is_told_by_what_it_did_alone() -> None:
    def vain(world: World, task: Reflect, name: str) -> str:
        return f"{task.parent.texts[name]}- gap {task.proposal}\n"

    needs = {**words("date", "price"), **{f"old-{n}": {"p": ()} for n in range(9)}}
    spoilt = tuple(case for case in needs if case.startswith("old"))
    world = World(needs, spoils={"gap": spoilt}, editor=vain)
    world.run(world.search(minibatch=6, groups=2, alike=1.0, neighbours=9, patience=2, stuck_after=9))
    later = [task for task in world.tasks if isinstance(task, Reflect)][-1]
    assert later.attempt == 1
    assert all("with other edits" not in one.reason for one in later.discarded)
