from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.children import Guard
from pytest_gepa.evolve.decisions import Decisions
from pytest_gepa.evolve.problem import SearchCase, SearchSettings
from pytest_gepa.evolve.search import Search, allow_all
from pytest_gepa.evolve.tasks import (
    CaseResult,
    Closing,
    Evaluate,
    Evaluated,
    Event,
    Reflect,
    Reflected,
    Retried,
    Retrying,
    Stopped,
)
from pytest_gepa.evolve.work import SearchError
from tests.evolve.world import World, add_rules, until, words_world


def reflections(world: World) -> list[Reflect]:
    return [task for task in world.tasks if isinstance(task, Reflect)]


def evaluations(world: World, purpose: str) -> list[Evaluate]:
    return [task for task in world.tasks if isinstance(task, Evaluate) and task.purpose == purpose]


def begin(world: World, **settings: object) -> tuple[Search, tuple[Evaluate | Reflect, ...]]:
    """Tell the baseline; return the search and the tasks that follow."""
    search = world.search(**settings)
    for task in search.ask():
        world.tell(search, world.answer(task))
    return search, search.ask()


def one_word(world: World, task: Reflect, component: str) -> str | None:
    """A weak reflection: it sees only what the first failing case lacks."""
    text = task.parent.texts[component]
    lacking = world.lacking(task.parent, task.failing[0], component)
    return f"{text}- mind the {lacking[0]}\n" if lacking else None


def test_it_asks_for_the_baseline_of_all_cases_first() -> None:
    world = words_world(["date"])
    (task,) = world.search().ask()
    assert isinstance(task, Evaluate)
    assert (task.purpose, task.cases) == ("baseline", ("date-0", "date-1", "date-2"))
    assert task.candidate.texts == world.texts


def test_nothing_is_asked_while_results_are_awaited() -> None:
    search = words_world(["date"]).search()
    assert search.ask()
    assert search.ask() == ()
    assert not search.done


def test_an_able_reflection_solves_a_small_world_in_two_runs_of_the_suite() -> None:
    world = words_world(["date", "price", "queue"])
    search = world.run(world.search())
    assert search.done == "every case passes"
    assert search.mean(search.best()) == 1.0
    assert search.budget.spent == 2 * len(world.needs)
    assert world.kinds() == ["baseline", "accepted", "frontier", "done"]


def test_the_baselines_failures_are_shown_and_never_bought_again() -> None:
    world = words_world(["date"])
    search = world.run(world.search())
    rerun = [task for task in world.tasks if isinstance(task, Evaluate) and task.candidate == search.seed]
    assert [task.purpose for task in rerun] == ["baseline"]


def test_a_run_in_which_all_pass_ends_at_once() -> None:
    world = words_world(["date"], texts={"prompt": "mind the date\n"})
    search = world.run(world.search())
    assert search.done == "every case passes already"
    assert reflections(world) == []
    assert search.best() == search.seed


def test_failures_that_use_no_component_leave_nothing_to_do() -> None:
    search = Search([SearchCase("x")], {"a": "text"}, SearchSettings(rollouts=9))
    search.ask()
    search.tell(Evaluated(search.seed.id, {"x": CaseResult(0.0, (), "bad", True, "k")}))
    assert search.done == "no failing case uses a prompt"


def test_no_evidence_at_all_ends_the_search() -> None:
    search = Search([SearchCase("x")], {"a": "text"}, SearchSettings(rollouts=9))
    search.tell(Evaluated(search.seed.id, {"x": CaseResult(None)}))
    assert search.done == "no case gave evidence"
    assert search.best() == search.seed


def test_all_components_that_the_failing_cases_used_are_reflected_on_together() -> None:
    needs = {"x": {"a": ("one",), "b": ("two",)}, "y": {"c": ()}}
    world = World(needs)
    search = world.run(world.search())
    (task,) = reflections(world)
    assert task.components == ("a", "b")
    assert search.best().changed == ("a", "b")
    assert search.done == "every case passes"


def test_the_gate_runs_failing_cases_and_a_rejected_child_costs_no_more() -> None:
    world = words_world(["date"], 5, editor=lambda world, task, name: task.parent.texts[name] + "Chatter.\n")
    world.run(world.search(patience=1))
    (gate,) = evaluations(world, "gate")
    assert set(gate.cases) == set(world.needs)
    assert world.kinds() == ["baseline", "rejected", "done"]


def test_neighbours_are_run_only_where_they_can_change_the_verdict() -> None:
    needs = {f"new-{n}": {"p": ("date",)} for n in range(2)} | {f"old-{n}": {"p": ()} for n in range(9)}
    world = World(needs, spoils={"date": tuple(f"old-{n}" for n in range(9))})
    world.run(world.search(neighbours=3, patience=1))
    first, second = evaluations(world, "gate")
    assert set(first.cases) == {"new-0", "new-1"}
    assert len(second.cases) == 3
    assert world.kinds() == ["baseline", "rejected", "done"]


def test_an_edit_that_reaches_no_request_is_told_apart() -> None:
    world = words_world(["date"])
    search, tasks = begin(world)
    for task in tasks:
        world.tell(search, world.answer(task))
    (gate,) = search.ask()
    assert isinstance(gate, Evaluate)
    seed = search.results[search.seed.id]
    told = world.tell(search, Evaluated(gate.candidate.id, {case: seed[case] for case in gate.cases}))
    assert [decision.kind for decision in told] == ["not in effect"]


