"""What rollouts tell of prompts of which the code reads copies."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_gepa.run.stale_copies import (
    stale_copies,
    uses_what_was_opened,
    with_doubts_settled,
    without_effect,
)
from pytest_gepa.suite.rollout import Outcome, Rollout
from pytest_gepa.trace.trajectory import Call, Message, Trajectory

OLD = "Answer with the word and its mark.\n- The mark of a fruit is FRU.\n"


def rollout(case: str, text: str = "", **told: Any) -> Rollout:
    messages = (Message("system", text), Message("user", "fruit: pear"))
    calls = (Call(text, "model", messages, Message("assistant", "pear-FRU")),) if text else ()
    return Rollout("c", case, "t", Outcome.passed, 1.0, Trajectory(calls), **told)


LINT = rollout("lint", reads=("p",))
SENT = rollout("sent", OLD, uses=("p",), unopened=("p",))
KEPT = rollout("kept", OLD, uses=("p",), imported=("p",), carried=("p",))


def test_a_case_that_opens_a_file_reads_it_for_no_other_case() -> None:
    assert stale_copies([LINT, SENT], ["p"]) == ["p"]
    assert not uses_what_was_opened([LINT, SENT])


@pytest.mark.parametrize("how", [{"reads": ("p",)}, {"imported": ("p",)}])
def test_a_process_that_opens_a_file_and_sends_it_reads_no_copy(how: dict[str, Any]) -> None:
    runs = [SENT, rollout("other", OLD, uses=("p",), **how)]
    assert not stale_copies(runs, ["p"])
    assert uses_what_was_opened(runs)


def test_a_case_that_may_have_kept_a_text_from_an_earlier_one_is_run_alone() -> None:
    assert stale_copies(with_doubts_settled([LINT, KEPT], lambda cases: {"sent": SENT}), ["p"]) == ["p"]
    loader = with_doubts_settled(
        [LINT, KEPT], lambda cases: {case: rollout(case, OLD, uses=("p",), reads=("p",)) for case in cases}
    )
    assert [run.case for run in loader] == ["lint", "kept", "kept"]
    assert not stale_copies(loader, ["p"])


def test_nothing_is_run_alone_where_nothing_is_in_doubt() -> None:
    assert with_doubts_settled([LINT, KEPT, SENT], lambda cases: pytest.fail(str(cases))) == [
        LINT,
        KEPT,
        SENT,
    ]


@pytest.mark.parametrize("new", [OLD + "Be brief.\n", OLD.replace("FRU", "fruit")])
def test_a_text_that_is_still_sent_as_it_was_shows_that_another_has_no_effect(new: str) -> None:
    sides = {"p": OLD}, {"p": new}
    assert without_effect([(SENT, SENT)], sides, ["p"]) == ["p"]
    arrived = rollout("sent", new, uses=("p",))
    assert without_effect([(SENT, arrived)], sides, ["p"]) == []
    assert without_effect([(SENT, SENT), (SENT, arrived)], sides, ["p"]) == []


def test_equal_requests_are_no_sign_where_what_differs_need_not_be_sent() -> None:
    part = rollout("part", "Answer with the word and its mark.", uses=("p",))
    assert without_effect([(part, part)], ({"p": OLD}, {"p": OLD.replace("FRU", "fruit")}), ["p"]) == []
    other = {"p": "Answer in one word.\n", "q": OLD}
    assert without_effect([(SENT, SENT)], ({"p": OLD, "q": OLD}, other), ["p"]) == []
