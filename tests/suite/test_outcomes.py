from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_gepa.suite.evaluate import Evaluation
from pytest_gepa.suite.rollout import Rollout
from pytest_gepa.suite.runner import Runner
from tests.fake_openai import Answer, FakeOpenAI
from tests.suite.world import Build, evaluate

PLAIN = """
    import decimal, sys
    import pytest

    class Group(Exception):
        # As the exception groups of Python 3.11 and of the backport.
        def __init__(self, message, *exceptions):
            super().__init__(message)
            self.exceptions = exceptions

    @pytest.fixture
    def broken():
        raise ValueError("no database")

    @pytest.fixture
    def broken_at_the_end():
        yield
        raise ValueError("cannot close")

    def test_passes():
        pass

    def test_fails():
        assert "yes" == "no"

    @pytest.mark.skip(reason="later")
    def test_is_skipped():
        pass

    def test_skips_itself():
        pytest.skip("not here")

    @pytest.mark.xfail
    def test_is_expected_to_fail_and_does():
        assert False

    @pytest.mark.xfail(run=False)
    def test_is_expected_to_fail_and_not_run():
        assert False

    @pytest.mark.xfail
    def test_is_expected_to_fail_and_does_not():
        pass

    @pytest.mark.xfail(strict=True)
    def test_is_expected_strictly_to_fail_and_does_not():
        pass

    def test_has_a_broken_setup(broken):
        pass

    def test_has_a_broken_teardown(broken_at_the_end):
        pass

    def test_records_what_is_no_json(record_property):
        record_property("hits", decimal.Decimal(3))
        record_property("of", {1, 2})

    def test_leaves_the_interpreter():
        sys.exit(3)

    def test_ends_the_session():
        pytest.exit("enough")

    def test_runs_after_all_of_them():
        pass

    def test_scores_by_degrees(gepa):
        gepa.score(0.25, feedback="nearly")

    @pytest.mark.gepa(threshold=0.5)
    def test_scores_below_its_threshold(gepa):
        gepa.score(0.25)

    @pytest.mark.gepa(threshold=0.5)
    def test_scores_above_its_threshold(gepa):
        gepa.score(0.75)

    def test_expects_an_exception():
        with pytest.raises(ValueError, match="no database"):
            raise ValueError("no database")

    def test_expects_an_exception_that_does_not_come():
        with pytest.raises(ValueError):
            pass

    def test_calls_fail():
        pytest.fail("not polite")

    def test_needs_a_module_that_is_not_there():
        pytest.importorskip("no_such_module_anywhere")

    def test_expects_to_fail_when_it_is_under_way():
        pytest.xfail("not yet")

    @pytest.mark.xfail(raises=ValueError)
    def test_is_expected_to_fail_in_another_way():
        assert False

    @pytest.mark.xfail(strict=True)
    def test_is_expected_strictly_to_fail_and_does():
        assert False

    def test_raises_a_group():
        raise Group("two things went wrong", ValueError("a"), AssertionError("b"))

    def test_raises_a_group_with_a_broken_connection_in_it():
        raise Group("two things went wrong", ValueError("a"), ConnectionError("no route"))

    @pytest.mark.parametrize("answer", ["right", "wrong"])
    def test_with_parameters(answer):
        assert answer == "right"

    class TestInAClass:
        def test_passes(self):
            pass

        def test_fails(self):
            assert "yes" == "no"
"""
UNITTEST = """
    import unittest

    class TestCase(unittest.TestCase):
        def test_passes(self):
            self.assertEqual(1, 1)

        def test_fails(self):
            self.assertEqual("yes", "no")

        def test_raises(self):
            raise ValueError("odd")

        def test_meets_a_broken_connection(self):
            raise ConnectionError("no route")

        def test_skips_itself(self):
            self.skipTest("not here")

        @unittest.expectedFailure
        def test_is_expected_to_fail_and_does(self):
            self.assertEqual(1, 2)

        @unittest.expectedFailure
        def test_is_expected_to_fail_and_does_not(self):
            pass

    class TestBrokenSetup(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
            raise ValueError("no database")

        def test_never_runs(self):
            pass

    class TestAsync(unittest.IsolatedAsyncioTestCase):
        async def test_fails(self):
            self.assertEqual("yes", "no")
"""
DOCTESTS = '''
    def double(number):
        """Twice the number.

        >>> double(2)
        4
        """
        return 2 * number

    def triple(number):
        """
        >>> triple(2)
        6
        """
        return 2 * number
'''
PLAIN_OUTCOMES = {
    "test_passes": ("passed", 1.0),
    "test_fails": ("failed", 0.0),
    "test_is_skipped": ("skipped", None),
    "test_skips_itself": ("skipped", None),
    "test_is_expected_to_fail_and_does": ("xfailed", None),
    "test_is_expected_to_fail_and_not_run": ("xfailed", None),
    "test_is_expected_to_fail_and_does_not": ("xpassed", None),
    "test_is_expected_strictly_to_fail_and_does_not": ("xpassed", None),
    "test_has_a_broken_setup": ("error", None),
    "test_has_a_broken_teardown": ("error", None),
    "test_records_what_is_no_json": ("passed", 1.0),
    "test_leaves_the_interpreter": ("failed", 0.0),
    "test_ends_the_session": ("crashed", None),
    "test_runs_after_all_of_them": ("passed", 1.0),
    "test_scores_by_degrees": ("passed", 0.25),
    "test_scores_below_its_threshold": ("failed", 0.25),
    "test_scores_above_its_threshold": ("passed", 0.75),
    "test_expects_an_exception": ("passed", 1.0),
    "test_expects_an_exception_that_does_not_come": ("failed", 0.0),
    "test_calls_fail": ("failed", 0.0),
    "test_needs_a_module_that_is_not_there": ("skipped", None),
    "test_expects_to_fail_when_it_is_under_way": ("xfailed", None),
    "test_is_expected_to_fail_in_another_way": ("failed", 0.0),
    "test_is_expected_strictly_to_fail_and_does": ("xfailed", None),
    "test_raises_a_group": ("failed", 0.0),
    "test_raises_a_group_with_a_broken_connection_in_it": ("error", None),
    "test_with_parameters[0]": ("passed", 1.0),
    "test_with_parameters[1]": ("failed", 0.0),
    "TestInAClass::test_passes": ("passed", 1.0),
    "TestInAClass::test_fails": ("failed", 0.0),
}
UNITTEST_OUTCOMES = {
    "TestCase::test_passes": ("passed", 1.0),
    "TestCase::test_fails": ("failed", 0.0),
    "TestCase::test_raises": ("failed", 0.0),
    "TestCase::test_meets_a_broken_connection": ("error", None),
    "TestCase::test_skips_itself": ("skipped", None),
    "TestCase::test_is_expected_to_fail_and_does": ("xfailed", None),
    "TestCase::test_is_expected_to_fail_and_does_not": ("xpassed", None),
    "TestBrokenSetup::test_never_runs": ("error", None),
    "TestAsync::test_fails": ("failed", 0.0),
}
APP = """
    import asyncio, json, os
    from pathlib import Path

    import openai

    PROMPT = Path(__file__).parent / "prompts" / "greet.md"

    def messages(question):
        return [{"role": "system", "content": PROMPT.read_text()}, {"role": "user", "content": question}]

    def ask(question, model="fake", **options):
        client = openai.OpenAI(base_url=os.environ["FAKE_URL"], api_key="none", max_retries=0)
        with client.with_options(**options) as client:
            answer = client.chat.completions.create(model=model, messages=messages(question))
        return answer.choices[0].message.content

    async def ask_async(question):
        async with openai.AsyncOpenAI(base_url=os.environ["FAKE_URL"], api_key="none", max_retries=0) as client:
            answer = await client.chat.completions.create(model="fake", messages=messages(question))
        return answer.choices[0].message.content

    async def first(*questions):
        tasks = [asyncio.create_task(ask_async(question)) for question in questions]
        done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
        await asyncio.wait(tasks)
        return done.pop().result()
"""
MODEL = """
    import asyncio, json, os, threading

    import httpx
    import openai
    import pytest

    from app import PROMPT, ask, ask_async, first, messages

    def use_tool(**arguments):
        return httpx.post(os.environ["FAKE_URL"] + "/tool", json=arguments, timeout=60)

    async def post(question):
        async with httpx.AsyncClient() as client:
            body = {"model": "fake", "messages": messages(question)}
            return await client.post(os.environ["FAKE_URL"] + "/chat/completions", json=body)

    class AppError(Exception):
        pass

    @pytest.fixture(scope="module")
    def lasting_loop():
        loop = asyncio.new_event_loop()
        yield loop
        loop.close()

    @pytest.fixture
    def answer():
        return ask("hello")

    @pytest.fixture
    def number(answer):
        return int(answer)

    @pytest.fixture
    def limited():
        return int(ask("429"))

    @pytest.fixture
    def hidden():
        try:
            return json.loads(ask("500"))
        except openai.APIError:
            raise AppError("cannot help")

    @pytest.fixture
    def booked():
        yield
        assert "booked" == "called"

    @pytest.fixture
    def invalid():
        return ask("400")

    @pytest.fixture
    def broken_at_the_end(request):
        yield
        raise ValueError("cannot close")

    @pytest.fixture(scope="module")
    def service():
        return use_tool(status="ready")

    @pytest.fixture
    def database(service):
        raise ValueError("no database")

    def test_a_fixture_cannot_read_the_answer(number):
        pass

    def test_a_fixture_is_refused(limited):
        pass

    def test_a_fixture_hides_a_refusal(hidden):
        pass

    def test_a_fixture_asks_in_an_invalid_way(invalid):
        pass

    def test_a_fixture_cannot_read_the_answer_and_another_cannot_close(broken_at_the_end, number):
        pass

    def test_a_fixture_that_asked_no_model_fails(database):
        pass

    def test_right_answer():
        assert ask("hello") == "answer to hello"

    def test_wrong_answer():
        assert ask("hello") == "something else"

    def test_app_cannot_read_the_answer():
        json.loads(ask("hello"))

    def test_rate_limit():
        ask("429")

    def test_server_error():
        ask("500")

    def test_unauthorized():
        ask("401")

    def test_has_no_key(monkeypatch):
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        openai.OpenAI()

    def test_connection_refused():
        ask("hello", base_url=os.environ["CLOSED_URL"])

    def test_no_answer_in_time():
        ask("never", timeout=0.2)

    def test_fallback_after_an_error():
        try:
            answer = ask("500")
        except openai.APIError:
            answer = "sorry"
        assert answer == "answer to hello"

    def test_error_wrapped_by_the_app():
        try:
            ask("401")
        except openai.APIError as error:
            raise AppError("cannot help") from error

    def test_error_replaced_by_the_app():
        try:
            ask("401")
        except openai.APIError:
            raise AppError("cannot help")

    def test_error_within_a_group():
        try:
            ask("401")
        except openai.APIError as error:
            group = AppError("several things went wrong")
            group.exceptions = (ValueError("a"), error)
        raise group

    def test_second_attempt_is_answered():
        assert ask("once", max_retries=1) == "something else"

    def test_another_model_is_told_the_same_and_answers():
        try:
            answer = ask("once, then another")
        except openai.RateLimitError:
            answer = ask("once, then another", model="backup")
        assert answer == "something else"

    def test_another_model_is_told_something_else_and_answers():
        try:
            answer = ask("429")
        except openai.RateLimitError:
            answer = ask("hello", model="backup")
        assert answer == "something else"

    def test_a_gateway_tells_its_error_with_status_200():
        assert ask("gateway") == "an answer"

    def test_a_filter_is_told_with_status_200():
        assert ask("filter") == "an answer"

    def test_a_check_at_the_end_fails(booked):
        assert ask("hello")

    def test_body_and_end_fail(broken_at_the_end):
        assert ask("hello") == "something else"

    def test_the_slower_of_two_is_cancelled():
        assert asyncio.run(first("never", "hello")) == "something else"

    def test_the_slower_of_the_same_two_is_cancelled():
        assert asyncio.run(first("one of two", "one of two")) == "something else"

    def test_the_slower_of_two_is_left_open(lasting_loop):
        async def check(question):
            assert (await post(question)).json() == "something else"

        async def both():
            await asyncio.gather(check("never"), check("hello"))

        lasting_loop.run_until_complete(both())

    def test_gives_up_after_an_earlier_answer():
        async def run():
            await ask_async("hello")
            asked = asyncio.create_task(ask_async("in vain"))
            await asyncio.to_thread(use_tool, status="arrived")
            asked.cancel()
            try:
                return await asked
            except asyncio.CancelledError:
                return "sorry"

        assert asyncio.run(run()) == "answer to in vain"

    def test_expects_the_error():
        with pytest.raises(openai.InternalServerError):
            ask("500")

    def test_a_service_of_its_own_fails():
        use_tool(event="asked", status=500)
        assert ask("hello") == "something else"

    def test_a_service_of_its_own_is_never_reached():
        with pytest.raises(httpx.ConnectError):
            httpx.post(os.environ["CLOSED_URL"] + "/batch", json={"event": "asked"})
        assert ask("hello") == "something else"

    def test_a_service_of_its_own_has_not_answered_yet():
        threading.Thread(target=use_tool, kwargs={"status": "never"}, daemon=True).start()
        assert ask("hello") == "something else"

    def test_a_service_that_is_sent_the_prompt_fails():
        assert use_tool(question=PROMPT.read_text(), status=500).json() == "an answer"

    def test_a_trace_that_holds_the_prompt_is_not_taken():
        answer = ask("hello")
        body = {"data": [{"input": PROMPT.read_text(), "output": answer}], "status": 500}
        httpx.post(os.environ["FAKE_URL"] + "/traces/ingest", json=body)
        assert answer == "something else"

    def test_a_tool_has_no_such_thing():
        use_tool(id=ask("hello"), status=404).raise_for_status()

    def test_a_tool_fails():
        use_tool(id=ask("hello"), status=500).raise_for_status()

    def test_invalid_request():
        ask("400")

    @pytest.mark.parametrize("status", [401, 402, 403, 404, 422])
    def test_hides_a_refusal(status):
        try:
            answer = ask(str(status))
        except Exception:
            answer = ""
        assert answer == "an answer"

    def test_model_not_found():
        ask("404")
"""
NO_ANSWERS = {
    "gateway": {"code": 502, "message": "Provider returned error"},
    "filter": {"message": "the prompt was flagged"},
}
MODEL_OUTCOMES = {
    "test_right_answer": "passed",
    "test_wrong_answer": "failed",
    "test_app_cannot_read_the_answer": "failed",
    "test_rate_limit": "error",
    "test_server_error": "error",
    "test_unauthorized": "error",
    "test_has_no_key": "error",
    "test_connection_refused": "error",
    "test_no_answer_in_time": "error",
    "test_fallback_after_an_error": "error",
    "test_error_wrapped_by_the_app": "error",
    "test_error_replaced_by_the_app": "error",
    "test_error_within_a_group": "error",
    "test_second_attempt_is_answered": "failed",
    "test_another_model_is_told_the_same_and_answers": "failed",
    "test_another_model_is_told_something_else_and_answers": "error",
    "test_a_gateway_tells_its_error_with_status_200": "error",
    "test_a_filter_is_told_with_status_200": "failed",
    "test_a_check_at_the_end_fails": "failed",
    "test_body_and_end_fail": "failed",
    "test_the_slower_of_two_is_cancelled": "failed",
    "test_the_slower_of_the_same_two_is_cancelled": "failed",
    "test_the_slower_of_two_is_left_open": "failed",
    "test_gives_up_after_an_earlier_answer": "error",
    "test_expects_the_error": "passed",
    "test_a_service_of_its_own_fails": "failed",
    "test_a_service_of_its_own_is_never_reached": "failed",
    "test_a_service_of_its_own_has_not_answered_yet": "failed",
    "test_a_service_that_is_sent_the_prompt_fails": "error",
    "test_a_trace_that_holds_the_prompt_is_not_taken": "failed",
    "test_a_tool_has_no_such_thing": "failed",
    "test_a_tool_fails": "error",
    "test_invalid_request": "failed",
    "test_hides_a_refusal[0]": "error",
    "test_hides_a_refusal[1]": "error",
    "test_hides_a_refusal[2]": "error",
    "test_hides_a_refusal[3]": "error",
    "test_hides_a_refusal[4]": "failed",
    "test_model_not_found": "error",
    "test_a_fixture_cannot_read_the_answer": "failed",
    "test_a_fixture_is_refused": "error",
    "test_a_fixture_hides_a_refusal": "error",
    "test_a_fixture_asks_in_an_invalid_way": "failed",
    "test_a_fixture_cannot_read_the_answer_and_another_cannot_close": "error",
    "test_a_fixture_that_asked_no_model_fails": "error",
}


