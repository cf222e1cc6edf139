from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pytest_gepa.suite.evaluate import Evaluation, Suite
from pytest_gepa.suite.runner import Runner
from tests.fake_openai import Answer, FakeOpenAI
from tests.suite.test_outcomes import APP
from tests.suite.world import PROMPT, Build, Purse, evaluate

TESTS = """
    import os

    import httpx
    import pytest

    from app import PROMPT, ask

    def test_asks():
        assert ask("hello")

    def test_asks_the_same_twice():
        assert ask("hello") and ask("hello")

    def test_asks_nobody():
        pass

    def test_only_reads():
        assert PROMPT.read_text()

    def test_asks_a_mock():
        body = {"choices": [{"message": {"role": "assistant", "content": "mocked"}}]}
        transport = httpx.MockTransport(lambda request: httpx.Response(200, json=body))
        with httpx.Client(transport=transport) as client:
            request = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
            client.post("http://model.test/v1/chat/completions", json=request)

    def search(**fields):
        httpx.post(os.environ["FAKE_URL"] + "/collections/docs/points/search", json=fields)

    def test_asks_after_a_search():
        search(vector=[0.5])
        assert ask("hello")

    def test_only_searches():
        search(vector=[0.5])

    def test_asks_an_unknown_protocol():
        search(question=PROMPT.read_text())

    @pytest.mark.parametrize("number", range(2))
    def test_asks_one_of_two(number):
        assert ask(f"question {number}")
"""
ASKS, TWICE, NOBODY, READS = (
    f"test_answers.py::{name}"
    for name in ("test_asks", "test_asks_the_same_twice", "test_asks_nobody", "test_only_reads")
)
SEARCHES, ONLY_SEARCHES, UNKNOWN = (
    f"test_answers.py::{name}"
    for name in ("test_asks_after_a_search", "test_only_searches", "test_asks_an_unknown_protocol")
)
MOCK = "test_answers.py::test_asks_a_mock"
CANDIDATE = "Greet them in the manner of a candidate.\n"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOpenAI]:
    def reply(request: dict[str, Any]) -> Answer:
        if "messages" in request and request["messages"][1]["content"] == "question 1":
            return 503, {"error": {"message": "busy"}}
        return "an answer"

    with FakeOpenAI(reply) as server:
        monkeypatch.setenv("FAKE_URL", server.base_url)
        yield server


@pytest.fixture
def suite(build: Build, fork_runner: Runner) -> Suite:
    project = build({"app.py": APP, "test_answers.py": TESTS})
    return project.suite(fork_runner, [ASKS, TWICE, NOBODY, READS, MOCK, SEARCHES, ONLY_SEARCHES, UNKNOWN])


def test_a_case_that_is_answered_is_charged_and_tells_the_prompt_that_it_used(suite: Suite, server: FakeOpenAI) -> None:
    evaluation = evaluate(suite, CANDIDATE, cases=[ASKS])

    rollout = evaluation.rollouts[ASKS]
    assert (rollout.charged, rollout.uses, rollout.reads) == (True, (PROMPT,), (PROMPT,))
    assert evaluation.charged == {ASKS: True}
    assert server.requests[0]["messages"][0]["content"] == CANDIDATE


def test_a_case_that_asks_nobody_is_free_and_has_no_calls(suite: Suite, server: FakeOpenAI) -> None:
    evaluation = evaluate(suite, cases=[NOBODY, READS])

    nobody, reads = evaluation.rollouts.values()
    assert (nobody.charged, nobody.trajectory.calls, nobody.uses, nobody.reads) == (False, (), (), ())
    assert (reads.charged, reads.trajectory.calls, reads.uses, reads.reads) == (False, (), (), (PROMPT,))
    assert server.requests == []


def test_a_case_that_asks_a_mock_is_free(suite: Suite, server: FakeOpenAI) -> None:
    (rollout,) = evaluate(suite, cases=[MOCK]).rollouts.values()
    assert len(rollout.trajectory.calls) == 1
    assert not rollout.charged


