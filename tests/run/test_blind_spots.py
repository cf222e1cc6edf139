"""What the baseline shows of calls that nobody sees."""

from __future__ import annotations

from dataclasses import replace

from pytest_gepa.run.blind_spots import failed_apart, prompts_without_calls
from pytest_gepa.suite.rollout import Outcome, Rollout
from pytest_gepa.trace.trajectory import Call, Message, Trajectory

CHAT = Call("k1", "m", (Message("user", "Hi"),), Message("assistant", "Hello"))
EMBEDDING = replace(CHAT, key="k2", kind="embedding")
SEARCH = replace(CHAT, key="k3", model="", kind="other")


def run(*calls: Call, uses: tuple[str, ...] = ()) -> Rollout:
    return Rollout(
        "seed", "case", "search/0", Outcome.failed, 0.0, Trajectory(calls), reads=("prompts/a.md",), uses=uses
    )


def test_embeddings_and_other_services_do_not_show_that_models_are_seen() -> None:
    unseen = run(EMBEDDING, SEARCH)
    assert prompts_without_calls([unseen]) == ("prompts/a.md",)
    assert prompts_without_calls([unseen, run(CHAT)]) == ()
    assert prompts_without_calls([run(SEARCH, uses=("prompts/a.md",))]) == ()


def test_keys_of_requests_that_could_not_show_a_change_are_none() -> None:
    assert run(EMBEDDING, SEARCH).request_keys == ()
    assert run(EMBEDDING, CHAT).request_keys == ("k2", "k1")
    assert run(SEARCH, uses=("prompts/a.md",)).request_keys == ("k3",)


def test_a_case_that_may_have_kept_a_prompt_is_not_apart_where_no_model_is_seen() -> None:
    kept = replace(run(), reads=(), imported=("prompts/a.md",))
    assert failed_apart([kept, run(EMBEDDING)]) == ()
    assert failed_apart([kept, run(CHAT)]) == ("case",)
