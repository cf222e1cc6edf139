from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.suite.usage import (
    FILE,
    CaseUsage,
    ModelUsage,
    ReflectionUsage,
    load_reflection,
    load_usage,
    prompts_digest,
    save_usage,
    usage_of,
    usage_today,
    with_digests,
)
from pytest_gepa.trace.attribution import components_used
from pytest_gepa.trace.trajectory import Call, Message, Trajectory

TEXTS = {"route.md": "You sort tickets into queues.\n", "reply.md": "You write a friendly reply.\n"}


def call(*contents: str) -> Call:
    messages = tuple(Message("system", content) for content in contents)
    return Call("key", "m", messages, Message("assistant", "ok"), input_tokens=10, output_tokens=1)


def rollout(*calls: Call, outcome: Outcome = Outcome.passed, reads: tuple[str, ...] = ()) -> Rollout:
    uses = components_used(TEXTS, calls)
    return Rollout("c", "case", "search/0", outcome, 1.0, Trajectory(calls), uses=uses, reads=reads, seconds=0.5)


def test_components_are_counted_by_the_calls_that_hold_their_text():
    shown = rollout(call(TEXTS["route.md"]), call(TEXTS["reply.md"]), call("no prompt"), call(TEXTS["reply.md"]))
    usage = usage_of("run-1", TEXTS, [shown])["case"]
    assert usage == CaseUsage(
        {"reply.md": 2, "route.md": 1},
        (),
        4,
        40,
        4,
        0.5,
        "run-1",
        (1.0,),
        {"m": ModelUsage(4, 40, 4)},
        prompts=prompts_digest(TEXTS),
    )


def test_a_prompt_that_is_only_opened_is_touched_and_not_used():
    usage = usage_of("run-1", TEXTS, [rollout(call("else"), reads=("route.md",))])["case"]
    assert usage.components == {}
    assert usage.touches == {"route.md"}


def test_a_prompt_that_has_a_part_in_a_case_by_a_piece_or_a_kept_answer_is_known(tmp_path: Path):
    answer = "The ticket of Tuesday goes to the queue of refunds."
    routed = rollout(replace(call(TEXTS["route.md"]), answer=Message("assistant", answer)))
    piece = replace(rollout(call("You write a friendly reply. And so on.")), uses=(), imported=("reply.md",))
    kept = rollout(call(f"Given: {answer}"))
    runs = [routed, *(replace(one, case=name) for name, one in (("piece", piece), ("kept", kept)))]
    usage = usage_of("run-1", TEXTS, runs)
    assert {case: one.partly for case, one in usage.items()} == {
        "case": (),
        "piece": ("reply.md",),
        "kept": ("route.md",),
    }
    assert (usage["kept"].touches, usage["kept"].goes_by) == (frozenset(), {"route.md"})
    save_usage(tmp_path, usage)
    assert load_usage(tmp_path) == usage


def test_every_run_of_a_case_tells_how_it_fares_and_the_last_what_it_asks():
    runs = [rollout(call("one")), replace(rollout(call("a"), call("b")), score=0.0, outcome=Outcome.failed)]
    runs.append(replace(rollout(call("x"), outcome=Outcome.timeout), score=None))
    usage = usage_of("run-1", TEXTS, runs)["case"]
    assert (usage.scores, usage.calls, usage.is_partial) == ((1.0, 0.0), 2, False)


def test_a_prompt_that_was_used_in_any_run_is_used():
    route, both = call(TEXTS["route.md"]), call(TEXTS["reply.md"])
    runs = [
        rollout(route, both, both, reads=("reply.md",)),
        rollout(route),
        rollout(route, route, reads=("x.md",)),
    ]
    usage = usage_of("run-1", TEXTS, runs)["case"]
    assert (usage.components, usage.reads) == ({"reply.md": 2, "route.md": 2}, ("reply.md", "x.md"))
    assert usage.calls == 2


def test_a_run_that_broke_off_does_not_take_the_place_of_a_whole_one(tmp_path: Path):
    route, both = call(TEXTS["route.md"]), call(TEXTS["reply.md"])
    broken = replace(rollout(route, outcome=Outcome.stopped), score=None)
    first, second = (usage_of("run", TEXTS, runs) for runs in ([rollout(route, both), broken], [broken]))
    assert first["case"].touches == {"route.md", "reply.md"}
    assert second["case"].is_partial
    save_usage(tmp_path, second)
    assert load_usage(tmp_path) == second
    save_usage(tmp_path, first)
    save_usage(tmp_path, second)
    assert load_usage(tmp_path) == first