def test_texts_that_were_tried_are_not_run_again() -> None:
    world = words_world(["date"], editor=lambda world, task, name: task.parent.texts[name] + "Chatter.\n")
    search = world.run(world.search(patience=5, stuck_after=99))
    assert world.kinds() == ["baseline", "rejected", *["duplicate"] * 4, "done"]
    assert len(evaluations(world, "gate")) == 1
    assert search.done == "5 proposals in a row brought no gain"


def test_replies_without_an_edit_end_the_search_before_patience_does() -> None:
    world = words_world(["date"], editor=lambda world, task, name: None)
    search = world.run(world.search(invalid=3, groups=1))
    assert search.done == "3 replies in a row held no edit that could be used"
    assert world.kinds() == ["baseline", "invalid", "invalid", "invalid", "done"]


def test_without_a_model_nobody_has_replied() -> None:
    world = words_world(["date"], editor=lambda world, task, name: None)
    search = world.run(world.search(invalid=3, groups=1, unite=False))
    assert search.done == "3 proposals in a row held no edit that could be used"


def test_a_task_that_nobody_was_asked_about_is_no_reply_without_an_edit() -> None:
    world = words_world(["date"], editor=lambda world, task, name: None)
    search, (task,) = begin(world, invalid=2, groups=1)
    assert isinstance(task, Reflect)
    world.tell(search, Reflected(task.proposal, asked=False))
    world.run(search)
    assert search.done == "2 replies in a row held no edit that could be used"
    assert world.kinds() == ["baseline", *["invalid"] * 3, "done"]


def test_a_reply_that_repeats_the_parent_holds_no_edit() -> None:
    world = words_world(["date"], editor=lambda world, task, name: task.parent.texts[name])
    assert "no edit" in world.run(world.search(invalid=2)).done


def test_the_reason_of_a_refused_reply_is_told() -> None:
    search, (task,) = begin(words_world(["date"]))
    assert isinstance(task, Reflect)
    (decision,) = search.tell(Reflected(task.proposal, rejections=("it lost the placeholder {x}",)))
    assert (decision.kind, decision.reason) == ("invalid", "it lost the placeholder {x}")


def test_the_next_try_is_told_what_was_discarded_and_how_often_it_was_tried() -> None:
    def vain(world: World, task: Reflect, name: str) -> str:
        return f"{task.parent.texts[name]}Chatter {task.proposal}.\n"

    world = words_world(["date"], editor=vain)
    world.run(world.search(patience=8, stuck_after=99))
    asked = reflections(world)
    assert [task.attempt for task in asked] == list(range(8))
    # The reflection of this world says the same of every edit: it is told once.
    assert [len(task.discarded) for task in asked] == [0, 1, 1, 1, 1, 1, 1, 1]
    assert asked[1].discarded[0].reason == ("it made no difference: mean score 0.00 on the cases shown, as before")


def test_many_failures_are_shared_out_among_several_reflections_and_their_edits_united() -> None:
    world = words_world(["date", "price", "queue", "card"], 6, editor=one_word)
    search = world.run(world.search(minibatch=6, groups=4, alike=1.0))
    first = reflections(world)[:4]
    assert {task.parent.id for task in first} == {search.seed.id}
    assert len({case for task in first for case in task.failing}) == 24
    united = evaluations(world, "gate")[0].candidate
    assert united.proposal == "p1+p2+p3+p4"
    assert len(united.texts["prompt"].splitlines()) == 5


def test_a_child_that_still_fails_much_is_reflected_on_before_it_is_run_on_all() -> None:
    world = words_world(["date", "price", "queue", "card"], 6, editor=one_word)
    search = world.run(world.search(minibatch=6, groups=1, alike=0.0))
    assert search.done == "every case passes"
    assert world.kinds()[:4] == ["baseline", "accepted", "accepted", "accepted"]
    first, second = (task.candidate for task in evaluations(world, "gate")[:2])
    assert second.parents == (first.id,)
    assert len(search.results[first.id]) < len(world.needs)


def test_without_chains_every_accepted_child_is_run_on_all() -> None:
    world = words_world(["date", "price"], 6, editor=one_word)
    search = world.run(world.search(minibatch=6, groups=1, chain_tries=0))
    assert world.kinds().count("accepted") == world.kinds().count("frontier") == 2
    # The first is left for its length alone, which counts as one case does.
    frontier = search.pool.frontier
    assert frontier.shares(frontier.members) == pytest.approx([12 / 13, 1 / 13])


def test_a_chain_that_fails_goes_on_with_what_passed() -> None:
    def once(world: World, task: Reflect, name: str) -> str | None:
        return one_word(world, task, name) if not task.parent.parents else None

    world = words_world(["date", "price"], 6, editor=once)
    search = world.run(world.search(minibatch=6, groups=1, alike=0.0, invalid=4))
    assert "frontier" in world.kinds()
    assert search.mean(search.best()) == 0.5


def harmed_world(guard: Guard = allow_all) -> World:
    """The first edit brings a line that breaks two cases, and no reflection takes it away again."""

    def stubborn(world: World, task: Reflect, name: str) -> str | None:
        text = add_rules(world, task, name)
        return None if text is None else text + ("- mind the gap\n" if not task.parent.parents else "")

    needs = {f"date-{n}": {"p": ("date",)} for n in range(6)} | {f"old-{n}": {"p": ()} for n in range(2)}
    return World(needs, spoils={"gap": ("old-0", "old-1")}, editor=stubborn, guard=guard)