@pytest.fixture(scope="module")
def plain(build: Build, usual_runner: Runner) -> dict[str, Rollout]:
    project = build({"test_plain.py": PLAIN})
    suite = project.suite(usual_runner, [f"test_plain.py::{name}" for name in PLAIN_OUTCOMES])
    return _by_name(evaluate(suite))


@pytest.fixture(scope="module")
def unittests(build: Build, usual_runner: Runner) -> dict[str, Rollout]:
    project = build({"test_unittest.py": UNITTEST})
    suite = project.suite(usual_runner, [f"test_unittest.py::{name}" for name in UNITTEST_OUTCOMES])
    return _by_name(evaluate(suite))


@pytest.mark.parametrize("name", UNITTEST_OUTCOMES)
def test_a_case_of_unittest_has_its_outcome_and_score(unittests: dict[str, Rollout], name: str) -> None:
    assert (unittests[name].outcome.value, unittests[name].score) == UNITTEST_OUTCOMES[name]


def test_a_doctest_passes_or_fails_like_any_case(build: Build, usual_runner: Runner) -> None:
    text = "Sums\n\n>>> 1 + 1\n3\n"
    project = build({"numbers_of.py": DOCTESTS, "sums.txt": text})
    cases = [
        "numbers_of.py::numbers_of.double",
        "numbers_of.py::numbers_of.triple",
        "sums.txt::sums.txt",
    ]
    suite = project.suite(usual_runner, cases, args=["--doctest-modules", "--doctest-glob=*.txt"])

    found = [evaluate(suite).rollouts[case] for case in cases]

    assert [(rollout.outcome.value, rollout.score) for rollout in found] == [
        ("passed", 1.0),
        ("failed", 0.0),
        ("failed", 0.0),
    ]
    assert "Expected:" in found[1].trajectory.failure


