from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.evolve.candidate import derive, seed_candidate
from pytest_gepa.evolve.decisions import (
    Decisions,
    Gate,
    GateVerdict,
    NextStage,
    Pair,
    Parent,
    ParentChoice,
    Progress,
    WinnerChoice,
    better_than_rivals,
    draw_by_share,
    stop_when_stuck,
)
from pytest_gepa.evolve.minibatch import Draw, FailedCase
from pytest_gepa.evolve.repairs import Damage
from pytest_gepa.evolve.search import Search
from pytest_gepa.evolve.stages import Stage, run_what_can_matter
from pytest_gepa.evolve.tasks import CaseResult, Evaluate, Reflect
from tests.evolve.world import World, words_world

PARENTS = (Parent("one", 0.5, 0.75, 0), Parent("other", 0.4, 0.25, 2))


def choice(number: float, is_stuck: bool = False) -> ParentChoice:
    return ParentChoice(PARENTS, "seed", is_stuck, number)


def one_word(world: World, task: Reflect, component: str) -> str | None:
    """A weak reflection: it sees only what the first failing case lacks."""
    text = task.parent.texts[component]
    lacking = world.lacking(task.parent, task.failing[0], component)
    return f"{text}- mind the {lacking[0]}\n" if lacking else None


def chatter(world: World, task: Reflect, component: str) -> str:
    return f"{task.parent.texts[component]}Chatter {task.proposal}.\n"


def reflections(world: World) -> list[Reflect]:
    return [task for task in world.tasks if isinstance(task, Reflect)]


def gates(world: World) -> list[Evaluate]:
    return [task for task in world.tasks if isinstance(task, Evaluate) and task.purpose == "gate"]


def test_the_usual_parent_is_drawn_in_proportion_to_its_share() -> None:
    assert [draw_by_share(choice(number)) for number in (0.0, 0.74, 0.76, 0.999)] == [
        "one",
        "one",
        "other",
        "other",
    ]


def test_the_usual_parent_is_the_seed_when_the_frontier_is_stuck() -> None:
    assert draw_by_share(choice(0.0, is_stuck=True)) == "seed"


@given(st.lists(st.floats(0, 1), min_size=1), st.floats(0, 1, exclude_max=True))
def test_whatever_rounding_does_to_the_shares_somebody_is_drawn(shares: list[float], number: float) -> None:
    parents = tuple(Parent(f"c{at}", 0.0, share, 0) for at, share in enumerate(shares))
    assert draw_by_share(ParentChoice(parents, "seed", False, number)) in {one.candidate for one in parents}


def test_the_search_starts_where_it_is_told_to() -> None:
    seen: list[ParentChoice] = []

    def the_seed(choice: ParentChoice) -> str:
        seen.append(choice)
        return choice.seed

    how = Decisions(select_parent=the_seed, propose_merge=lambda pair: None)
    world = words_world(["date", "price", "queue"], 6, editor=one_word, how=how)
    search = world.run(world.search(groups=1, alike=1.0, chain_tries=0, patience=6))
    assert {task.parent.id for task in reflections(world)} == {search.seed.id}
    assert world.kinds().count("frontier") == 3
    assert [parent.candidate for parent in seen[0].parents] == [search.seed.id]
    last = seen[-1].parents
    assert [parent.mean for parent in last] == sorted((parent.mean for parent in last), reverse=True)
    assert sum(parent.share for parent in last) == pytest.approx(1.0)
    assert all(0 <= one.number < 1 for one in seen)
    assert any(one.is_stuck for one in seen)


def test_a_parent_is_told_with_the_proposals_that_came_to_nothing() -> None:
    seen: list[int] = []

    def note(choice: ParentChoice) -> str:
        seen.append(choice.parents[0].failures)
        return draw_by_share(choice)

    world = words_world(["date"], editor=chatter, how=Decisions(select_parent=note))
    world.run(world.search(patience=3))
    assert seen == [0, 1, 2]


def test_no_parent_ends_the_search() -> None:
    world = words_world(["date"], how=Decisions(select_parent=lambda choice: None))
    world.run(world.search())
    assert reflections(world) == []