def test_a_line_that_does_harm_is_taken_away_when_reflection_is_stuck() -> None:
    world = harmed_world()
    search = world.run(world.search())
    assert search.done == "every case passes"
    assert search.best().origin == "repair"
    assert "gap" not in search.best().texts["p"]


def test_a_repair_is_put_before_the_guard() -> None:
    def guard(component: str, parent: str, text: str, examples: object) -> str | None:
        return None if "gap" in text else "it lost the gap"

    world = harmed_world(guard)
    search = world.run(world.search())
    made = [one.texts["p"] for one in search.candidates.values() if one.origin in ("repair", "pruning")]
    assert made
    assert all("gap" in text for text in made)


def test_when_every_line_is_stuck_a_new_one_begins_at_the_seed() -> None:
    def dead_end(world: World, task: Reflect, name: str) -> str | None:
        """The first line of descent can never hold the second word."""
        text = task.parent.texts[name]
        if "first" in text:
            return f"{text}Chatter {task.proposal}.\n"
        return f"{text}first one\n" if not task.attempt else f"{text}- mind one two\n"

    needs = {f"c{n}": {"p": ("one",)} for n in range(4)} | {"last": {"p": ("one", "two")}}
    world = World(needs, editor=dead_end)
    search = world.run(world.search(groups=1, patience=9))
    assert search.done == "every case passes"
    assert search.best().parents == (search.seed.id,)


def test_a_union_is_put_before_the_guard() -> None:
    asked: list[tuple[str, str, str]] = []

    def guard(component: str, parent: str, text: str, examples: object) -> str | None:
        asked.append((component, parent, text))
        return "too long" if len(text.splitlines()) > 3 or "mind the date" not in text else None

    def word(world: World, task: Reflect, name: str) -> str:
        return f"{task.parent.texts[name]}- mind the date and {task.proposal}\n"

    world = words_world(["date", "price", "queue", "card"], 6, editor=word, guard=guard)
    world.run(world.search(minibatch=6, groups=4, patience=6))
    assert asked[0][:2] == ("prompt", world.texts["prompt"])
    # Four reflections on the seed would have made five lines of it; two of them were let in.
    assert evaluations(world, "gate")[0].candidate.proposal == "p1+p2"


def test_neither_of_two_candidates_alone_reaches_what_their_merge_does() -> None:
    """Each line of descent learns one half: reflection alone never writes both words into one text."""
    halves = {"left": ("one",), "right": ("two",)}

    def half(world: World, task: Reflect, name: str) -> str | None:
        said = task.parent.texts[name]
        if "one" in said or "two" in said:
            return said + f"Chatter {task.proposal}.\n"
        word = "one" if task.attempt % 2 else "two"
        return said + f"- mind the {word}\n"

    needs = {f"{side}-{n}": {"p": words} for side, words in halves.items() for n in range(4)}
    world = World(needs, editor=half)
    search = world.run(world.search(minibatch=8, groups=1, proposals_in_flight=2))
    assert search.done == "every case passes"
    best = search.best()
    assert best.origin == "merge"
    assert all(search.mean(search.candidates[parent]) == 0.5 for parent in best.parents)
    merges = evaluations(world, "merge")
    assert all(task.candidate == best for task in merges)


class Scripted(World):
    """A case passes when the last word of the text is one of those it is listed under."""

    passes: Mapping[str, tuple[str, ...]] = {
        "left": tuple(f"left-{n}" for n in range(10)),
        "right": tuple(f"right-{n}" for n in range(6)),
        "poor": ("left-0", "left-1", "left-2"),
    }

    def result(self, candidate: Candidate, case: str) -> CaseResult:
        word = candidate.texts["p"].split()[-1]
        good = case in self.passes.get(word, ())
        return CaseResult(float(good), ("p",), "" if good else "wrong", True, candidate.id)


def test_an_evaluation_ends_once_it_can_no_longer_matter() -> None:
    """A child of the one that passes the right cases gains on a few left ones, where another is better."""

    def edit(world: World, task: Reflect, name: str) -> str:
        word = "poor" if task.parent.parents else ("left", "right")[task.attempt % 2]
        return f"{task.parent.texts[name]}{task.proposal} {word}\n"

    needs: dict[str, dict[str, tuple[str, ...]]] = {
        case: {"p": ()} for word in ("left", "right") for case in Scripted.passes[word]
    }
    world = Scripted(needs, editor=edit)
    search = world.run(world.search(proposals_in_flight=2, groups=1, neighbours=0, chain_tries=0, patience=20))
    stopped = [decision for decision in world.decisions if decision.kind == "stopped"]
    assert stopped
    assert stopped[0].reason == "it can no longer reach the best, nor be the best on any case"
    assert not set(search.results[stopped[0].candidate]) & set(Scripted.passes["right"])


def test_a_stop_from_outside_ends_it_with_its_reason_and_what_was_paid_for_is_kept() -> None:
    world = words_world(["date"])
    search, (reflect,) = begin(world)
    world.tell(search, world.answer(reflect))
    (gate,) = search.ask()
    (decision,) = search.tell(Stopped("the time is up"))
    assert (decision.kind, search.done, search.ask()) == ("done", "the time is up", ())
    assert isinstance(gate, Evaluate)
    search.tell(world.answer(gate))
    assert search.budget.spent == 6
    assert search.best() == gate.candidate


def one_word_at_a_time(world: World, task: Reflect, component: str) -> str | None:
    text = task.parent.texts[component]
    lacking = [word for case in task.failing for word in world.lacking(task.parent, case, component)]
    return f"{text}- mind the {lacking[0]}\n" if lacking else None


