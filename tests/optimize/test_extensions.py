"""Hooks of other plugins: what they are given, what is taken from them, and what becomes of those that go wrong."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import pytest
from pluggy import HookRelay

from pytest_gepa import hookspecs
from pytest_gepa.errors import HookError
from pytest_gepa.evolve.candidate import derive, seed_candidate
from pytest_gepa.evolve.decisions import (
    Finalist,
    Gate,
    Pair,
    Parent,
    ParentChoice,
    Progress,
    WinnerChoice,
)
from pytest_gepa.evolve.minibatch import FailedCase, group_failures
from pytest_gepa.evolve.objectives import Outlay
from pytest_gepa.evolve.repairs import Damage, take_back_parts
from pytest_gepa.evolve.stages import Stage
from pytest_gepa.hook_calls import tell_finished
from pytest_gepa.optimize.extensions import Extensions
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.trace.trajectory import Call, Message, Step, Trajectory

SEED = seed_candidate({"a": "Do it.\n", "b": "Do that.\n"})
ONE = derive(SEED, {"a": "Do it.\none\n"})
OTHER = derive(SEED, {"b": "Do that.\nother\n"})
CHOICE = ParentChoice((Parent(ONE.id, 0.5, 1.0, 2),), SEED.id, False, 0.3)
OPEN = Gate(ONE, {"x": 1.0}, {SEED.id: {"x": 0.0, "y": 1.0}}, ("y",), {"x": 1.0, "y": 1.0})
DONE = Gate(ONE, {"x": 1.0}, {SEED.id: {"x": 0.0}}, (), {"x": 1.0})
STUCK = Progress(0.5, 40, 60, 24, 24, 0, 12)
ON_ITS_WAY = Progress(0.5, 40, 60, 3, 24, 1, 12)
FINAL = WinnerChoice(
    (
        Finalist(ONE, 0.75, 0, Outlay(24, None, 310.0, 0.002)),
        Finalist(OTHER, 0.5, 1, Outlay(30, 0.5, None, None)),
    ),
    ONE.id,
)
STAGE = Stage(
    ONE,
    {"x": 0.0},
    ("y", "z"),
    ("z",),
    {"x": 1.0, "y": 1.0, "z": 0.0},
    0.6,
    dict.fromkeys("xyz", 1.0),
    {},
    0,
    0.5,
    1,
)
BOTH = derive(SEED, {"a": "Do it.\none\n", "b": "Do that.\nother\n"})
DAMAGE = Damage(SEED, BOTH, ("x",), ("y",))
PAIR = Pair(SEED, ONE, OTHER, ("x",), ("y",))
FAILURES = {name: FailedCase(f"{name} is wrong", ("a",), f"the text of {name}") for name in "vwxyz"}
USUAL = group_failures(FAILURES, {}, 2, 2, 0.5, lambda: 0.0)
EXHIBIT = Exhibit(
    Case("id", "test_a.py::test_a[1]", "def test_a(n): ...", (("n", "1"),)),
    Rollout(
        SEED.id,
        "id",
        "search/0",
        Outcome.failed,
        0.0,
        Trajectory(
            (Call("k", "m", (Message("system", "Do it."), Message("user", "1")), Message("assistant", "2")),),
            (Step("found", "3"),),
            failure="assert 2 == 1",
        ),
        feedback="one off",
    ),
)


def hooks(**given: Any) -> HookRelay:
    """Those of a plugin called `tests.plugged`."""
    manager = pytest.PytestPluginManager()
    manager.add_hookspecs(hookspecs)
    plugin = type("Plugin", (), {f"pytest_gepa_{name}": staticmethod(hook) for name, hook in given.items()})
    manager.register(plugin(), "tests.plugged")
    return manager.hook


def extensions(**given: Any) -> Extensions:
    """What is known of a plugin called `tests.plugged` that has these hooks."""
    return Extensions(hooks(**given))


def refuse(*_: object) -> Any:
    raise LookupError("no\nsuch thing")


def test_without_hooks_every_decision_is_the_usual_one() -> None:
    found = extensions()
    assert found.decisions.select_parent(CHOICE) == ONE.id
    assert found.decisions.choose_minibatches(FAILURES, {}, 2, 2, 0.5, lambda: 0.0) == USUAL
    assert (found.decisions.accept(OPEN), found.decisions.accept(DONE)) == ("wait", "accept")
    assert found.decisions.next_stage(STAGE) == ("z",)
    assert found.decisions.propose_repairs(DAMAGE) == [ONE.texts, OTHER.texts] == take_back_parts(DAMAGE)
    assert found.decisions.propose_merge(PAIR) == {"a": ONE.texts["a"], "b": OTHER.texts["b"]}
    assert found.decisions.stop(STUCK) == "24 proposals in a row brought no gain"
    assert found.decisions.stop(ON_ITS_WAY) == ""
    assert found.decisions.choose_winner(FINAL) == ONE.id
    assert not found.has_proposer
    found.check()


def test_a_hook_selects_the_parent() -> None:
    seen = []

    def select_parent(parents: Any, seed: str, is_stuck: bool) -> str:
        seen.append(([(one.candidate, one.mean, one.share, one.failures) for one in parents], is_stuck))
        return seed

    assert extensions(select_parent=select_parent).decisions.select_parent(CHOICE) == SEED.id
    assert seen == [([(ONE.id, 0.5, 1.0, 2)], False)]


def minibatches(found: Extensions, shown: Mapping[str, int] | None = None) -> list[tuple[str, ...]]:
    return found.decisions.choose_minibatches(FAILURES, shown or {}, 2, 2, 0.5, lambda: 0.0)


def test_a_hook_chooses_the_cases_that_are_shown() -> None:
    seen = []

    def choose(failing: Any, shown: Any, size: int, groups: int) -> list[list[str]]:
        seen.append((failing["x"], list(failing), shown, size, groups))
        return [["z", "x"], ["v"]]

    found = extensions(choose_minibatch=choose)
    assert minibatches(found, {"x": 3}) == [("z", "x"), ("v",)]
    case = {"said": "x is wrong", "uses": ("a",), "text": "the text of x"}
    assert seen == [(case, list("vwxyz"), {"x": 3}, 2, 2)]
    found.check()


def test_a_hook_ends_the_search_or_has_it_go_on() -> None:
    seen = []

    def stop(best: float, rollouts: int, remaining: int, without_gain: int, without_edit: int, reason: str) -> str:
        seen.append((best, rollouts, remaining, without_gain, without_edit, reason))
        return "" if reason else "half\nis enough"

    found = extensions(stop=stop)
    assert found.decisions.stop(ON_ITS_WAY) == "half is enough"
    assert found.decisions.stop(STUCK) == ""
    assert seen == [(0.5, 40, 60, 3, 1, ""), (0.5, 40, 60, 24, 0, "24 proposals in a row brought no gain")]
    found.check()


def test_a_hook_chooses_the_winner() -> None:
    seen: list[Any] = []

    def choose_winner(finalists: Any, winner: str) -> str:
        seen.append((finalists, winner))
        return str(finalists[-1]["candidate"])

    assert extensions(choose_winner=choose_winner).decisions.choose_winner(FINAL) == OTHER.id
    ((finalists, winner),) = seen
    assert winner == ONE.id
    assert finalists[0] == {
        "candidate": ONE.id,
        "texts": dict(ONE.texts),
        "mean": 0.75,
        "broken": 0,
        "characters": 24,
        "seconds": None,
        "tokens": 310.0,
        "usd": 0.002,
    }


def test_a_hook_decides_at_the_gate() -> None:
    seen: list[dict[str, Any]] = []

    def accept(candidate: str, scores: Any, rivals: Any, open_cases: Any, weights: Any, verdict: str) -> str:
        seen.append(
            {
                "candidate": candidate,
                "scores": scores,
                "rivals": rivals,
                "open_cases": open_cases,
                "weights": weights,
                "verdict": verdict,
            }
        )
        return "reject"

    assert extensions(accept=accept).decisions.accept(OPEN) == "reject"
    assert seen[0] == {
        "candidate": ONE.id,
        "scores": {"x": 1.0},
        "rivals": {SEED.id: {"x": 0.0, "y": 1.0}},
        "open_cases": ("y",),
        "weights": {"x": 1.0, "y": 1.0},
        "verdict": "wait",
    }


def test_a_hook_chooses_what_is_run_next() -> None:
    seen: list[Any] = []

    def next_stage(candidate: str, scores: Any, missing: Any, best: Any, weights: Any, stage: Any) -> list[str]:
        seen.append((candidate, scores, missing, best, weights, stage))
        return ["y"]

    found = extensions(next_stage=next_stage)
    assert found.decisions.next_stage(STAGE) == ("y",)
    best = {"x": 1.0, "y": 1.0, "z": 0.0}
    assert seen == [(ONE.id, {"x": 0.0}, ("y", "z"), best, dict.fromkeys("xyz", 1.0), ("z",))]
    assert extensions(next_stage=lambda: []).decisions.next_stage(STAGE) == ()
    found.check()


def test_a_hook_proposes_repairs() -> None:
    def repair(base: Any, tip: Any, mended: Any, broken: Any, repairs: Any) -> list[dict[str, str]]:
        assert (base, tip) == (SEED.texts, BOTH.texts)
        assert (mended, broken) == (("x",), ("y",))
        return [{"a": base["a"] + "less\n"}, *repairs[1:]]

    found = extensions(repair=repair)
    assert found.decisions.propose_repairs(DAMAGE) == [{"a": "Do it.\nless\n"}, OTHER.texts]
    assert extensions(repair=lambda: []).decisions.propose_repairs(DAMAGE) == []
    found.check()


def test_a_hook_unites_two_candidates() -> None:
    def merge(base: Any, one: Any, other: Any, ahead: Any, behind: Any) -> dict[str, str]:
        assert (base, one, other) == (SEED.texts, ONE.texts, OTHER.texts)
        assert (ahead, behind) == (("x",), ("y",))
        return {"a": one["a"] + other["b"]}

    found = extensions(merge=merge)
    assert found.decisions.propose_merge(PAIR) == {"a": ONE.texts["a"] + OTHER.texts["b"]}
    found.check()


def test_a_hook_that_gives_no_texts_wants_no_merge() -> None:
    found = extensions(merge=lambda: {})
    assert found.decisions.propose_merge(PAIR) is None
    found.check()


def test_a_hook_that_changes_its_arguments_changes_nothing() -> None:
    def merge(base: Any, one: Any) -> None:
        base.clear()
        one["a"] = "spoilt"

    def accept(scores: Any, rivals: Any) -> None:
        scores.clear()
        rivals[SEED.id].clear()

    def choose(failing: Any, shown: Any) -> None:
        failing["x"]["said"] = "spoilt"
        failing.clear()
        shown.clear()

    def next_stage(scores: Any, best: Any, weights: Any) -> None:
        for one in (scores, best, weights):
            one.clear()

    def repair(base: Any, repairs: Any) -> None:
        base.clear()
        repairs[0].clear()

    found = extensions(merge=merge, accept=accept, choose_minibatch=choose, next_stage=next_stage, repair=repair)
    assert found.decisions.next_stage(STAGE) == ("z",)
    assert found.decisions.propose_repairs(DAMAGE) == [ONE.texts, OTHER.texts]
    assert (STAGE.scores, STAGE.best["x"], STAGE.weights["x"]) == ({"x": 0.0}, 1.0, 1.0)
    times = {"v": 2}
    assert minibatches(found, times) == group_failures(FAILURES, {"v": 2}, 2, 2, 0.5, lambda: 0.0)
    assert (times, FAILURES["x"].said) == ({"v": 2}, "x is wrong")
    assert found.decisions.propose_merge(PAIR) == {"a": "Do it.\none\n", "b": "Do that.\nother\n"}
    assert found.decisions.accept(OPEN) == "wait"
    assert ONE.texts["a"] == "Do it.\none\n"
    assert OPEN.rivals == {SEED.id: {"x": 0.0, "y": 1.0}}


def test_a_proposer_is_shown_the_cases_as_plain_data() -> None:
    seen: list[Any] = []

    def propose(component: str, text: str, failing: Any, neighbours: Any, discarded: Any, attempt: int) -> str:
        seen.append((failing, neighbours, discarded, attempt))
        return text + component

    found = extensions(propose=propose)
    assert found.has_proposer
    assert found.propose("a", "Do it.\n", [EXHIBIT], [], [("+ x", "no gain")], 3) == "Do it.\na"
    case = {
        "case": "id",
        "nodeid": "test_a.py::test_a[1]",
        "source": "def test_a(n): ...",
        "parameters": {"n": "1"},
        "outcome": "failed",
        "score": 0.0,
        "failure": "assert 2 == 1",
        "feedback": "one off",
        "calls": [
            {
                "model": "m",
                "messages": [
                    {"role": "system", "content": "Do it."},
                    {"role": "user", "content": "1"},
                ],
                "answer": "2",
            }
        ],
        "log": [{"name": "found", "value": "3"}],
    }
    assert seen == [([case], [], [{"summary": "+ x", "reason": "no gain"}], 3)]


def test_a_listener_hears_of_a_candidate() -> None:
    seen = []

    def heard(candidate: str, mean: float, parents: Any, origin: str, scores: Any) -> None:
        seen.append((candidate, mean, parents, origin, scores))

    extensions(candidate_evaluated=heard).evaluated(ONE, {"x": 1.0}, 0.5)
    assert seen == [(ONE.id, 0.5, (SEED.id,), "reflection", {"x": 1.0})]


class Incomparable:
    """As a row of a table may be."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth value is ambiguous")

    __hash__ = None  # type: ignore[assignment]


