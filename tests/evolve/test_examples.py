"""Cases that stand in a candidate's texts as examples: it can win nothing by them, nor hide what it broke."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.codec import from_json, to_json
from pytest_gepa.evolve.candidate import Candidate, derive, seed_candidate
from pytest_gepa.evolve.gate import judge_gate
from pytest_gepa.evolve.pool import Pool
from pytest_gepa.evolve.problem import SearchCase
from pytest_gepa.evolve.pruning import prunings
from pytest_gepa.evolve.tasks import CaseResult, Decision, Evaluate, Event, Reflect, Reflected
from pytest_gepa.prompts.examples import Example
from tests.evolve.world import World, words_world

CASES = ("a", "b", "c", "d")
SEED = seed_candidate({"p": "You do it.\n"})


def example(case: str) -> Example:
    return Example(case, "p", f"Example: the answer to {case} is so")


def child(name: str, *taken: str, parent: Candidate = SEED) -> Candidate:
    lines = "".join(f"{example(case).text}\n" for case in taken)
    text = f"{parent.texts['p']}{name}\n{lines}"
    return derive(parent, {"p": text}, taken=tuple(map(example, taken)))


def results(candidate: Candidate, scores: Mapping[str, float]) -> dict[str, CaseResult]:
    return {case: CaseResult(score, ("p",), "x", True, candidate.id) for case, score in scores.items()}


def pool(seed: str) -> Pool:
    """The pool after a baseline of these marks, one for each case: "1" passes."""
    found = Pool([SearchCase(case) for case in CASES], SEED)
    found.begin(results(SEED, marks(seed)))
    return found


def marks(written: str) -> dict[str, float]:
    return {case: float(mark) for case, mark in zip(CASES, written, strict=True)}


def entered(found: Pool, candidate: Candidate, written: str) -> Candidate:
    found.add(candidate)
    found.ledger.record(candidate.id, results(candidate, marks(written)))
    found.enter(candidate)
    return candidate


# What a candidate has


def test_a_child_has_its_parents_examples_as_long_as_they_stand_in_its_texts() -> None:
    parent = child("one", "a", "b")
    assert parent.examples == ("a", "b")
    text = parent.texts["p"]
    assert derive(parent, {"p": f"{text}more\n"}).examples == ("a", "b")
    assert derive(parent, {"p": text.replace(example("a").text, "")}).examples == ("b",)
    assert derive(parent, {"p": "All new.\n"}).examples == ()


def test_a_merge_has_the_examples_of_both_sides() -> None:
    found = pool("1000")
    one = entered(found, child("one", "d"), "1101")
    other = entered(found, child("two", "c"), "1011")
    third = entered(found, child("three"), "1010")
    merges = []
    while (merge := found.next_merge()) is not None:
        merges.append(merge.child)
    by_parents = {frozenset(merge.parents): merge for merge in merges}
    assert by_parents[frozenset({one.id, third.id})].examples == ("d",)
    assert one.examples + other.examples == ("d", "c")


def test_taking_the_line_of_an_example_away_lets_its_case_back_in() -> None:
    parent = child("one", "a")
    assert {pruned.examples for pruned in prunings(parent, SEED.texts)} == {("a",), ()}


def test_examples_survive_the_journal() -> None:
    parent = child("one", "a", "b")
    assert from_json(Candidate, to_json(parent)) == parent
    event = Reflected("p1", {"p": "x"}, examples=(example("a"),))
    assert from_json(Reflected, to_json(event)) == event


# What counts


def test_an_examples_case_wins_its_candidate_nothing() -> None:
    found = pool("1000")
    taken = entered(found, child("one", "b"), "1100")
    assert found.frontier.means[taken.id] == found.frontier.means[SEED.id] == 0.25
    assert found.ledger.score(taken.id, "b") == 0
    assert found.best(0) == SEED


def test_an_example_cannot_hide_what_a_parent_broke() -> None:
    found = pool("1100")
    breaker = entered(found, child("one"), "0111")
    hider = entered(found, child("two", "a", parent=breaker), "1111")
    assert found.ledger.broken(breaker.id) == found.ledger.broken(hider.id) == ("a",)
    assert found.ledger.score(hider.id, "a") == 0


def test_a_gate_is_not_passed_by_an_example_alone() -> None:
    found = pool("0000")
    ledger = found.ledger
    memorised, learnt = child("one", "a"), child("two", "a")
    for candidate, written in ((memorised, "1000"), (learnt, "1100")):
        found.add(candidate)
        ledger.record(candidate.id, results(candidate, marks(written)))
    assert judge_gate(ledger, memorised, [SEED.id], CASES).verdict == "failed"
    assert judge_gate(ledger, learnt, [SEED.id], CASES).verdict == "passed"


def test_what_is_left_out_is_not_worked_on_and_need_not_be_solved() -> None:
    found = pool("1000")
    taken = entered(found, child("one", "d"), "1110")
    assert found.ledger.workable(taken.id) == {}
    assert found.ledger.solved(taken.id)
    assert not found.ledger.solved(SEED.id)


def test_two_candidates_are_compared_on_the_cases_that_neither_has_as_an_example() -> None:
    found = pool("0000")
    entered(found, child("plain"), "1100")
    with_one = entered(found, child("one", "a"), "1110")
    # On b, c and d the one with the example is ahead, 2 to 1; a says nothing of it.
    assert found.best(9) == with_one


def test_an_example_costs_nothing_either_where_the_rest_is_equal() -> None:
    found = pool("0000")
    plain = entered(found, child("plain"), "1110")
    entered(found, child("one", "d"), "1101")
    assert found.best(9) == plain


MADE = st.tuples(st.sets(st.sampled_from(CASES), max_size=2), st.text("01", min_size=4, max_size=4))


@given(st.text("01", min_size=4, max_size=4), st.lists(MADE, max_size=5))
def test_the_best_is_never_worse_than_the_seed_and_the_old_rule_holds_where_nobody_has_examples(
    seed: str, made: list[tuple[set[str], str]]
) -> None:
    found = pool(seed)
    written = {SEED: seed}
    for at, (taken, marked) in enumerate(made):
        written[entered(found, child(f"n{at}", *sorted(taken)), marked)] = marked
    best = found.best(9)
    fair = [case for case in CASES if case not in best.examples]
    assert found.ledger.sum(best.id, fair) >= found.ledger.sum(SEED.id, fair)
    if not any(one.examples for one in written):
        assert written[best].count("1") == max(marked.count("1") for marked in written.values())


# In a search


class Taking(World):
    """A world whose reflection takes the first failing case as an example, and learns its word by it."""

    def answer(self, task: object) -> Event:
        event = super().answer(task)  # type: ignore[arg-type]
        if isinstance(task, Reflect) and isinstance(event, Reflected):
            case = task.failing[0]
            line = f"Example: the answer to {case} is so"
            (name, text), *_ = event.texts.items()
            taken = (Example(case, name, line),)
            return Reflected(event.proposal, {name: f"{text}{line}\n"}, event.diagnosis, event.summaries, (), taken)
        return event


def test_a_search_goes_on_with_examples_and_puts_them_before_the_guard() -> None:
    asked: list[tuple[str, ...]] = []

    def guard(component: str, parent: str, text: str, examples: object) -> str | None:
        asked.append(tuple(examples))  # type: ignore[call-overload]
        return None

    plain = words_world(["date", "price", "queue", "card"], 6)
    world = Taking(plain.needs, guard=guard)
    search = world.run(world.search(seed=1))
    best = search.best()
    assert best.examples
    assert all(any(f"answer to {case} is" in text for text in best.texts.values()) for case in best.examples)
    assert search.pool.ledger.solved(best.id)
    assert any(asked)


def test_telling_the_events_again_gives_the_same_candidates() -> None:
    world = Taking(words_world(["date", "price"], 4).needs)
    search = world.run(world.search(seed=3))
    again = Taking(world.needs).search(seed=3)
    told: list[Decision] = []
    for event in world.events:
        again.ask()
        told += again.tell(event)
    assert told == world.decisions
    assert {name: one.taken for name, one in again.candidates.items()} == {
        name: one.taken for name, one in search.candidates.items()
    }


def test_a_case_that_is_an_example_is_not_run_under_those_that_have_it() -> None:
    found = pool("1000")
    taker = child("one", "b")
    found.add(taker)
    assert found.ledger.missing(taker.id) == ("a", "c", "d")
    heir = child("two", parent=taker)
    found.add(heir)
    assert "b" not in found.ledger.missing(heir.id)
    without = derive(heir, {"p": heir.texts["p"].replace(example("b").text, "")})
    found.add(without)
    assert found.ledger.missing(without.id) == CASES, "it judges again who has it no more"


def test_the_gate_of_an_example_is_the_other_cases_shown() -> None:
    def take(world: World, task: Reflect, component: str) -> str | None:
        return f"{task.parent.texts[component]}{example(task.failing[0]).text}\n"

    class Taking(World):
        def answer(self, task: Evaluate | Reflect) -> Event:
            told = super().answer(task)
            if isinstance(told, Reflected):
                assert isinstance(task, Reflect)
                told = replace(told, examples=(Example(task.failing[0], "prompt", example(task.failing[0]).text),))
            return told

    needs = {name: {"prompt": (name,)} for name in CASES}
    world = Taking(needs, editor=take)
    search = world.run(world.search(patience=3))
    taken = [task for task in world.tasks if isinstance(task, Evaluate) and task.candidate.examples]
    assert taken
    assert all(not {*task.cases} & {*task.candidate.examples} for task in taken)
    alone = Taking({"a": needs["a"]}, editor=take)
    alone.run(alone.search(patience=3))
    assert "all cases shown are examples in it, and cannot judge it" in [one.reason for one in alone.decisions]
    assert search.best().id == search.seed.id