@pytest.mark.parametrize("at", ["its gate", "a reflection on it"])
def test_when_the_time_is_over_what_has_passed_its_gate_is_run_to_its_end(at: str) -> None:
    world = words_world(["date", "price", "queue", "tone", "name"], 4, editor=one_word_at_a_time)
    search = world.search(groups=1, minibatch=4, chain_least=1)
    is_closed = False
    for _ in until(lambda: search.done and not search.is_evaluating):
        for task in search.ask():
            is_child = bool((task.candidate if isinstance(task, Evaluate) else task.parent).parents)
            is_here = isinstance(task, Evaluate) is (at == "its gate")
            if is_child and is_here and not is_closed:
                is_closed = True
                world.tell(search, Closing("the time is up"))
                if isinstance(task, Reflect):
                    continue
            world.tell(search, world.answer(task))
    assert is_closed
    assert search.done == "the time is up"
    best = search.best()
    assert best.parents == (search.seed.id,)
    assert search.mean(best) == pytest.approx(4 / 20)
    assert set(search.results[best.id]) == set(world.needs)


def test_when_the_time_is_over_cases_that_the_change_does_not_reach_ask_for_no_room() -> None:
    needs = {f"a{n}": {"a": ("date",)} for n in range(10)} | {f"b{n}": {"b": ()} for n in range(10)}
    world = World(needs)
    search, (reflect,) = begin(world, rollouts=40, minibatch=4, neighbours=0, groups=1)
    world.tell(search, world.answer(reflect))
    (gate,) = search.ask()
    search.tell(Retrying(8))
    search.tell(Retried(8, 8))
    world.tell(search, Closing("the time is up"))
    world.tell(search, world.answer(gate))
    assert search.budget.limit - search.budget.spent == 8, "enough for the 6 cases left that use `a`, not for all 16"
    ran: list[str] = []
    while tasks := search.ask():
        (task,) = tasks
        assert isinstance(task, Evaluate)
        results = {case: world.result(task.candidate, case) for case in task.cases}
        spared = {case: replace(one, charged=case.startswith("a")) for case, one in results.items()}
        ran += task.cases
        world.tell(search, Evaluated(task.candidate.id, spared))
    assert sorted(ran) == sorted(set(needs) - set(gate.cases))  # type: ignore[union-attr]
    assert search.best() != search.seed
    assert search.mean(search.best()) == 1.0
    assert (search.budget.spent, search.budget.reserved) == (20 + 4 + 8 + 6, 0)


def test_when_the_time_is_over_nothing_is_run_for_what_has_passed_no_gate() -> None:
    world = words_world(["date"])
    search, (reflect,) = begin(world)
    search.tell(Closing("the time is up"))
    assert (search.ask(), search.is_evaluating) == ((), False)
    assert isinstance(reflect, Reflect)
    assert search.tell(world.answer(reflect)) == ()
    assert search.ask() == ()


def test_an_evaluation_that_was_cut_short_is_given_up() -> None:
    world = words_world(["date"])
    search, (reflect,) = begin(world)
    world.tell(search, world.answer(reflect))
    (gate,) = search.ask()
    assert isinstance(gate, Evaluate)
    told = search.tell(Evaluated(gate.candidate.id, {}))
    assert (told[0].kind, told[0].reason) == ("stopped", "3 of its cases were not run")
    assert search.best() == search.seed


def test_it_ends_when_the_budget_cannot_hold_another_candidate() -> None:
    world = words_world(["date"], 5, editor=lambda world, task, name: f"Chatter {task.proposal}.\n")
    search = world.run(world.search(rollouts=17))
    assert search.budget.spent == 15
    assert search.done == "2 rollouts are left, too few to run another candidate on every case"


def test_results_from_the_cache_cost_nothing() -> None:
    world = words_world(["date"], 3)
    search, (reflect,) = begin(world, rollouts=6)
    world.tell(search, world.answer(reflect))
    (gate,) = search.ask()
    assert isinstance(gate, Evaluate)
    free = {case: CaseResult(0.0, ("prompt",), "bad", False, "k2") for case in gate.cases}
    search.tell(Evaluated(gate.candidate.id, free))
    assert (search.budget.spent, search.budget.remaining) == (3, 3)


def test_a_budget_below_one_run_of_the_suite_is_refused() -> None:
    with pytest.raises(SearchError, match="cannot hold one run of 3 cases"):
        words_world(["date"]).search(rollouts=2)


def test_a_retry_needs_room_in_the_budget() -> None:
    search = words_world(["date"]).search(rollouts=4)
    assert search.budget.reserve(1)
    assert not search.budget.reserve(1)
    search.tell(Retried(1, 0))
    assert search.budget.reserve(1)
    search.tell(Retried(1, 1))
    assert (search.budget.spent, search.budget.remaining) == (1, 0)


def test_an_event_that_answers_nothing_is_refused() -> None:
    search = words_world(["date"]).search()
    with pytest.raises(SearchError, match="no evaluation"):
        search.tell(Evaluated("nobody", {}))
    with pytest.raises(SearchError, match="no reflection"):
        search.tell(Reflected("p99"))


def test_several_proposals_are_under_way_when_that_is_asked_for() -> None:
    world = words_world(["date", "price", "queue"], 4, editor=one_word)
    search, tasks = begin(world, proposals_in_flight=3, groups=1, minibatch=4)
    assert len(tasks) == 3
    assert len({task.proposal for task in tasks if isinstance(task, Reflect)}) == 3
    for task in tasks:
        world.tell(search, world.answer(task))
    world.run(search)
    assert search.done == "every case passes"