def broken(name: str, hook: Any) -> tuple[Extensions, str]:
    """Ask each decision once with one hook that goes wrong; return the one message of it."""
    found = extensions(**{name: hook})
    assert found.decisions.select_parent(CHOICE) == ONE.id
    assert minibatches(found) == USUAL
    assert found.decisions.accept(DONE) == "accept"
    assert found.decisions.next_stage(STAGE) == ("z",)
    assert found.decisions.propose_repairs(DAMAGE) == [ONE.texts, OTHER.texts]
    assert found.decisions.propose_merge(PAIR)["a"] == ONE.texts["a"]  # type: ignore[index]
    assert found.propose("a", "Do it.\n", [EXHIBIT], [], [], 0) is None
    assert found.decisions.stop(ON_ITS_WAY) == ""
    assert found.decisions.choose_winner(FINAL) == ONE.id
    found.evaluated(ONE, {}, 0.0)
    with pytest.raises(HookError) as raised:
        found.check()
    return found, str(raised.value)


@pytest.mark.parametrize(
    ("name", "hook"),
    [
        ("select_parent", lambda parents: refuse()),
        ("choose_minibatch", lambda shown: refuse()),
        ("accept", lambda scores: refuse()),
        ("next_stage", lambda best: refuse()),
        ("repair", lambda tip: refuse()),
        ("merge", lambda one: refuse()),
        ("propose", lambda text: refuse()),
        ("stop", lambda best: refuse()),
        ("choose_winner", lambda winner: refuse()),
        ("candidate_evaluated", lambda mean: refuse()),
    ],
)
def test_a_hook_that_raises_is_named_with_its_plugin_and_the_usual_decision_stands(name: str, hook: Any) -> None:
    line = hook.__code__.co_firstlineno
    found, message = broken(name, hook)
    assert message == (f"the hook pytest_gepa_{name} of tests.plugged, line {line}, raised LookupError: no such thing")
    assert found.has_trouble