def test_a_search_goes_on_until_it_is_stuck() -> None:
    def progress(without_gain: int, without_edit: int) -> Progress:
        return Progress(0.5, 10, 20, without_gain, 4, without_edit, 3)

    assert stop_when_stuck(progress(3, 2)) == ""
    assert stop_when_stuck(progress(4, 2)) == "4 proposals in a row brought no gain"
    assert stop_when_stuck(progress(0, 3)) == "3 replies in a row held no edit that could be used"
    without_model = replace(progress(0, 3), has_model=False)
    assert stop_when_stuck(without_model) == "3 proposals in a row held no edit that could be used"


def test_a_search_ends_for_the_reason_that_is_given() -> None:
    seen: list[Progress] = []

    def at_two_thirds(progress: Progress) -> str:
        seen.append(progress)
        return "two thirds will do" if progress.best > 0.6 else ""

    world = words_world(["date", "price", "queue"], editor=one_word, how=Decisions(stop=at_two_thirds))
    search = world.run(world.search(groups=1, alike=1.0, chain_tries=0))
    assert search.done == "two thirds will do"
    assert 0.6 < search.mean(search.best()) < 1
    assert seen[0].best == search.mean(search.seed)
    assert seen[0].rollouts == len(search.pool.ledger.cases)
    assert all(one.rollouts + one.remaining <= search.settings.rollouts for one in seen)


def test_a_search_that_somebody_keeps_going_ends_all_the_same() -> None:
    world = words_world(["date"], editor=lambda *_: None, how=Decisions(stop=lambda progress: ""))
    search = world.run(world.search(invalid=2))
    assert search.done.endswith("replies in a row held no edit that could be used")
    assert 20 <= int(search.done.split()[0]) <= 22
    world = words_world(["date"], editor=lambda world, task, name: task.parent.texts[name] + "Chatter.\n")
    world.how = Decisions(stop=lambda progress: "")
    assert world.run(world.search(patience=2, rollouts=10_000)).done


def test_the_winner_is_chosen_among_those_better_than_the_seed_that_break_no_case() -> None:
    seen: list[WinnerChoice] = []

    def the_last(choice: WinnerChoice) -> str:
        seen.append(choice)
        return choice.finalists[-1].candidate.id

    world = words_world(["date", "price", "queue"], editor=one_word, how=Decisions(choose_winner=the_last))
    search = world.run(world.search(groups=1, alike=1.0, chain_tries=0))
    chosen = search.choose_winner()
    (choice,) = seen
    assert choice.usual == search.best().id != chosen.id
    means = [one.mean for one in choice.finalists]
    assert means == sorted(means, reverse=True)
    assert chosen.id == choice.finalists[-1].candidate.id
    assert min(means) > search.mean(search.seed)
    assert search.seed.id not in {one.candidate.id for one in choice.finalists}
    assert all(not search.broken(one.candidate) for one in choice.finalists)


def test_where_nothing_is_better_nobody_is_asked_for_the_winner() -> None:
    def refuse(choice: WinnerChoice) -> str:
        raise AssertionError

    world = words_world(["date"], editor=chatter, how=Decisions(choose_winner=refuse))
    search = world.run(world.search(patience=2))
    assert search.choose_winner() is search.seed


def test_minibatches_are_those_that_were_chosen() -> None:
    def the_last(
        failures: Mapping[str, FailedCase],
        shown: Mapping[str, int],
        size: int,
        groups: int,
        alike: float,
        draw: Draw,
    ) -> list[tuple[str, ...]]:
        return [(list(failures)[-1],)]

    world = words_world(["date", "price"], how=Decisions(choose_minibatches=the_last))
    world.run(world.search(chain_tries=0))
    assert [task.failing for task in reflections(world)] == [("price-2",), ("date-2",)]


SEED = seed_candidate({"a": "0", "b": "0"})
CHILD = derive(SEED, {"a": "1"})