def test_a_proposal_waits_for_room_that_others_may_give_back() -> None:
    world = words_world(["date", "price"], 3, editor=one_word)
    search, tasks = begin(world, rollouts=15, proposals_in_flight=2, groups=1, minibatch=3, alike=1.0)
    for task in tasks:
        world.tell(search, world.answer(task))
    for _ in until(lambda: search.done):
        for task in search.ask():
            event = world.answer(task)
            if isinstance(event, Evaluated):
                free = {
                    case: CaseResult(one.score, one.uses, one.likeness, False, one.keys)
                    for case, one in event.results.items()
                }
                event = Evaluated(event.candidate, free)
            world.tell(search, event)
    assert search.budget.spent == 6
    assert search.mean(search.best()) == 1.0


def test_trouble_does_not_count_for_or_against_a_child() -> None:
    world = words_world(["date"], 4)
    search, (reflect,) = begin(world)
    world.tell(search, world.answer(reflect))
    (gate,) = search.ask()
    assert isinstance(gate, Evaluate)
    results = dict(world.answer(gate).results)  # type: ignore[union-attr]
    results["date-2"] = CaseResult(None, (), "", True, "")
    told = search.tell(Evaluated(gate.candidate.id, results))
    assert [decision.kind for decision in told][:2] == ["accepted", "frontier"]
    assert search.mean(gate.candidate) == 0.75


def test_the_end_of_a_retry_decides_nothing() -> None:
    # Threads that wait for rollouts tell of it, and decisions are taken in one thread.
    world = words_world(["date"])
    search, (first, second) = begin(world, rollouts=9, proposals_in_flight=2, groups=1)
    search.tell(world.answer(first))
    (gate,) = search.ask()
    assert isinstance(second, Reflect)
    assert search.budget.reserve(1)
    search.tell(Reflected(second.proposal))
    assert search.budget.remaining < 3
    assert search.tell(Retried(1, 0)) == ()
    assert search.budget.remaining == 3
    assert search.ask() == ()
    search.tell(world.answer(gate))
    assert search.done == "every case passes"


def told(world: World, parent: str) -> set[tuple[str, str]]:
    """What reflections on a candidate were told to have come to nothing."""
    asked = [task for task in world.tasks if isinstance(task, Reflect) and task.parent.id == parent]
    return {(one.summary, one.reason) for task in asked for one in task.discarded}


def test_a_pruning_that_came_to_nothing_is_told() -> None:
    def stubborn(world: World, task: Reflect, name: str) -> str | None:
        """After the first rule nothing but chatter."""
        text = task.parent.texts[name]
        more = f"Chatter {task.proposal}." if task.parent.parents else "- mind the date\n\n- be kind"
        return f"{text}{more}\n"

    world = words_world(["date", "price"], 6, editor=stubborn)
    search = world.run(world.search(minibatch=6, groups=1, patience=16))
    pruned = next(one for one in search.candidates.values() if one.origin == "pruning")
    assert pruned.parents == (search.best().id,)
    assert (
        "- - mind the date",
        ("it made no difference: mean score 0.00 on the cases shown, as before"),
    ) in told(world, search.best().id)


def test_every_second_proposal_of_one_that_is_stuck_takes_a_line_away_until_one_helps() -> None:
    """A line that does no harm when it is added keeps a later rule from helping, and no edit takes it back."""

    def editor(world: World, task: Reflect, name: str) -> str | None:
        text = task.parent.texts[name]
        if not task.parent.parents:
            return f"{text}- mind the date\n\n- heed noise\n"
        return text + ("- mind the price\n" if "price" not in text else f"Chatter {task.proposal}.\n")

    needs = {f"{word}-{n}": {"p": (word,)} for word in ("date", "price") for n in range(3)}
    world = World({**needs, "late": {"p": ("price",)}}, spoils={"noise": ("late",)}, editor=editor)
    search = world.run(world.search(groups=1, patience=60, chain_tries=0))
    best = search.best()
    (stuck,) = best.parents
    assert (best.origin, search.done) == ("pruning", "every case passes")
    lines = best.texts["p"].splitlines()
    lost = [line for line in search.candidates[stuck].texts["p"].splitlines() if line not in lines]
    assert lost == ["- heed noise"]
    tried = {task.candidate.id: task.candidate for task in evaluations(world, "gate")}
    origins = [child.origin for child in tried.values() if child.parents == (stuck,)]
    assert origins == [*["reflection"] * 3, "pruning", "reflection", "pruning"]


def test_repairs_that_came_to_nothing_are_told_in_one_entry() -> None:
    """Of two rules that came together each mends cases, and both break the same ones."""

    def two_rules(world: World, task: Reflect, name: str) -> str | None:
        text = task.parent.texts[name]
        return f"{text}- mind the date\n\n- mind the price\n" if not task.parent.parents else None

    needs = {f"{word}-{n}": {"p": (word,)} for word in ("date", "price", "queue") for n in range(3)}
    needs |= {f"old-{n}": {"p": ()} for n in range(2)}
    spoils = {"date": ("old-0", "old-1"), "price": ("old-0", "old-1")}
    world = World(needs, spoils=spoils, editor=two_rules)
    search = world.run(world.search(groups=1, chain_tries=0))
    tried = [one for one in search.candidates.values() if one.origin == "repair"]
    assert len(tried) >= 2
    found = told(world, tried[0].parents[0])
    (entry,) = [edit for edit, why in found if why.startswith("each tried alone: taking this part")]
    assert "mind the date" in entry
    assert "mind the price" in entry


