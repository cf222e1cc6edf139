"""Edits that failed together in one child are tried one by one."""

from __future__ import annotations

from dataclasses import replace

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.search import Search
from pytest_gepa.evolve.tasks import CaseResult, Closing, Evaluate, Event, Reflect, Reflected
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


def harmful_twice(world: World, task: Reflect, name: str) -> str:
    """Of the first edits only the one for the queues is good; later ones bring nothing."""
    word = lacking(world, task)
    is_good = word == "queue" and not task.parent.parents
    return f"{task.parent.texts[name]}{GOOD.format(word) if is_good else f'- gap {task.proposal}'}\n"


class Clashing(World):
    """Two words together spoil cases."""

    def result(self, candidate: Candidate, case: str) -> CaseResult:
        said = {*candidate.texts["p"].split()}
        clashes = any({*words.split()} <= said and case in spoilt for words, spoilt in self.spoils.items())
        known = super().result(candidate, case)
        return replace(known, score=0.0, likeness="a clash") if clashes else known


def harmful_third(world: World, task: Reflect, name: str) -> str | None:
    if task.parent.parents:
        return None
    word = lacking(world, task)
    return task.parent.texts[name] + (BAD if word == "queue" else GOOD.format(word))


def begin(editor: Editor, *names: str, patience: int = 9, kind: type[World] = World) -> tuple[World, Search]:
    """Three groups of four cases, one for each word; an edit with a gap in it spoils them all."""
    needs = words(*names)
    world = kind(needs, spoils={"gap": tuple(needs)}, editor=editor)
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


class Named(World):
    """Every edit has a summary of its own."""

    def answer(self, task: Evaluate | Reflect) -> Event:
        event = super().answer(task)
        if isinstance(event, Reflected):
            return replace(event, summaries=dict.fromkeys(event.summaries, f"edit {event.proposal}"))
        return event


def test_only_what_came_to_nothing_alone_is_told() -> None:
    world, search = begin(harmful_twice, "date", "price", "queue", patience=3, kind=Named)
    told = {one.summary: one.reason for task in world.tasks if isinstance(task, Reflect) for one in task.discarded}
    accepted = next(one.candidate for one in world.decisions if one.kind == "accepted")
    passed = search.candidates[accepted].proposal
    failed = {"p1", "p2", "p3"} - {passed}
    assert {f"edit {name}" for name in failed} <= told.keys()
    assert f"edit {passed}" not in told
    assert not any("with other edits" in reason for reason in told.values())


def test_what_undoes_an_edit_that_has_passed_is_not_kept() -> None:
    """The first two pass their cases each, but the dates fail beside the prices. The third spoils all."""
    needs = words("date", "price", "queue")
    dates = tuple(case for case in needs if case.startswith("date"))
    undone: list[str] = []
    for seed in range(6):  # in which order they come is drawn
        world = Clashing(needs, spoils={"gap": tuple(needs), "date price": dates}, editor=harmful_third)
        settings = {"minibatch": 4, "groups": 3, "alike": 1.0, "patience": 2, "stuck_after": 99}
        search = world.run(world.search(seed=seed, **settings))
        judged = [one for one in world.decisions if one.kind in ("accepted", "rejected")]
        kept = [search.candidates[one.candidate] for one in judged if one.kind == "accepted"]
        assert kept
        assert not any({"date", "price"} <= {*one.texts["p"].split()} for one in kept)
        undone += [one.candidate for one in judged if one.kind == "rejected" and one.scores[1] > one.scores[0]]
    # Where that for the prices comes later it passes the cases that were drawn for it, and is out all the same.
    assert undone


def test_a_search_that_ends_meanwhile_tries_no_more_of_them() -> None:
    world = World(words("date", "price", "queue"), editor=vain)
    search = world.search(minibatch=4, groups=3, alike=1.0)
    while "rejected" not in world.kinds():
        for task in search.ask():
            world.tell(search, world.answer(task))
    (alone,) = search.ask()
    world.tell(search, Closing("the time is over"))
    known = len(search.candidates)
    world.tell(search, world.answer(alone))
    assert search.ask() == ()
    assert len(search.candidates) == known
