from __future__ import annotations

import random
from dataclasses import replace

from pytest_gepa.evolve.candidate import Candidate, derive, seed_candidate
from pytest_gepa.evolve.ledger import Ledger
from pytest_gepa.evolve.minibatch import Minibatch
from pytest_gepa.evolve.problem import SearchCase, SearchSettings
from pytest_gepa.evolve.proposal import Part
from pytest_gepa.evolve.showcase import Showcase
from pytest_gepa.evolve.tasks import CaseResult, Discarded, Reflected

SEED = seed_candidate({"a": "0", "b": "0"})


def showcase(results: dict[str, CaseResult], **settings: int) -> Showcase:
    ledger = Ledger([SearchCase(case) for case in results])
    ledger.record_seed(SEED.id, results)
    return Showcase(ledger, SEED.id, SearchSettings(**settings), random.Random(0).random)  # type: ignore[arg-type]


def passed(*uses: str) -> CaseResult:
    return CaseResult(1.0, uses, "", True, "k")


def failed(*uses: str) -> CaseResult:
    return CaseResult(0.0, uses, "wrong", True, "k")


def discard(shelf: Showcase, parent: Candidate, summary: str, component: str = "a") -> None:
    reply = Reflected("p", {}, "", {component: summary})
    shelf.discard(parent, [Part("p", Minibatch(()), (component,), reply)], "no gain")


def test_neighbours_pass_and_share_a_component_with_the_failing() -> None:
    shelf = showcase({"bad": failed("a"), "near": passed("a", "b"), "far": passed("b"), "mute": passed()})
    assert shelf.minibatches(SEED.id, 1) == [Minibatch(("bad",), ("near",))]


def test_a_case_that_nobody_can_decide_is_no_neighbour_and_broken_by_nobody() -> None:
    results = {"bad": failed("a"), "coin": passed("a"), "near": passed("a")}
    ledger = Ledger([SearchCase(case) for case in results])
    ledger.record_seed(SEED.id, results)
    for name in ("one", "two", "three"):
        ledger.record(name, {case: replace(result, keys=name) for case, result in results.items()})
        ledger.repeat(name, {"coin": replace(failed("a"), keys=name)})
    assert ledger.undecidable == ("coin",)
    shelf = Showcase(ledger, SEED.id, SearchSettings(), random.Random(0).random)
    assert shelf.minibatches(SEED.id, 1) == [Minibatch(("bad",), ("near",))]
    ledger.record("child", dict.fromkeys(results, failed("a")))
    shelf.note_broken(SEED.id, "child", ("coin", "near"))
    assert +shelf.fragile == {"near": 1}


def test_every_failing_case_is_in_one_group_when_there_is_room() -> None:
    shelf = showcase({f"c{n}": failed("a") for n in range(7)}, minibatch=3)
    groups = shelf.minibatches(SEED.id, 3)
    assert [len(group.failing) for group in groups] == [3, 3, 1]
    assert {case for group in groups for case in group.failing} == {f"c{n}" for n in range(7)}


def test_what_edits_broke_is_remembered() -> None:
    results = {"x": passed("a"), "y": passed("a"), "z": failed("a")}
    ledger = Ledger([SearchCase(case) for case in results])
    ledger.record_seed(SEED.id, results)
    shelf = Showcase(ledger, SEED.id, SearchSettings(), random.Random(0).random)
    ledger.record("child", {"x": failed("a"), "y": passed("a"), "z": failed("a")})
    shelf.note_broken(SEED.id, "child", ("x", "y", "z", "not run"))
    assert +shelf.fragile == {"x": 1}


def test_the_last_discarded_edits_of_the_family_are_told_newest_last() -> None:
    shelf = showcase({"x": failed("a")}, discarded=2)
    child = derive(SEED, {"a": "1"})
    other = derive(SEED, {"a": "2"})
    discard(shelf, SEED, "first")
    discard(shelf, child, "second")
    discard(shelf, other, "of another line")
    discard(shelf, SEED, "of another component", "b")
    discard(shelf, SEED, "third")
    family = {one.id: one for one in (SEED, child, other)}
    assert shelf.discarded(family, child.id, ("a",)) == (
        Discarded("a", "second", "no gain"),
        Discarded("a", "third", "no gain"),
    )


def test_many_edits_of_one_prompt_leave_those_of_another_to_be_told() -> None:
    shelf = showcase({"x": failed("a")}, discarded=2)
    discard(shelf, SEED, "first", "b")
    for summary in ("second", "third", "fourth"):
        discard(shelf, SEED, summary)
    told = shelf.discarded({SEED.id: SEED}, SEED.id, ("a", "b"))
    assert [(one.component, one.summary) for one in told] == [("b", "first"), ("a", "third"), ("a", "fourth")]


def test_a_reflection_can_be_told_of_no_discarded_edit_at_all() -> None:
    shelf = showcase({"x": failed("a")}, discarded=0)
    discard(shelf, SEED, "first")
    assert shelf.discarded({SEED.id: SEED}, SEED.id, ("a",)) == ()


def test_edits_of_several_prompts_in_one_child_are_each_told_with_the_others() -> None:
    shelf = showcase({"x": failed("a")})
    reply = Reflected("p1", {"a": "1", "b": "2"}, summaries={"a": "+ 1", "b": "+ 2"})
    shelf.discard(SEED, [Part("p1", Minibatch(("x",), ()), ("a", "b"), reply)], "no gain")
    assert shelf.discarded({SEED.id: SEED}, SEED.id, ("a", "b")) == (
        Discarded("a", "+ 1", "tried together with an edit of b: no gain"),
        Discarded("b", "+ 2", "tried together with an edit of a: no gain"),
    )


def test_what_the_search_tried_itself_is_told_by_what_it_changed_all_of_it_in_one_entry() -> None:
    parent = derive(SEED, {"a": "0\n- one\n- two"})
    shelf = showcase({"x": failed("a")})
    children = [
        derive(parent, {"a": "0\n- two"}),
        derive(parent, {"a": "0\n- one"}),
        derive(parent, {"b": "1"}),
    ]
    shelf.discard(parent, (), "worse without", children)
    family = {one.id: one for one in (SEED, parent, *children)}
    assert shelf.discarded(family, parent.id, ("a", "b")) == (
        Discarded("a", "- - one\n- - two", "worse without"),
        Discarded("b", "- 0\n+ 1", "worse without"),
    )
    assert shelf.discarded(family, SEED.id, ("a", "b")) == ()


def test_an_edit_that_was_tried_again_and_again_is_told_once_and_leaves_room_for_others() -> None:
    shelf = showcase({"x": failed("a")}, discarded=2)
    for summary in ("other", "same", "same", "same"):
        discard(shelf, SEED, summary)
    told = shelf.discarded({SEED.id: SEED}, SEED.id, ("a",))
    assert [one.summary for one in told] == ["other", "same"]