def test_a_merge_that_came_to_nothing_is_told_to_both_sides() -> None:
    """Each side's rule undoes what the other's is for."""

    def of_its_own(world: World, task: Reflect, name: str) -> str | None:
        if task.parent.parents:
            return f"{task.parent.texts[name]}Chatter {task.proposal}.\n"
        return f"{task.parent.texts[name]}- mind the {'price' if task.attempt else 'date'}\n"

    needs = {f"{word}-{n}": {"p": (word,)} for word in ("date", "price") for n in range(4)}
    spoils = {"date": tuple(needs)[4:], "price": tuple(needs)[:4]}
    world = World(needs, spoils=spoils, editor=of_its_own)
    search = world.run(world.search(groups=1, patience=16, chain_tries=0))
    merged = next(one for one in search.candidates.values() if one.origin == "merge")
    assert len(merged.parents) == 2
    for parent in merged.parents:
        entries = {edit: why for edit, why in told(world, parent) if why.startswith("to unite it")}
        lacking = "price" if "date" in search.candidates[parent].texts["p"] else "date"
        assert f"+ - mind the {lacking}" in entries


class Flaky(World):
    """A world in which the case "luck" fails in every trial but the second of the seed and the first of a child."""

    def answer(self, task: Evaluate | Reflect) -> Event:
        event = super().answer(task)
        if isinstance(event, Evaluated) and isinstance(task, Evaluate) and "luck" in event.results:
            lucky = task.trial == (0 if task.candidate.parents else 1)
            result = replace(event.results["luck"], score=float(lucky), passed=lucky)
            event = Evaluated(event.candidate, {**event.results, "luck": result})
        return event


def test_a_lead_by_a_lucky_first_trial_is_gone_after_as_many_trials_as_the_parent_has_had() -> None:
    def chatter(world: World, task: Reflect, name: str) -> str:
        return f"{task.parent.texts[name]}Chatter {task.proposal}.\n"

    needs = {"luck": {"p": ()}} | {f"never-{n}": {"p": ("price",)} for n in range(3)}
    world = Flaky(needs, editor=chatter)
    search = world.run(world.search(probe=4, patience=4, groups=1))
    # The seed's trials of the case are one failure and one pass: so are those of a child, which does no better.
    repeats = [task for task in evaluations(world, "repeat") if task.candidate.parents]
    assert repeats
    assert {(task.cases, task.trial) for task in repeats} == {(("luck",), 1)}
    # The first had its place before the seed was run again, and lost what luck had given it.
    assert world.kinds().count("accepted") == 1
    assert search.best().id == search.seed.id
    assert max(search.mean(one) for one in search.candidates.values()) == search.mean(search.seed)


class FlakyUntilSolved(World):
    """A world in which the seed passes the case "luck" in its first trial only."""

    def answer(self, task: Evaluate | Reflect) -> Event:
        event = super().answer(task)
        if isinstance(event, Evaluated) and isinstance(task, Evaluate):
            return Evaluated(event.candidate, self.trial(task, dict(event.results)))
        return event

    def trial(self, task: Evaluate, results: dict[str, CaseResult]) -> dict[str, CaseResult]:
        if task.trial and not task.candidate.parents and "luck" in results:
            results["luck"] = replace(results["luck"], score=0.0, passed=False)
        return results


def test_a_case_whose_second_trial_gives_no_evidence_is_not_run_for_ever() -> None:
    class Mute(FlakyUntilSolved):
        def trial(self, task: Evaluate, results: dict[str, CaseResult]) -> dict[str, CaseResult]:
            results = super().trial(task, results)
            if task.trial and task.candidate.parents and "date-0" in results:
                results["date-0"] = replace(results["date-0"], score=None, passed=None)
            return results

    world = Mute({"luck": {"p": ()}} | {f"date-{n}": {"p": ("date",)} for n in range(3)})
    search = world.run(world.search(probe=4))
    assert search.done == "every case passes"
    again = [task for task in evaluations(world, "repeat") if task.candidate.parents]
    assert len([task for task in again if "date-0" in task.cases]) == 1


def test_a_candidate_keeps_its_place_when_the_money_ends_in_its_second_trials() -> None:
    world = FlakyUntilSolved({"luck": {"p": ()}} | {f"date-{n}": {"p": ("date",)} for n in range(3)})
    search = world.search(probe=4)
    is_cut = False
    for _ in until(lambda: search.done and not search.is_evaluating):
        for task in search.ask():
            event = world.answer(task)
            if isinstance(task, Evaluate) and task.purpose == "repeat" and task.candidate.parents:
                is_cut = True
                world.tell(search, Stopped("the money is gone"))
                event = Evaluated(task.candidate.id, {})
            world.tell(search, event)
    assert is_cut
    assert "- mind the date" in search.best().texts["p"]


def test_todays_prompts_stand_on_the_frontier_as_all_their_trials_have_them() -> None:
    def only_dates(world: World, task: Reflect, name: str) -> str | None:
        return f"{task.parent.texts[name]}- mind the date\n" if not task.parent.parents else None

    needs = {"luck": {"p": ()}, "date": {"p": ("date",)}} | {f"never-{n}": {"p": ("price",)} for n in range(2)}
    world = FlakyUntilSolved(needs, editor=only_dates)
    search = world.run(world.search(probe=4, patience=2, minibatch=1))
    assert search.mean(search.seed) == pytest.approx(0.5 / 4)
    assert search.pool.frontier.means[search.seed.id] == search.mean(search.seed)