def test_the_same_candidate_in_the_same_trial_is_answered_from_the_cache(suite: Suite, server: FakeOpenAI) -> None:
    first = evaluate(suite, CANDIDATE, cases=[ASKS, TWICE])
    asked = len(server.requests)
    second = evaluate(suite, CANDIDATE, cases=[ASKS, TWICE])

    # The second of two equal requests of one case is another draw; the first is shared between the cases.
    assert asked == 2
    assert _charged(first) == [True, True]
    assert _charged(second) == [False, False]
    assert len(server.requests) == asked
    assert [call.cached for call in second.rollouts[TWICE].trajectory.calls] == [True, True]
    assert [rollout.request_keys for rollout in first.rollouts.values()] == [
        rollout.request_keys for rollout in second.rollouts.values()
    ]


def test_what_asks_a_service_of_its_own_is_charged_for_its_model_alone(suite: Suite, server: FakeOpenAI) -> None:
    cases = [SEARCHES, ONLY_SEARCHES, UNKNOWN]
    first = evaluate(suite, CANDIDATE, cases=cases)
    again = evaluate(suite, CANDIDATE, cases=cases)

    # Answers of an unknown protocol are not stored, so the last one is asked, and paid for, each time.
    assert (_charged(first), _charged(again)) == ([True, False, True], [False, False, True])
    assert [len(rollout.trajectory.calls) for rollout in again.rollouts.values()] == [2, 1, 1]


def test_another_trial_is_asked_anew(suite: Suite, server: FakeOpenAI) -> None:
    evaluate(suite, CANDIDATE, cases=[ASKS])
    again = evaluate(suite, CANDIDATE, cases=[ASKS], trial="confirm/1")

    assert _charged(again) == [True]
    assert len(server.requests) == 2


def test_another_candidate_is_asked_anew_and_has_other_keys(suite: Suite, server: FakeOpenAI) -> None:
    first = evaluate(suite, CANDIDATE, cases=[ASKS])
    other = evaluate(suite, "Greet them in quite another manner.\n", cases=[ASKS])

    assert _charged(other) == [True]
    assert len(server.requests) == 2
    assert first.rollouts[ASKS].request_keys != other.rollouts[ASKS].request_keys


def test_a_candidate_whose_text_does_not_arrive_has_equal_keys(build: Build, fork_runner: Runner) -> None:
    stale = APP.replace("PROMPT.read_text()", "'a copy made long ago'")
    suite = build({"app.py": stale, "test_answers.py": TESTS}).suite(fork_runner, [ASKS])

    with FakeOpenAI(lambda request: "an answer") as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAKE_URL", server.base_url)
        first, other = (evaluate(suite, text).rollouts[ASKS] for text in (CANDIDATE, "Another text.\n"))

    assert first.request_keys == other.request_keys
    assert (first.uses, first.reads) == ((), ())


def test_an_answer_that_was_paid_for_is_kept_when_a_neighbour_goes_wrong(
    build: Build, fork_runner: Runner, server: FakeOpenAI
) -> None:
    cases = [f"test_answers.py::test_asks_one_of_two[{number}]" for number in range(2)]
    suite = build({"app.py": APP, "test_answers.py": TESTS}).suite(fork_runner, cases)

    evaluate(suite)
    again = evaluate(suite)

    assert [rollout.outcome.value for rollout in again.rollouts.values()] == ["passed", "error"]
    questions = [request["messages"][1]["content"] for request in server.requests]
    assert questions == ["question 0", "question 1", "question 1"]


@pytest.mark.parametrize(("status", "is_charged"), [(401, False), (429, False), (500, False), (504, True)])
def test_a_case_that_is_refused_is_free_unless_the_model_may_have_worked(
    suite: Suite, server: FakeOpenAI, status: int, is_charged: bool
) -> None:
    server.reply = lambda request: (status, {"error": {"message": "refused"}})
    (rollout,) = evaluate(suite, cases=[ASKS], allowance=Purse(rollouts=0)).rollouts.values()
    assert (rollout.outcome.value, rollout.charged) == ("error", is_charged)


def test_a_case_that_is_answered_once_is_charged_though_another_request_is_refused(
    suite: Suite, server: FakeOpenAI
) -> None:
    refused = (429, {"error": {"message": "slow down"}})
    server.reply = lambda request: refused if len(server.requests) > 1 else "an answer"
    (rollout,) = evaluate(suite, cases=[TWICE], allowance=Purse(rollouts=0)).rollouts.values()
    assert (rollout.outcome.value, rollout.charged) == ("error", True)


def _charged(evaluation: Evaluation) -> list[bool]:
    return [rollout.charged for rollout in evaluation.rollouts.values()]