def gate(own: Mapping[str, float], rival: Mapping[str, float], **weights: float) -> Gate:
    cases = tuple(rival)
    return Gate(
        CHILD,
        own,
        {SEED.id: rival},
        tuple(case for case in cases if case not in own),
        {case: weights.get(case, 1.0) for case in cases},
    )


def test_the_usual_verdict_waits_for_what_can_change_it() -> None:
    assert better_than_rivals(gate({"x": 1.0}, {"x": 0.0})) == "accept"
    assert better_than_rivals(gate({"x": 1.0}, {"x": 1.0})) == "reject"
    assert better_than_rivals(gate({"x": 1.0}, {"x": 0.0, "y": 1.0})) == "wait"
    assert better_than_rivals(gate({"x": 0.0}, {"x": 0.0, "y": 1.0})) == "reject"
    assert better_than_rivals(gate({"x": 1.0}, {"x": 0.0, "y": 1.0}, x=2.0)) == "accept"


def test_means_are_over_the_cases_that_were_run() -> None:
    assert gate({"x": 1.0, "y": 0.0}, {"x": 0.0, "y": 1.0, "z": 1.0}, x=3.0).means == (0.25, 0.75)
    assert gate({}, {"x": 0.0}).means == (0.0, 0.0)


def run_with(verdict: GateVerdict, **given: object) -> tuple[World, Search]:
    world = words_world(["date"], how=Decisions(accept=lambda gate: verdict), **given)
    return world, world.run(world.search(patience=2))


def test_a_child_that_is_better_can_be_rejected() -> None:
    world, search = run_with("reject")
    assert "accepted" not in world.kinds()
    assert search.best() == search.seed


def test_a_child_that_is_no_better_can_be_accepted_and_the_reason_does_not_say_better() -> None:
    world, search = run_with("accept", editor=chatter)
    accepted = next(decision for decision in world.decisions if decision.kind == "accepted")
    assert accepted.reason == ("it made no difference: mean score 0.00 on the cases shown, as before")
    assert search.best() == search.seed, "acceptance at the gate decides nothing about the best"


def test_waiting_runs_the_child_on_the_whole_gate() -> None:
    seen: list[tuple[str, ...]] = []

    def patient(gate: Gate) -> GateVerdict:
        seen.append(gate.open)
        return "wait" if gate.open else "accept"

    world = words_world(["date", "price"], 4, editor=one_word, how=Decisions(accept=patient))
    world.texts = {"prompt": "mind the price\n"}
    world.run(world.search(chain_tries=0))
    assert seen[0]
    assert seen[1] == ()
    first, second = gates(world)[:2]
    assert first.candidate == second.candidate
    assert second.cases == seen[0]


def test_waiting_for_nothing_is_refused() -> None:
    world = words_world(["date"], how=Decisions(accept=lambda gate: "wait"))
    with pytest.raises(ValueError, match="no case of the gate is open"):
        world.run(world.search())


def test_what_has_no_effect_cannot_be_accepted() -> None:
    world = World({"x": {"a": ("one",)}, "y": {"a": (), "b": ()}}, how=Decisions(accept=lambda gate: "accept"))
    same = CaseResult(0.0, ("a",), "bad", True, "the same requests")
    world.result = lambda candidate, case: same  # type: ignore[method-assign]
    world.run(world.search(patience=2))
    assert "accepted" not in world.kinds()
    assert "not in effect" in world.kinds()


def rests(world: World) -> list[Evaluate]:
    return [task for task in world.tasks if isinstance(task, Evaluate) and task.purpose == "rest"]


def test_after_its_gate_a_candidate_is_run_on_what_was_chosen() -> None:
    seen: list[Stage] = []

    def one_by_one(stage: Stage) -> tuple[str, ...]:
        seen.append(stage)
        return stage.missing[-1:]

    world = words_world(["date", "price"], 4, editor=one_word, how=Decisions(next_stage=one_by_one))
    search = world.run(world.search(chain_tries=0))
    assert search.done == "every case passes"
    assert [task.cases for task in rests(world)] == [stage.missing[-1:] for stage in seen]
    assert all(stage.missing for stage in seen)
    assert {*seen[0].scores, *seen[0].missing} == set(world.needs)