def test_a_candidate_that_was_run_on_every_case_may_win_before_the_repeats_are_over() -> None:
    world = FlakyUntilSolved({"luck": {"p": ()}} | {f"date-{n}": {"p": ("date",)} for n in range(3)})
    search = world.search(probe=4)
    purposes: list[str] = []
    for _ in until(lambda: "repeat" in purposes):
        for task in search.ask():
            purposes.append(task.purpose if isinstance(task, Evaluate) else "reflect")
            if purposes[-1] != "repeat":
                world.tell(search, world.answer(task))
    assert purposes == ["baseline", "reflect", "gate", "rest", "repeat"]
    assert "- mind the date" in search.best().texts["p"]
    world.tell(search, Stopped("enough"))
    assert "- mind the date" in search.best().texts["p"]


class Coin(World):
    """A world with noise; the seed passes the case "coin" in its first `heads` trials, and children never do."""

    heads = 1

    def answer(self, task: Evaluate | Reflect) -> Event:
        event = super().answer(task)
        if not (isinstance(event, Evaluated) and isinstance(task, Evaluate)):
            return event
        results = dict(event.results)
        for case, passes in (("noise", not task.trial), ("coin", task.trial < self.heads)):
            if case in results:
                passed = passes and not task.candidate.parents
                results[case] = replace(results[case], score=float(passed), passed=passed)
        return Evaluated(event.candidate, results)


def coin_world() -> Coin:
    steady = {"noise": {"p": ()}, "coin": {"p": ()}}
    return Coin(steady | {f"date-{n}": {"p": ("date",)} for n in range(4)})


def seed_trials(world: World, case: str) -> list[int]:
    found = evaluations(world, "repeat")
    return [task.trial for task in found if not task.candidate.parents and case in task.cases]


def test_what_the_seed_passed_by_chance_bars_no_candidate() -> None:
    world = coin_world()
    search = world.run(world.search(probe=1, patience=6))
    assert "- mind the date" in search.best().texts["p"]
    assert seed_trials(world, "coin") == [1]


def test_what_is_broken_indeed_is_doubted_for_a_few_trials_only() -> None:
    world = coin_world()
    world.heads = 100
    search = world.run(world.search(probe=1, patience=6))
    assert search.best().id == search.seed.id
    assert "- mind the date" in search.best(max_broken=1).texts["p"]
    assert seed_trials(world, "coin") == [1, 2, 3, 4]


def test_where_trials_end_alike_nothing_broken_is_doubted() -> None:
    world = words_world(["date"], spoils={"date": ("steady",)})
    world.needs = {**world.needs, "steady": {"prompt": ()}}
    world.run(world.search(probe=2, patience=6))
    assert "frontier" in world.kinds()
    assert seed_trials(world, "steady") == []


def test_no_better_candidate_is_lost_to_a_doubt_that_the_end_of_the_search_cuts_off() -> None:
    def result(passes: bool, key: str) -> CaseResult:
        return CaseResult(float(passes), ("p",), "" if passes else "bad", keys=key, passed=passes)

    good_enough = Decisions(stop=lambda progress: "good enough" if progress.best >= 0.6 else "")
    search = Search(
        [SearchCase(case) for case in "abcde"],
        {"p": "x"},
        SearchSettings(rollouts=200, probe=5),
        decisions=good_enough,
    )
    seed, edits = search.seed.id, iter(["better"])

    def answer(task: Evaluate | Reflect) -> Event:
        if isinstance(task, Reflect):
            return Reflected(task.proposal, {"p": next(edits)})
        if task.candidate.id != seed:
            return Evaluated(task.candidate.id, {case: result(case != "a", "new") for case in task.cases})
        # Today's prompts pass "a" twice by luck, and "b" once.
        lucky = {"a": (0, 1), "b": (1,)}
        told = {case: result(task.trial in lucky.get(case, ()), "old") for case in task.cases}
        return Evaluated(seed, told)

    out = list(search.ask())
    while out:
        begun = [task for task in out if isinstance(task, Evaluate) and task.candidate.id == seed]
        assert not begun or len(out) == 1, "what a repeat of the seed tells is waited for"
        search.tell(answer(out.pop(0)))
        out += search.ask()
    assert search.done == "good enough"
    assert search.best().texts == {"p": "better"}
    assert (search.budget.reserved, search.is_evaluating) == (0, False)


class Tossed(World):
    """A world in which the case "coin" ends otherwise in each further trial, whatever the prompt says."""

    tosses = 0

    def answer(self, task: Evaluate | Reflect) -> Event:
        event = super().answer(task)
        if not (isinstance(event, Evaluated) and "coin" in event.results):
            return event
        self.tosses += 1
        passed = bool(self.tosses % 2)
        result = replace(event.results["coin"], score=float(passed), passed=passed)
        return Evaluated(event.candidate, {**event.results, "coin": result})