@pytest.mark.parametrize("name", PLAIN_OUTCOMES)
def test_a_case_without_a_model_has_its_outcome_and_score(plain: dict[str, Rollout], name: str) -> None:
    assert (plain[name].outcome.value, plain[name].score) == PLAIN_OUTCOMES[name]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("test_fails", "assert 'yes' == 'no'"),
        ("test_has_a_broken_setup", "no database"),
        ("test_has_a_broken_teardown", "cannot close"),
        ("test_leaves_the_interpreter", "SystemExit: 3"),
        ("test_ends_the_session", "enough"),
        ("test_calls_fail", "not polite"),
        ("test_expects_an_exception_that_does_not_come", "DID NOT RAISE"),
        ("test_raises_a_group", "two things went wrong"),
        ("test_scores_below_its_threshold", "the score of 0.25 is below the threshold of 0.5"),
    ],
)
def test_a_failure_is_told_in_words(plain: dict[str, Rollout], name: str, words: str) -> None:
    assert words in plain[name].trajectory.failure


def test_feedback_travels_with_the_score(plain: dict[str, Rollout]) -> None:
    assert plain["test_scores_by_degrees"].feedback == "nearly"


@pytest.fixture(scope="module")
def asked(build: Build, fork_runner: Runner) -> Iterator[dict[str, Rollout]]:
    project = build({"app.py": APP, "test_model.py": MODEL})
    suite = project.suite(fork_runner, [f"test_model.py::{name}" for name in MODEL_OUTCOMES])
    is_over, has_arrived = threading.Event(), threading.Event()
    seen: set[str] = set()
    first = threading.Lock()

    def reply(request: dict[str, Any]) -> Answer:
        if "messages" not in request:
            if request["status"] == "never":
                is_over.wait(60)
            if request["status"] == "arrived":
                has_arrived.wait(60)
            return (request["status"], {}) if request["status"] in range(600) else {}
        question = request["messages"][1]["content"]
        if question == "in vain":
            has_arrived.set()
        if question in ("never", "in vain"):
            is_over.wait(60)
        if question == "one of two" and not first.acquire(blocking=False):
            is_over.wait(60)
        if question.isdigit():
            return int(question), {"error": {"message": f"this is {question}"}}
        if question in NO_ANSWERS:
            return 200, {"error": NO_ANSWERS[question]}
        if question.startswith("once") and question not in seen:
            seen.add(question)
            return 429, {"error": {"message": "too fast"}}
        return f"answer to {question}"

    with FakeOpenAI(reply) as server, pytest.MonkeyPatch.context() as patch, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        patch.setenv("FAKE_URL", server.base_url)
        patch.setenv("CLOSED_URL", f"http://127.0.0.1:{closed.getsockname()[1]}/v1")
        yield _by_name(evaluate(suite))
        is_over.set()


@pytest.mark.parametrize("name", MODEL_OUTCOMES)
def test_an_error_of_the_model_s_server_is_never_a_failure(asked: dict[str, Rollout], name: str) -> None:
    assert asked[name].outcome.value == MODEL_OUTCOMES[name]
    assert (asked[name].score is None) == (MODEL_OUTCOMES[name] == "error")


def test_the_trajectory_shows_the_error_of_the_call(asked: dict[str, Rollout]) -> None:
    (call,) = asked["test_fallback_after_an_error"].trajectory.calls

    assert (call.status, call.answer) == (500, None)
    assert "this is 500" in call.error


def test_the_trajectory_shows_request_and_answer(asked: dict[str, Rollout]) -> None:
    trajectory = asked["test_wrong_answer"].trajectory

    assert [message.role for message in trajectory.calls[0].request] == ["system", "user"]
    assert trajectory.answer == "answer to hello"


def _by_name(evaluation: Evaluation) -> dict[str, Rollout]:
    return {case.split("::", 1)[1]: rollout for case, rollout in evaluation.rollouts.items()}