def test_a_candidate_that_is_given_up_after_its_gate_is_run_no_further() -> None:
    world = words_world(["date"], 4, how=Decisions(next_stage=lambda stage: ()))
    search = world.run(world.search(minibatch=1, patience=2, chain_tries=0))
    assert rests(world) == []
    assert search.best() == search.seed
    assert "it is not run on the cases that are left" in {one.reason for one in world.decisions}


@pytest.mark.parametrize(("choose", "wanted"), [(run_what_can_matter, 1), (lambda stage: stage.missing, 8)])
def test_one_that_cannot_matter_any_more_can_be_run_all_the_same(choose: NextStage, wanted: int) -> None:
    def twice(world: World, task: Reflect, name: str) -> str:
        return f"{task.parent.texts[name]}- mind the date{' gap' if task.attempt else ''}\n"

    old = [f"old-{n}" for n in range(8)]
    needs = {"new": {"p": ("date",)}, "open": {"p": ("price",)}, **{case: {"p": ()} for case in old}}
    how = Decisions(select_parent=lambda choice: choice.seed, next_stage=choose)
    world = World(needs, spoils={"gap": tuple(old)}, editor=twice, how=how)
    world.run(world.search(neighbours=0, chain_tries=0, patience=1, stage=1))
    first, *others = rests(world)
    assert first.cases == tuple(old)
    assert sum(len(task.cases) for task in others) == wanted


def test_a_candidate_that_broke_cases_is_repaired_as_was_decided() -> None:
    """The usual versions take the rule back whole, as it is one hunk; this one knows better."""
    seen: list[Damage] = []

    def softer(damage: Damage) -> list[dict[str, str]]:
        seen.append(damage)
        return [{"p": damage.tip.texts["p"].replace("gap", "path")}]

    def stubborn(world: World, task: Reflect, name: str) -> str | None:
        return f"{task.parent.texts[name]}- mind the date gap\n" if not task.parent.parents else None

    needs = {f"date-{n}": {"p": ("date",)} for n in range(6)} | {f"old-{n}": {"p": ()} for n in range(2)}
    world = World(needs, spoils={"gap": ("old-0", "old-1")}, editor=stubborn, how=Decisions(propose_repairs=softer))
    search = world.run(world.search())
    assert search.done == "every case passes"
    assert search.best().origin == "repair"
    assert search.best().texts["p"].endswith("- mind the date path\n")
    (damage,) = seen
    assert (damage.base.id, damage.tip.texts["p"]) == (search.seed.id, "You do p.\n- mind the date gap\n")
    assert (len(damage.mended), damage.broken) == (6, ("old-0", "old-1"))


def test_two_candidates_are_united_as_was_decided() -> None:
    pairs: list[Pair] = []

    def loudly(pair: Pair) -> Mapping[str, str]:
        pairs.append(pair)
        return {"prompt": pair.one.texts["prompt"] + "LOUD\n" + pair.other.texts["prompt"]}

    world = two_lines(loudly)
    search = world.run(world.search(groups=1, alike=1.0, chain_tries=0))
    merged = next(one for one in search.candidates.values() if one.origin == "merge")
    assert "LOUD" in merged.texts["prompt"]
    pair = pairs[0]
    assert merged.parents == (pair.one.id, pair.other.id)
    assert pair.ancestor == search.seed
    scores = search.results
    assert all(scores[pair.one.id][case].score == 1 for case in pair.ahead)
    assert all(scores[pair.other.id][case].score == 1 for case in pair.behind)


def test_no_merge_is_no_merge() -> None:
    world = two_lines(lambda pair: None)
    world.run(world.search(groups=1, alike=1.0, chain_tries=0, patience=6))
    assert "merge" not in world.kinds()


def two_lines(unite: object) -> World:
    """A world whose proposals all start at the seed, so that two of them have to be united."""
    how = Decisions(select_parent=lambda choice: choice.seed, propose_merge=unite)  # type: ignore[arg-type]
    return words_world(["date", "price"], 4, editor=one_word, how=how)
