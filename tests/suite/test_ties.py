"""Which cases share an answer of a model."""

from __future__ import annotations

from pytest_gepa.suite.rollout import Outcome, Rollout
from pytest_gepa.suite.ties import group_count, tied_pairs, tied_runs
from pytest_gepa.trace.trajectory import Call, Message, Trajectory

TODAY = {"a.md": "Write one sentence about the document, and no more.\n"}
EDITED = {"a.md": "Write two sentences about the document, and no more.\n"}


def call(key: str, answer: str | None = "yes", prompt: str = "", **fields: object) -> Call:
    said = None if answer is None else Message("assistant", answer)
    usual: dict[str, object] = {"model": "m", **fields}
    return Call(key, request=(Message("user", prompt or key),), answer=said, **usual)  # type: ignore[arg-type]


def runs(*rows: tuple[str, int, tuple[Call, ...]]) -> dict[tuple[str, int], Rollout]:
    return {
        (case, trial): Rollout("c", case, f"run/confirm/{trial}", Outcome.passed, 1.0, Trajectory(calls))
        for case, trial, calls in rows
    }


def tied(before: dict[tuple[str, int], Rollout], after: dict[tuple[str, int], Rollout]) -> dict[str, str]:
    return tied_pairs(before, after, TODAY, EDITED)


def once(key: str, case: str, answer: str = "yes", **fields: object) -> tuple[str, int, tuple[Call, ...]]:
    return case, 0, (call(key, answer, **fields),)


def test_cases_of_a_fixture_that_asks_once_are_one_group():
    before = runs(*(once("old", case, shared=True) for case in "abc"), once("alone", "d"))
    after = runs(*(once("new", case, shared=True) for case in "abc"), once("alone too", "d"))
    groups = tied(before, after)
    assert groups == {"a": "a", "b": "a", "c": "a"}
    assert group_count("abcd", groups) == 2


def test_cases_that_send_the_same_request_have_one_answer_and_one_group():
    before, after = (runs(once(key, "a"), once(key, "b")) for key in ("old", "new"))
    assert tied(before, after) == {"a": "a", "b": "a"}


def test_one_side_on_which_they_share_is_enough():
    before = runs(once("old", "a"), once("old", "b"))
    after = runs(once("new a", "a"), once("new b", "b"))
    assert tied(before, after) == {"a": "a", "b": "a"}


def test_what_was_answered_otherwise_was_not_shared():
    before = runs(once("old", "a", "yes"), once("old", "b", "no"))
    after = runs(once("new a", "a"), once("new b", "b"))
    assert tied(before, after) == {}


def test_links_in_different_trials_make_one_group():
    before = runs(*((case, trial, (call("k" + pair),)) for trial, pair in ((0, "ab"), (1, "bc")) for case in pair))
    after = runs(*((case, trial, (call(f"{case}{trial}"),)) for case, trial in before))
    assert tied(before, after) == {"a": "a", "b": "a", "c": "a"}


def test_the_same_request_in_another_trial_is_another_draw():
    before = runs(("a", 0, (call("k"),)), ("b", 1, (call("k"),)))
    after = runs(("a", 0, (call("l"),)), ("b", 1, (call("l"),)))
    assert tied(before, after) == {}


def test_a_shared_stage_before_the_edited_one_that_both_sides_ask_alike_ties_nothing():
    first = call("stage one", shared=True)
    before = runs(*((case, 0, (first, call(f"old {case}"))) for case in "ab"))
    after = runs(*((case, 0, (first, call(f"new {case}"))) for case in "ab"))
    assert tied(before, after) == {}


def test_a_shared_stage_that_was_answered_anew_for_the_other_side_ties():
    before = runs(*((case, 0, (call("stage one", "yes", shared=True), call(f"old {case}"))) for case in "ab"))
    after = runs(*((case, 0, (call("stage one", "no", shared=True), call(f"new {case}"))) for case in "ab"))
    assert tied(before, after) == {"a": "a", "b": "a"}


def test_one_shared_call_among_several_is_enough():
    before = runs(*((case, 0, (call(f"own {case}"), call("old", shared=True))) for case in "ab"))
    after = runs(*((case, 0, (call(f"own {case}"), call("new", shared=True))) for case in "ab"))
    assert tied(before, after) == {"a": "a", "b": "a"}


def test_a_shared_call_that_failed_ties_too():
    before = runs(*((case, 0, (call("old", None, shared=True),)) for case in "ab"))
    after = runs(*((case, 0, (call("new", shared=True),)) for case in "ab"))
    assert tied(before, after) == {"a": "a", "b": "a"}


def test_embeddings_mocks_and_what_asks_no_model_tie_nothing():
    for fields in (
        {"kind": "embedding", "shared": True},
        {"sent": False},
        {"kind": "other", "model": "", "shared": True},
        {"kind": "other"},
    ):
        before, after = (runs(once(key, "a", **fields), once(key, "b", **fields)) for key in ("old", "new"))
        assert tied(before, after) == {}, fields


def test_a_shared_call_of_an_unknown_protocol_counts_where_a_prompt_is_in_it():
    before, after = (
        runs(*(once(key, case, kind="other", model="", shared=True, prompt=texts["a.md"]) for case in "ab"))
        for key, texts in (("old", TODAY), ("new", EDITED))
    )
    assert tied(before, after) == {"a": "a", "b": "a"}


def test_a_pair_without_evidence_ties_nothing():
    before = runs(once("old", "a"), once("old", "b"))
    after = runs(once("new", "a"))
    assert tied(before, after) == {}


def test_of_one_side_alone_requests_without_a_prompt_can_be_left_out():
    known = runs(
        *((case, 0, (call("first"), call("second", prompt=TODAY["a.md"]))) for case in "ab"),
        ("c", 0, (call("first"),)),
    ).values()
    assert tied_runs(known, TODAY) == {"a": "a", "b": "a", "c": "a"}
    assert tied_runs(known, TODAY, by_prompts=True) == {"a": "a", "b": "a"}