@pytest.mark.parametrize("leave", [lambda: pytest.fail("no"), lambda: pytest.skip("no"), lambda: sys.exit(3)])
def test_what_is_no_exception_is_trouble_too(leave: Any) -> None:
    _, message = broken("accept", lambda scores: leave())
    assert "the hook pytest_gepa_accept of tests.plugged" in message


@pytest.mark.parametrize("error", [KeyboardInterrupt, pytest.exit.Exception])
def test_who_ends_the_session_ends_it(error: Any) -> None:
    def leave(scores: Any) -> None:
        raise error("enough")

    with pytest.raises(error):
        extensions(accept=leave).decisions.accept(DONE)


def test_an_answer_that_cannot_be_compared_is_refused() -> None:
    _, message = broken("select_parent", lambda parents: Incomparable())
    assert "it cannot be compared with what was asked for (ValueError)" in message


GROUPS = "give a list of 2 groups at most, each a list of 2 failing cases at most, none twice"
NO_GROUPS = (
    [], "xy", ["xy"], [[]], [["x"], []], [["x", "y", "z"]], [["v"], ["w"], ["x"]],
    [["x"], ["x"]], [["nobody"]], [[7]], [[["x"]]], {"x": "y"},
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "answer", "wanted"),
    [
        ("select_parent", "nobody", "give the id of one of the parents, or the seed's"),
        ("select_parent", 7, "give the id of one of the parents, or the seed's"),
        *(("choose_minibatch", answer, GROUPS) for answer in NO_GROUPS),
        ("accept", True, "give 'accept' or 'reject'"),
        ("accept", "wait", "give 'accept' or 'reject'"),
        ("next_stage", ["x"], "give a list of missing cases, none twice"),
        ("next_stage", ["y", "y"], "give a list of missing cases, none twice"),
        ("next_stage", "y", "give a list of missing cases, none twice"),
        ("next_stage", [[]], "give a list of missing cases, none twice"),
        ("repair", {"a": "text"}, "give a list of texts by component"),
        ("repair", [{"c": "text"}], "give a list of texts by component"),
        ("repair", ["a"], "give a list of texts by component"),
        ("merge", {"c": "text"}, "give texts by component"),
        ("merge", {"a": None}, "give texts by component"),
        ("merge", "text", "give texts by component"),
        ("propose", ["text"], "give the component's new text"),
        ("stop", True, "give the reason in words, '' to go on"),
        ("choose_winner", SEED.id, "give the id of one of the finalists"),
    ],
)
def test_an_answer_that_will_not_do_is_told(name: str, answer: object, wanted: str) -> None:
    # pluggy matches arguments by name, so a hook without any will do for all.
    _, message = broken(name, lambda: answer)
    assert message == f"the hook pytest_gepa_{name} of tests.plugged returned {answer!r}: {wanted}"