def test_a_case_that_nobody_can_decide_is_in_no_gate_and_gives_no_place() -> None:
    def dated(world: World, task: Reflect, name: str) -> str:
        return f"{task.parent.texts[name]}- mind the date, {task.proposal}\n"

    needs = {"coin": {"p": ()}} | {f"{word}-{n}": {"p": (word,)} for word in ("date,", "price") for n in range(3)}
    world = Tossed(needs, editor=dated, how=Decisions(select_parent=lambda choice: choice.seed))
    search = world.search(probe=7, patience=30, groups=1, chain_tries=0)
    was_set_aside = False
    for _ in until(lambda: search.done):
        for task in search.ask():
            if search.pool.ledger.undecidable:
                was_set_aside = True
                assert isinstance(task, Reflect) or task.purpose != "gate" or "coin" not in task.cases
                assert isinstance(task, Evaluate) or "coin" not in (*task.failing, *task.neighbours)
            world.tasks.append(task)
            world.tell(search, world.answer(task))
    assert was_set_aside
    assert search.pool.parents({}) or not search.pool.ledger.workable(search.seed.id)
    again = world.search(probe=7, patience=30, groups=1, chain_tries=0)
    for event in world.events:
        again.tell(event)
    assert (again.frontier(), again.done) == (search.frontier(), search.done)
    # Who alone passes it, and by far, is ahead of nobody.
    ahead = [2.0 if case == "coin" else 0.0 for case in search.pool.ledger.active]
    assert search.pool.frontier.add("lucky", ahead) == 0


def test_a_search_goes_on_while_the_budget_holds_an_edit_of_the_prompt_that_fewest_cases_use() -> None:
    """A change of `small` reaches two cases, one of `large` twenty: the others answer as before, from the cache."""
    needs = {f"l{n}": {"large": ("hopeless",)} for n in range(20)} | {f"s{n}": {"small": ("word",)} for n in range(2)}

    def edit(world: World, task: Reflect, name: str) -> str | None:
        return f"{task.parent.texts[name]}{task.proposal}\n" if name == "large" else add_rules(world, task, name)

    class Cached(World):
        def result(self, candidate: Candidate, case: str) -> CaseResult:
            known = super().result(candidate, case)
            return replace(known, charged=not candidate.parents or set(candidate.changed) >= set(known.uses))

    world = Cached(needs, editor=edit)
    search = world.run(world.search(rollouts=22 + 5))
    assert {case: search.pool.ledger.score(search.best().id, case) for case in ("s0", "s1")} == {
        "s0": 1.0,
        "s1": 1.0,
    }
    # What cannot be run any more is not asked for.
    assert all("large" not in task.components for task in reflections(world))


@pytest.mark.parametrize(("stuck_after", "patience"), [(3, 50), (99, 6)], ids=["when stuck", "at the end"])
def test_the_best_candidate_is_mended_where_an_earlier_edit_has_broken_a_case(stuck_after: int, patience: int) -> None:
    """The first edit breaks a case and mends three, which is let be; the second mends the rest."""

    def one_after_the_other(world: World, task: Reflect, name: str) -> str | None:
        text = task.parent.texts[name]
        if not task.parent.parents:
            return f"{text}- gap\n\nBe brief.\n- mind the date\n"
        return None if "price" in text else f"{text}- mind the price\n"

    needs = {f"date-{n}": {"p": ("date",)} for n in range(8)} | {f"price-{n}": {"p": ("price",)} for n in range(8)}
    world = World(
        {**needs, "old": {"p": ()}, "never": {"p": ("hopeless",)}},
        spoils={"gap": ("old",)},
        editor=one_after_the_other,
    )
    settings = {"stuck_after": stuck_after, "patience": patience, "invalid": 99}
    search = world.run(world.search(groups=1, neighbours=0, **settings))
    best = search.best()
    mended = next(at for at, one in enumerate(world.decisions) if one.candidate == best.id)
    vain = [one for one in world.decisions[:mended] if one.kind in ("invalid", "duplicate")]
    assert len(vain) == min(stuck_after, patience)
    assert best.origin == "repair"
    assert search.broken(best) == ()
    assert "gap" not in best.texts["p"]
    assert search.mean(best) == 17 / 18


def test_a_prompt_that_no_case_used_at_first_is_not_free() -> None:
    """Only behind a better route is the other prompt read; nothing helps there."""

    class Routed(World):
        def result(self, candidate: Candidate, case: str) -> CaseResult:
            known = super().result(candidate, case)
            if self.lacking(candidate, case, "route"):
                return replace(known, uses=("route",), keys=candidate.texts["route"])
            return known

    def edit(world: World, task: Reflect, name: str) -> str | None:
        if name == "route":
            return add_rules(world, task, name)
        return f"{task.parent.texts[name]}{task.proposal}\n"

    needs = {"easy": {"route": ("open",)}} | {f"c{n}": {"route": ("open",), "answer": ("hopeless",)} for n in range(5)}
    world = Routed(needs, editor=edit)
    search = world.run(world.search(rollouts=14))
    assert search.done == "2 rollouts are left, too few to run another candidate on every case"
    assert len(reflections(world)) == 1


def test_a_failing_case_that_came_to_nothing_once_does_not_end_the_search() -> None:
    class Outage(World):
        lost = False

        def answer(self, task: Evaluate | Reflect) -> Event:
            event = super().answer(task)
            is_child = isinstance(task, Evaluate) and task.candidate.parents
            if is_child and isinstance(event, Evaluated) and not self.lost and "date-2" in event.results:
                self.lost = True
                event = Evaluated(event.candidate, {**event.results, "date-2": CaseResult(None)})
            return event

    world = Outage({f"date-{n}": {"p": ("date",)} for n in range(4)})
    search = world.run(world.search(probe=4))
    assert search.done == "every case passes"
