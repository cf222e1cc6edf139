"""Two members of the frontier that changed the same lines are united by a reflection on both."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gepa.evolve.candidate import derive, seed_candidate
from pytest_gepa.evolve.decisions import Decisions, Pair
from pytest_gepa.evolve.ledger import Ledger
from pytest_gepa.evolve.minibatch import Minibatch
from pytest_gepa.evolve.problem import SearchCase, SearchSettings
from pytest_gepa.evolve.proposal import Part
from pytest_gepa.evolve.tasks import CaseResult, Evaluate, Reflect, Reflected
from pytest_gepa.evolve.union import loses_a_side, seen_apart, union
from tests.evolve.world import Editor, World, until

TEXTS = {"p": "You do p.\n- mind nothing\n"}


def rewrite(world: World, task: Reflect, name: str) -> str | None:
    """Each attempt rewrites the same line, in the sense of the first failing case alone; an able one unites."""
    text = task.parent.texts[name]
    if task.other is not None:
        return f"{text}{task.other.candidate.texts[name]}"
    lacking = world.lacking(task.parent, task.failing[0], name)
    return TEXTS["p"].replace("nothing", lacking[0]) if lacking else None


def unable(world: World, task: Reflect, name: str) -> str | None:
    return None if task.other else rewrite(world, task, name)


def two_lines(editor: Editor = rewrite, **more: object) -> World:
    """A world in which all proposals start at the seed, and three cases need one word, four the other."""
    needs = {f"{word}-{n}": {"p": (word,)} for word, count in (("date", 3), ("price", 4)) for n in range(count)}
    merges = more.pop("propose_merge", None)
    how = {"propose_merge": merges} if merges else {}
    decisions = Decisions(select_parent=lambda choice: choice.seed, **how)  # type: ignore[arg-type]
    return World(needs, editor=editor, texts=TEXTS, how=decisions, **more)  # type: ignore[arg-type]


def run(world: World, **settings: object) -> World:
    world.run(world.search(**{"groups": 1, "alike": 1.0, "chain_tries": 0, "patience": 6, **settings}))
    return world


def asked(world: World) -> list[Reflect]:
    return [task for task in world.tasks if isinstance(task, Reflect) and task.other is not None]


def merges(world: World) -> list[Evaluate]:
    return [task for task in world.tasks if isinstance(task, Evaluate) and task.purpose == "merge"]


def test_two_that_changed_the_same_line_are_united_by_a_reflection() -> None:
    world = two_lines()
    search = world.run(world.search(groups=1, alike=1.0, chain_tries=0))
    (task,) = asked(world)
    assert task.other is not None
    assert "price" in task.parent.texts["p"]  # four cases against three: the better side
    assert "date" in task.other.candidate.texts["p"]
    assert task.other.base == TEXTS
    assert task.components == ("p",)
    assert {case[:4] for case in task.failing} == {"date"}
    assert {case[:5] for case in task.neighbours} == {"price"}
    assert len(task.neighbours) == 3
    best = search.best()
    assert (best.origin, best.proposal) == ("merge", task.proposal)
    assert best.parents == (task.parent.id, task.other.candidate.id)
    assert search.done == "every case passes"
    # All seven differ, and the child has to beat both sides on them.
    assert {case for one in merges(world) for case in one.cases} == set(world.needs)


def test_a_search_without_a_model_does_not_ask_and_takes_one_wording() -> None:
    world = run(two_lines(), unite=False)
    assert asked(world) == []
    # The better side's wording alone makes no new text.
    assert merges(world) == []


def test_additions_are_merged_line_by_line_without_a_question() -> None:
    def add(world: World, task: Reflect, name: str) -> str:
        word = world.lacking(task.parent, task.failing[0], name)[0]
        return f"{task.parent.texts[name]}- mind the {word}\n"

    world = run(two_lines(add))
    assert asked(world) == []
    assert merges(world)[0].candidate.proposal == ""


def test_a_reply_without_a_text_ends_the_attempt_and_nothing_else() -> None:
    world = run(two_lines(unable), invalid=1)
    assert len(asked(world)) == 1
    (told,) = (one for one in world.decisions if one.kind == "invalid")
    assert told.reason == "no edit was proposed"
    done = world.decisions[-1]
    assert done.kind == "done"
    assert "held no edit" not in done.reason


def test_where_a_question_gave_nothing_the_lines_are_merged_and_it_is_not_put_again() -> None:
    def more(world: World, task: Reflect, name: str) -> str | None:
        text = unable(world, task, name)
        return None if text is None else f"Said in {task.proposal}.\n{text}"

    world = run(two_lines(more))
    pairs = [frozenset((task.parent.id, task.other.candidate.id)) for task in asked(world) if task.other]
    assert len(pairs) == len(set(pairs)) >= 1
    first = merges(world)[0].candidate
    assert first.proposal == ""
    assert frozenset(first.parents) in pairs
    assert "rejected" in world.kinds()


def test_what_the_guard_refuses_is_asked_for() -> None:
    def guard(component: str, parent: str, text: str, examples: object) -> str | None:
        return "too long" if len(text.splitlines()) > 3 else None

    def add(world: World, task: Reflect, name: str) -> str:
        if task.other is not None:
            return f"{TEXTS[name]}- mind the date and the price\n"
        word = world.lacking(task.parent, task.failing[0], name)[0]
        return f"{task.parent.texts[name]}- mind the {word}\n"

    world = run(two_lines(add, guard=guard))
    assert len(asked(world)) == 1
    assert [one.reason.partition(" is ")[2] for one in world.decisions if one.kind == "invalid"] == [
        "refused: too long"
    ]
    assert world.kinds()[-1] == "done"
    assert world.decisions[-1].reason == "every case passes"


def test_a_union_that_the_guard_refuses_is_no_child() -> None:
    def guard(component: str, parent: str, text: str, examples: object) -> str | None:
        return "too long" if "date" in text and "price" in text else None

    world = run(two_lines(guard=guard))
    assert len(asked(world)) == 1
    assert merges(world) == []
    assert [one.reason for one in world.decisions if one.kind == "invalid"] == ["the union is refused"]


def test_a_union_that_was_tried_before_is_a_duplicate() -> None:
    world = run(two_lines(lambda *task: task[1].other.candidate.texts["p"] if task[1].other else rewrite(*task)))
    assert len(asked(world)) == 1
    assert "duplicate" in world.kinds()
    assert merges(world) == []


def test_after_a_merge_that_failed_at_its_gate_the_question_is_put_once() -> None:
    def vain(pair: Pair) -> Mapping[str, str]:
        return {"p": "Neither.\n"}

    world = run(two_lines(propose_merge=vain))
    assert len(asked(world)) == 1
    assert [one.candidate.proposal == "" for one in merges(world)[:2]] == [True, False]
    kinds = [kind for kind in world.kinds() if kind in ("merge", "rejected", "done")]
    assert kinds == ["merge", "rejected", "merge", "done"]


def test_where_a_plugin_wants_no_merge_nothing_is_asked() -> None:
    assert asked(run(two_lines(propose_merge=lambda pair: None))) == []


def test_a_question_is_put_again_when_a_search_is_told_its_events_anew() -> None:
    world = two_lines()
    search = world.search(groups=1, alike=1.0, chain_tries=0)
    for _ in until(lambda: asked(world)):
        for task in search.ask():
            world.tasks.append(task)
            if not (isinstance(task, Reflect) and task.other):
                world.tell(search, world.answer(task))
    again = two_lines().search(groups=1, alike=1.0, chain_tries=0)
    for event in world.events:
        again.tell(event)
    assert again.ask() == (asked(world)[0],)


SEED = seed_candidate({"a": "0\n", "b": "0\n", "c": "0\n", "d": "0\n"})
ONE = derive(SEED, {"a": "1\n", "b": "1\n", "c": "1\n"})
OTHER = derive(SEED, {"a": "2\n", "b": "2\n", "d": "2\n"})
PAIR = Pair(SEED, ONE, OTHER, ("w",), ("x", "y", "z", "plain", "lost"))


def test_components_that_one_side_changed_are_taken_from_it() -> None:
    reply = Reflected("p9", {"a": "both\n", "b": "1\n"}, "why")
    child = union(PAIR, Part("p9", Minibatch(("x",)), ("a", "b"), reply))
    assert child.texts == {"a": "both\n", "b": "1\n", "c": "1\n", "d": "2\n"}
    assert (child.origin, child.proposal, child.diagnosis) == ("merge", "p9", "why")
    assert child.parents == (ONE.id, OTHER.id)


def test_what_both_changed_is_asked_for_where_a_case_that_fares_worse_used_it() -> None:
    cases = ("w", *PAIR.behind)
    ledger = Ledger([SearchCase(case) for case in cases])
    ledger.record_seed(SEED.id, {case: CaseResult(0.0, ("a",)) for case in cases})
    uses = {"w": ("b",), "x": ("a", "c"), "y": ("c",), "z": ("a",), "plain": (), "lost": ("b",)}
    results = {case: CaseResult(None if case == "lost" else 0.0, uses[case]) for case in cases}
    ledger.record(ONE.id, results)
    seen, components = seen_apart(ledger, PAIR, SearchSettings())
    assert components == ("a",)
    assert seen == Minibatch(("x", "z"), ("w",))
    assert seen_apart(ledger, PAIR, SearchSettings(minibatch=1))[0].failing == ("x",)


def test_a_pair_knows_what_both_changed_and_what_only_one_did() -> None:
    assert PAIR.shared == ("a", "b")
    assert PAIR.only_other == ("d",)


def test_a_merge_in_a_way_of_its_own_has_seen_to_both_sides() -> None:
    lines = derive(ONE, {"d": "2\n"}, others=(OTHER.id,))
    assert loses_a_side(PAIR, lines)
    assert not loses_a_side(PAIR, derive(ONE, {"a": "1 2\n", "d": "2\n"}, others=(OTHER.id,)))