def test_after_the_first_trouble_no_hook_is_asked_again() -> None:
    asked = []

    def select_parent() -> None:
        asked.append("select_parent")

    found = extensions(accept=refuse, select_parent=select_parent)
    found.decisions.select_parent(CHOICE)
    found.decisions.accept(DONE)
    found.decisions.select_parent(CHOICE)
    assert asked == ["select_parent"]


def test_the_last_hook_raises_at_once() -> None:
    with pytest.raises(HookError, match=r"pytest_gepa_run_finished of tests\.plugged.* raised LookupError"):
        tell_finished(hooks(run_finished=lambda result: refuse()), {}, "somewhere", "check", str)


# Secrets, of which a text that was cut short would leave a part that nobody knows for one

KEY = "opening-words-of-the-key-" + 300 * "7" + "-and-its-end"


def redact(text: str) -> str:
    return text.replace(KEY, "[redacted]").replace("<b>\nACME\n</b>", "[redacted]")


def test_what_a_hook_raises_is_told_without_secrets() -> None:
    def raise_it() -> None:
        raise LookupError(f"no {KEY}\nfor <b>\nACME\n</b>")

    with pytest.raises(HookError) as caught:
        tell_finished(hooks(run_finished=raise_it), {}, "somewhere", "check", redact)
    assert str(caught.value).endswith(" raised LookupError: no [redacted] for [redacted]")

    found = Extensions(hooks(select_parent=raise_it), redact)
    found.decisions.select_parent(CHOICE)
    with pytest.raises(HookError, match=r"raised LookupError: no \[redacted\] for \[redacted\]$"):
        found.check()


def test_so_is_what_a_hook_returns() -> None:
    found = Extensions(hooks(select_parent=lambda: KEY, stop=lambda: f"{KEY} is used up"), redact)
    assert found.decisions.stop(ON_ITS_WAY) == "[redacted] is used up"
    found.decisions.select_parent(CHOICE)
    with pytest.raises(HookError, match=r"of tests\.plugged returned '\[redacted\]': give the id"):
        found.check()
