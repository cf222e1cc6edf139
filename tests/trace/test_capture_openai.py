"""Capture and cache through the real OpenAI SDK and its HTTP library, against a server on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from pytest_gepa.trace import capture
from pytest_gepa.trace.admission import Target
from pytest_gepa.trace.cache import ResponseCache
from pytest_gepa.trace.recorder import Recorder
from pytest_gepa.trace.trajectory import Call, Message, ToolCall
from tests.fake_openai import FakeOpenAI, tool_call

QUESTION: list[Any] = [{"role": "user", "content": "Capital of France?"}]
TOOLS: list[Any] = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(lambda request: "It is Paris.") as server:
        yield server


@pytest.fixture
def client(server: FakeOpenAI) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.base_url, api_key="sk-very-secret-key", max_retries=0) as client:
        yield client


def async_client(server: FakeOpenAI) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=server.base_url, api_key="sk-very-secret-key", max_retries=0)


def only(recorder: Recorder) -> Call:
    (call,) = recorder.end().calls
    return call


# Recording


def test_a_call_is_recorded_with_all_that_is_known_of_it(client: openai.OpenAI, recorder: Recorder) -> None:
    answer = client.chat.completions.create(model="m1", messages=QUESTION)
    assert answer.choices[0].message.content == "It is Paris."
    call = only(recorder)
    assert call.request == (Message("user", "Capital of France?"),)
    assert call.answer == Message("assistant", "It is Paris.")
    assert (call.model, call.status, call.error, call.finish_reason) == ("m1", 200, "", "stop")
    assert (call.input_tokens, call.output_tokens, call.tools) == (3, 3, ())
    assert (call.cached, call.streamed) == (False, False)
    assert call.seconds > 0
    assert len(call.key) == 64


def test_neither_keys_nor_headers_are_kept(client: openai.OpenAI, recorder: Recorder) -> None:
    client.chat.completions.create(model="m", messages=QUESTION, extra_headers={"X-Session": "header-value"})
    text = repr(only(recorder))
    assert "very-secret" not in text
    assert "header-value" not in text


def test_an_async_call_is_recorded(server: FakeOpenAI, recorder: Recorder) -> None:
    async def run() -> None:
        async with async_client(server) as client:
            await client.chat.completions.create(model="m", messages=QUESTION)

    asyncio.run(run())
    assert only(recorder).answer == Message("assistant", "It is Paris.")


def test_a_stream_is_recorded_and_reaches_the_caller_unchanged(client: openai.OpenAI, recorder: Recorder) -> None:
    options: Any = {"stream_options": {"include_usage": True}}
    pieces = [
        chunk.choices[0].delta.content or ""
        for chunk in client.chat.completions.create(model="m", messages=QUESTION, stream=True, **options)
        if chunk.choices
    ]
    assert pieces == ["", "It ", "is ", "Paris.", ""]
    call = only(recorder)
    assert call.answer == Message("assistant", "It is Paris.")
    assert (call.streamed, call.status, call.error, call.finish_reason) == (True, 200, "", "stop")
    assert (call.input_tokens, call.output_tokens) == (3, 3)


def test_an_async_stream_is_recorded(server: FakeOpenAI, recorder: Recorder) -> None:
    async def run() -> list[str]:
        async with async_client(server) as client:
            stream = await client.chat.completions.create(model="m", messages=QUESTION, stream=True)
            return [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]

    assert "".join(asyncio.run(run())) == "It is Paris."
    call = only(recorder)
    assert call.answer == Message("assistant", "It is Paris.")
    assert call.streamed


def test_the_helper_that_accumulates_a_stream_works_and_is_recorded(client: openai.OpenAI, recorder: Recorder) -> None:
    with client.chat.completions.stream(model="m", messages=QUESTION) as stream:
        assert stream.get_final_completion().choices[0].message.content == "It is Paris."
    assert only(recorder).answer == Message("assistant", "It is Paris.")


@pytest.mark.parametrize("stream", [False, True])
def test_tool_calls_and_reasoning_are_recorded(
    server: FakeOpenAI, client: openai.OpenAI, recorder: Recorder, stream: bool
) -> None:
    server.reply = lambda request: {
        "reasoning_content": "I must look.",
        "tool_calls": [
            tool_call("look_up", {"city": "Paris"}),
            tool_call("look_up", {"city": "Rome"}, "call_2"),
        ],
    }
    answer: Any = client.chat.completions.create(model="m", messages=QUESTION, tools=TOOLS, stream=stream)
    if stream:
        list(answer)
    call = only(recorder)
    assert call.tools == ("look_up",)
    assert call.finish_reason == "tool_calls"
    assert call.answer == Message(
        "assistant",
        "",
        "I must look.",
        (
            ToolCall("call_1", "look_up", '{"city": "Paris"}'),
            ToolCall("call_2", "look_up", '{"city": "Rome"}'),
        ),
    )


def test_every_attempt_of_a_retry_is_a_call(server: FakeOpenAI, recorder: Recorder) -> None:
    replies: list[Any] = [(429, {"error": {"message": "slow down"}}), "It is Paris."]
    server.reply = lambda request: replies.pop(0)
    with openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=1) as client:
        client.chat.completions.create(model="m", messages=QUESTION)
    first, second = recorder.end().calls
    assert (first.status, first.answer) == (429, None)
    assert "slow down" in first.error
    assert second.answer == Message("assistant", "It is Paris.")
    assert first.key == second.key


@pytest.mark.parametrize("stream", [False, True])
def test_an_error_of_the_server_is_recorded_and_raised(
    server: FakeOpenAI, client: openai.OpenAI, recorder: Recorder, stream: bool
) -> None:
    server.reply = lambda request: (400, "x" * 5000)
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="m", messages=QUESTION, stream=stream)
    call = only(recorder)
    assert (call.status, call.answer, call.error) == (400, None, "x" * 2000)


def test_a_stream_that_is_refused_and_tried_again_is_two_calls(server: FakeOpenAI, recorder: Recorder) -> None:
    replies: list[Any] = [(503, ""), "It is Paris."]
    server.reply = lambda request: replies.pop(0)
    with openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=1) as client:
        list(client.chat.completions.create(model="m", messages=QUESTION, stream=True))
    first, second = recorder.end().calls
    assert (first.status, first.error) == (503, "status 503")
    assert second.answer == Message("assistant", "It is Paris.")


def test_a_server_that_is_not_there_is_recorded_and_raised(recorder: Recorder) -> None:
    with FakeOpenAI(lambda request: "") as server:
        gone = server.base_url
    with (
        openai.OpenAI(base_url=gone, api_key="k", max_retries=0) as client,
        pytest.raises(openai.APIConnectionError) as raised,
    ):
        client.chat.completions.create(model="m", messages=QUESTION)
    assert type(raised.value.__cause__).__name__ == "ConnectError"
    call = only(recorder)
    assert (call.status, call.answer) == (None, None)
    assert call.error.startswith("ConnectError: ")


def test_a_stream_that_the_caller_closes_is_not_complete(client: openai.OpenAI, recorder: Recorder) -> None:
    stream = client.chat.completions.create(model="m", messages=QUESTION, stream=True)
    next(iter(stream))
    stream.close()
    call = only(recorder)
    assert (call.answer, call.status, call.streamed) == (None, 200, True)
    assert call.error.startswith("closed before the answer was complete")


def test_an_async_stream_that_the_caller_closes_is_not_complete(server: FakeOpenAI, recorder: Recorder) -> None:
    async def run() -> None:
        async with (
            async_client(server) as client,
            await client.chat.completions.create(model="m", messages=QUESTION, stream=True) as stream,
        ):
            async for _ in stream:
                break

    asyncio.run(run())
    call = only(recorder)
    assert call.answer is None
    assert call.error.startswith("closed before the answer was complete")


def test_a_stream_still_open_when_the_case_ends_is_not_complete(client: openai.OpenAI, recorder: Recorder) -> None:
    with client.chat.completions.create(model="m", messages=QUESTION, stream=True) as stream:
        chunks = iter(stream)
        next(chunks)
        next(chunks)
        call = only(recorder)
    assert (call.answer, call.status) == (None, 200)
    assert call.error == "no complete answer before the case ended; so far: It "


def test_a_stream_that_nobody_closes_is_recorded_when_the_case_ends(client: openai.OpenAI, recorder: Recorder) -> None:
    for chunk in client.chat.completions.create(model="m", messages=QUESTION, stream=True):
        if chunk.choices[0].finish_reason:
            break
    call = only(recorder)
    assert (call.answer, call.status, call.error) == (Message("assistant", "It is Paris."), 200, "")


def test_raw_and_streamed_responses_of_the_sdk_work_and_are_recorded(client: openai.OpenAI, recorder: Recorder) -> None:
    raw = client.chat.completions.with_raw_response.create(model="m", messages=QUESTION)
    assert raw.elapsed.total_seconds() > 0
    with client.chat.completions.with_streaming_response.create(model="m", messages=QUESTION) as response:
        assert response.parse().choices[0].message.content == "It is Paris."
        assert response.elapsed.total_seconds() > 0
    with client.chat.completions.with_streaming_response.create(model="m", messages=QUESTION) as response:
        lines = "".join(response.iter_lines())
    assert json.loads(lines)["choices"][0]["message"]["content"] == "It is Paris."
    calls = recorder.end().calls
    assert [call.answer for call in calls] == [Message("assistant", "It is Paris.")] * 3


def test_a_streamed_response_that_nobody_reads_is_not_complete(client: openai.OpenAI, recorder: Recorder) -> None:
    with client.chat.completions.with_streaming_response.create(model="m", messages=QUESTION) as response:
        assert response.status_code == 200
    assert only(recorder).error == "closed before the answer was complete"


def test_concurrent_calls_stand_in_the_order_of_their_start(server: FakeOpenAI, recorder: Recorder) -> None:
    last_asked = threading.Event()

    def reply(request: dict[str, Any]) -> str:
        number = request["messages"][0]["content"]
        if number == "2":
            last_asked.set()
        else:
            assert last_asked.wait(10)
        return f"answer {number}"

    server.reply = reply

    async def run() -> None:
        async with async_client(server) as client:
            messages: list[Any] = [[{"role": "user", "content": str(number)}] for number in range(3)]
            await asyncio.gather(*(client.chat.completions.create(model="m", messages=item) for item in messages))

    asyncio.run(run())
    calls = recorder.end().calls
    assert [call.request[0].content for call in calls] == ["0", "1", "2"]
    assert [call.answer.content for call in calls if call.answer] == ["answer 0", "answer 1", "answer 2"]


def test_other_endpoints_are_recorded_as_text(server: FakeOpenAI, client: openai.OpenAI, recorder: Recorder) -> None:
    server.reply = lambda request: {"id": "modr-1", "model": "o", "results": []}
    client.moderations.create(model="o", input="hello")
    call = only(recorder)
    assert (call.kind, call.model, call.request) == ("other", "o", (Message("user", "hello"),))
    assert call.answer == Message("assistant", '{"id": "modr-1", "model": "o", "results": []}')


# The cache


class World:
    """Runs cases against one server and one cache, each with a recorder of its own, as a process would."""

    def __init__(self, directory: Path) -> None:
        self.cache = ResponseCache(directory)
        self.sent = 0
        self.server = FakeOpenAI(self.reply)
        self.trial: str | None = "search/1"

    def reply(self, request: dict[str, Any]) -> str:
        self.sent += 1
        return f"answer {self.sent}"

    def ask(self, *questions: str, **fields: Any) -> tuple[Call, ...]:
        recorder = Recorder()
        capture.install(Target(recorder, self.cache, self.trial))
        recorder.begin("case")
        with openai.OpenAI(base_url=self.server.base_url, api_key="k", max_retries=1) as client:
            for question in questions:
                messages: list[Any] = [{"role": "user", "content": question}]
                answer: Any = client.chat.completions.create(model="m", messages=messages, **fields)
                if fields.get("stream"):
                    list(answer)
        assert recorder.problems == ()
        return recorder.end().calls


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "responses")
    try:
        yield world
    finally:
        capture.uninstall()
        world.cache.close()
        world.server.close()


def answers(calls: tuple[Call, ...]) -> list[str]:
    return [call.answer.content if call.answer else call.error for call in calls]


def test_an_answer_is_bought_once(world: World) -> None:
    first, again = world.ask("q"), world.ask("q")
    assert answers(first) == answers(again) == ["answer 1"]
    assert world.sent == 1
    assert [call.cached for call in (*first, *again)] == [False, True]
    assert first[0].seconds  # a stored answer takes as long as it took to come
    assert [call.seconds for call in again] == [call.seconds for call in first]
    assert (again[0].status, again[0].key, again[0].finish_reason) == (200, first[0].key, "stop")
    assert (again[0].input_tokens, again[0].output_tokens) == (first[0].input_tokens, first[0].output_tokens)


def test_other_requests_and_other_trials_are_bought_anew(world: World) -> None:
    world.ask("q")
    world.ask("r")
    world.ask("q", temperature=0.5)
    world.trial = "search/2"
    assert answers(world.ask("q")) == ["answer 4"]
    world.trial = "search/1"
    assert answers(world.ask("q")) == ["answer 1"]


def test_identical_requests_within_a_case_stay_different(world: World) -> None:
    assert answers(world.ask("q", "q", "r")) == ["answer 1", "answer 2", "answer 3"]
    assert answers(world.ask("q", "r", "q", "q")) == ["answer 1", "answer 3", "answer 2", "answer 4"]


def test_without_a_trial_or_a_cache_nothing_is_stored(world: World) -> None:
    world.trial = None
    world.ask("q")
    assert answers(world.ask("q")) == ["answer 2"]
    assert not world.cache.directory.exists()


def test_a_stream_is_bought_once(world: World) -> None:
    first, again = world.ask("q", stream=True), world.ask("q", stream=True)
    assert answers(first) == answers(again) == ["answer 1"]
    assert [call.cached for call in (*first, *again)] == [False, True]
    assert answers(world.ask("q")) == ["answer 2"], "a request for a whole answer is another request"


def test_a_retry_finds_the_answer_that_a_retry_bought(world: World) -> None:
    replies: list[Any] = [(429, "slow down"), "bought"]
    world.server.reply = lambda request: replies.pop(0)
    assert answers(world.ask("q")) == ["slow down", "bought"]
    assert answers(world.ask("q")) == ["bought"]


@pytest.mark.parametrize(
    "reply",
    [
        {"choices": []},
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": "half"}, "finish_reason": None}]},
        (201, {"choices": [{"index": 0, "message": {"content": "made"}, "finish_reason": "stop"}]}),
        (400, "bad"),
    ],
)
def test_what_is_not_a_complete_answer_of_status_200_is_not_stored(world: World, reply: Any) -> None:
    world.server.reply = lambda request: reply
    for _ in range(2):
        with contextlib.suppress(openai.BadRequestError):
            world.ask("q")
    assert len(world.server.requests) == 2


def test_a_planted_row_is_not_taken_for_an_answer(world: World) -> None:
    key = world.ask("q")[0].key
    world.cache.put(f"{key}:search/1:0", b"nonsense")
    assert answers(world.ask("q")) == ["answer 2"]
    assert answers(world.ask("q")) == ["answer 2"]


def test_async_calls_use_the_same_answers(world: World) -> None:
    world.ask("q")
    recorder = Recorder()
    capture.install(Target(recorder, world.cache, world.trial))

    async def run() -> str | None:
        async with async_client(world.server) as client:
            messages: list[Any] = [{"role": "user", "content": "q"}]
            raw = await client.chat.completions.with_raw_response.create(model="m", messages=messages)
            assert raw.elapsed.total_seconds() == 0
            return raw.parse().choices[0].message.content

    assert asyncio.run(run()) == "answer 1"
    assert world.sent == 1
    assert recorder.stray[0].call.cached
    assert recorder.problems == ()