def test_a_case_in_trouble_that_reached_no_model_teaches_nothing():
    assert usage_of("run-1", TEXTS, [rollout(outcome=Outcome.crashed)]) == {}


def test_what_one_run_learns_is_added_to_what_others_have(tmp_path: Path):
    one, two, newer = (
        CaseUsage({"a": 1}, run="r1"),
        CaseUsage({"b": 2}, run="r1"),
        CaseUsage({"b": 1}, run="r2"),
    )
    save_usage(tmp_path, {"case one": one, "case two": two})
    save_usage(tmp_path, {"case two": newer})
    assert load_usage(tmp_path) == {"case one": one, "case two": newer}
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_a_prompt_that_a_case_uses_now_and_then_stays_known(tmp_path: Path):
    both = CaseUsage({"a": 1, "b": 2}, ("c",), run="r1", digest="d", prompts="p", program="q")
    one = CaseUsage({"a": 3}, run="r2", digest="d", prompts="p", program="q")
    save_usage(tmp_path, {"case": both})
    save_usage(tmp_path, {"case": one})
    assert load_usage(tmp_path)["case"] == replace(one, components={"a": 3, "b": 2}, reads=("c",))
    others = [replace(one, digest="e"), replace(one, prompts="e"), replace(one, program="e")]
    for other in (*others, CaseUsage({"a": 3})):
        save_usage(tmp_path, {"case": both})
        save_usage(tmp_path, {"case": other})
        assert load_usage(tmp_path)["case"] == other


def test_what_is_known_of_reflections_stays_until_a_run_has_some(tmp_path: Path):
    assert load_reflection(tmp_path) is None
    first, second = (ReflectionUsage("large", 3, 40, 900, tokens) for tokens in (60, 70))
    save_usage(tmp_path, {}, first)
    save_usage(tmp_path, {"case": CaseUsage({})})
    assert load_reflection(tmp_path) == first
    save_usage(tmp_path, {}, second)
    assert load_reflection(tmp_path) == second


def test_the_tokens_of_each_model_are_told_apart_and_mocks_are_none():
    other = replace(call("b"), model="judge", output_tokens=7, cache_read_tokens=4)
    mock = replace(call("c"), model="mock", sent=False)
    usage = usage_of("run-1", TEXTS, [rollout(call("a"), other, mock)])["case"]
    assert usage.models == {"judge": ModelUsage(1, 10, 7, cached=4), "m": ModelUsage(1, 10, 1)}


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"version": 99, "cases": {}}', '{"version": 1}', '{"version": 1, "cases": {"a": 3}}'],
)
def test_a_damaged_file_is_as_none(tmp_path: Path, content: str):
    (tmp_path / FILE).write_text(content)
    assert load_usage(tmp_path) == {}


def test_of_earlier_runs_counts_what_was_seen_of_cases_and_prompts_as_they_are(tmp_path: Path):
    as_it_is, edited = Case("case", "case", source="assert 1"), Case("other", "other", source="assert 2")
    runs = [rollout(call(TEXTS["route.md"])), replace(rollout(call(TEXTS["route.md"])), case="other")]
    save_usage(tmp_path, with_digests(usage_of("run-1", TEXTS, runs), [as_it_is, edited], ""))
    today = [as_it_is, replace(edited, source="assert 3"), Case("new", "new")]

    known = usage_today(tmp_path, today, dict(reversed(TEXTS.items())))
    assert {case: usage.scores for case, usage in known.items()} == {"case": (1.0,)}

    better = {**TEXTS, "route.md": "Sort each ticket into one queue.\n"}
    known = usage_today(tmp_path, today, better)
    assert (known["case"].scores, known["case"].components) == ((), {"route.md": 1})

    save_usage(tmp_path, {"case": replace(known["case"], scores=(1.0,), prompts="")})
    assert usage_today(tmp_path, today, TEXTS)["case"].scores == (), "nobody knows under which texts"


def test_cases_that_share_an_answer_to_a_prompt_are_known_as_a_group(tmp_path: Path):
    asked = rollout(call(TEXTS["route.md"]))
    known = usage_of("run-1", TEXTS, [asked, replace(asked, case="other"), replace(rollout(), case="third")])
    assert {case: one.group for case, one in known.items()} == {"case": "case", "other": "case", "third": ""}
    save_usage(tmp_path, known)
    assert load_usage(tmp_path) == known
