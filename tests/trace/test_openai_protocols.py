"""What the real OpenAI SDK sends and takes, protocol by protocol, against a server on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import BaseModel, Field

from pytest_gepa.trace import capture
from pytest_gepa.trace.admission import Target
from pytest_gepa.trace.cache import ResponseCache
from pytest_gepa.trace.recorder import Recorder
from pytest_gepa.trace.trajectory import Call, Message, ToolCall
from tests.fake_openai import FakeOpenAI, Stream, tool_call
from tests.wire import LOGPROB, named_events, response, response_events

QUESTION: list[Any] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Capital of France?"},
]
ASKED = (Message("system", "Be brief."), Message("user", "Capital of France?"))
IT_IS_PARIS = Message("assistant", "It is Paris.")


class City(BaseModel):
    """A city."""

    name: str = Field(description="Its English name.")


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(lambda request: "It is Paris.") as server:
        yield server


@pytest.fixture
def client(server: FakeOpenAI) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
        yield client


def only(recorder: Recorder) -> Call:
    (call,) = recorder.end().calls
    assert call.error == ""
    assert call.status == 200
    return call


# Chat completions


@pytest.mark.parametrize("stream", [False, True])
def test_all_choices_and_the_log_probability_are_recorded(
    server: FakeOpenAI, client: openai.OpenAI, recorder: Recorder, stream: bool
) -> None:
    server.reply = lambda request: ["It is Paris.", "Paris", {"refusal": "I cannot."}]
    options: Any = {"stream": stream, "stream_options": {"include_usage": True}} if stream else {}
    answer: Any = client.chat.completions.create(model="m", messages=QUESTION, n=3, logprobs=True, **options)
    if stream:
        list(answer)
    call = only(recorder)
    assert call.request == ASKED
    assert call.answer == IT_IS_PARIS
    assert call.alternatives == (Message("assistant", "Paris"), Message("assistant", "[refusal] I cannot."))
    assert call.logprob == LOGPROB
    assert (call.input_tokens, call.output_tokens, call.kind) == (5, 4, "chat")


@pytest.mark.parametrize("mode", ["parse", "stream"])
def test_a_structured_output_is_recorded_with_the_schema_that_was_asked_for(
    server: FakeOpenAI, client: openai.OpenAI, recorder: Recorder, mode: str
) -> None:
    server.reply = lambda request: '{"name": "Paris"}'
    if mode == "parse":
        parsed: Any = client.chat.completions.parse(model="m", messages=QUESTION, response_format=City)
    else:
        with client.chat.completions.stream(model="m", messages=QUESTION, response_format=City) as stream:
            parsed = stream.get_final_completion()
    assert parsed.choices[0].message.parsed == City(name="Paris")
    call = only(recorder)
    assert call.answer == Message("assistant", '{"name": "Paris"}')
    assert json.loads(call.answer_format)["required"] == ["name"]
    assert call.other_texts == ("A city.", "Its English name.")


def test_a_refused_structured_output_is_told_as_a_refusal(
    server: FakeOpenAI, client: openai.OpenAI, recorder: Recorder
) -> None:
    server.reply = lambda request: {"refusal": "I cannot."}
    parsed = client.chat.completions.parse(model="m", messages=QUESTION, response_format=City)
    assert parsed.choices[0].message.parsed is None
    assert only(recorder).answer == Message("assistant", "[refusal] I cannot.")


def test_a_parse_that_fails_in_the_client_leaves_the_answer_in_the_record(
    server: FakeOpenAI, client: openai.OpenAI, recorder: Recorder
) -> None:
    server.reply = lambda request: {"content": '{"name": "Par', "finish_reason": "length"}
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(model="m", messages=QUESTION, response_format=City)
    call = only(recorder)
    assert (call.answer, call.finish_reason) == (Message("assistant", '{"name": "Par'), "length")


def test_old_function_calls_are_recorded(server: FakeOpenAI, client: openai.OpenAI, recorder: Recorder) -> None:
    server.reply = lambda request: {"function_call": {"name": "look", "arguments": '{"a": 1}'}}
    function: Any = {"name": "look", "description": "Looks it up.", "parameters": {"type": "object"}}
    client.chat.completions.create(model="m", messages=QUESTION, functions=[function])
    call = only(recorder)
    assert call.answer == Message("assistant", "", "", (ToolCall("", "look", '{"a": 1}'),))
    assert (call.tools, call.other_texts) == (("look",), ("Looks it up.",))


def test_images_and_sounds_that_are_sent_are_noted_by_their_size(client: openai.OpenAI, recorder: Recorder) -> None:
    parts: Any = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
        {"type": "input_audio", "input_audio": {"data": "QUJDREVG", "format": "wav"}},
    ]
    client.chat.completions.create(model="m", messages=[{"role": "user", "content": parts}])
    assert only(recorder).request == (Message("user", "What is this?\n[image, 3 bytes]\n[audio, 6 bytes]"),)


def test_azure_paths_are_chat_completions(server: FakeOpenAI, recorder: Recorder) -> None:
    azure = openai.AzureOpenAI(
        azure_endpoint=server.base_url.removesuffix("/v1"),
        azure_deployment="my-gpt",
        api_version="2024-10-21",
        api_key="k",
        max_retries=0,
    )
    with azure as client:
        client.chat.completions.create(model="my-gpt", messages=QUESTION)
    call = only(recorder)
    assert server.paths == ["/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21"]
    assert (call.kind, call.model, call.answer) == ("chat", "my-gpt", IT_IS_PARIS)


# Responses


@pytest.mark.parametrize("mode", ["whole", "events", "helper", "async"])
def test_a_response_is_recorded_however_it_is_asked_for(
    server: FakeOpenAI, client: openai.OpenAI, recorder: Recorder, mode: str
) -> None:
    server.reply = lambda request: {"content": "It is Paris.", "reasoning_content": "France, hm"}
    asked: Any = {"model": "m", "instructions": "Be brief.", "input": "Capital of France?"}

    async def ask() -> str:
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
            return str((await client.responses.create(**asked)).output_text)

    if mode == "whole":
        text = client.responses.create(**asked).output_text
    elif mode == "async":
        text = asyncio.run(ask())
    elif mode == "events":
        events = client.responses.create(**asked, stream=True)
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    else:
        with client.responses.stream(**asked) as stream:
            text = stream.get_final_response().output_text
    assert text == "It is Paris."
    call = only(recorder)
    assert call.request == ASKED
    assert call.answer == Message("assistant", "It is Paris.", "France, hm")
    assert (call.model, call.finish_reason, call.kind) == ("m", "completed", "chat")
    assert (call.input_tokens, call.output_tokens) == (5, 3)
    assert call.streamed is (mode in ("events", "helper"))


@pytest.mark.parametrize("mode", ["parse", "stream"])
def test_a_structured_response_is_recorded_with_the_schema_that_was_asked_for(
    server: FakeOpenAI, client: openai.OpenAI, recorder: Recorder, mode: str
) -> None:
    server.reply = lambda request: '{"name": "Paris"}'
    if mode == "parse":
        parsed: Any = client.responses.parse(model="m", input="Capital?", text_format=City)
    else:
        with client.responses.stream(model="m", input="Capital?", text_format=City) as stream:
            parsed = stream.get_final_response()
    assert parsed.output_parsed == City(name="Paris")
    call = only(recorder)
    assert call.answer == Message("assistant", '{"name": "Paris"}')
    assert json.loads(call.answer_format)["required"] == ["name"]
    assert call.other_texts == ("A city.", "Its English name.")


def test_a_conversation_with_tools_is_recorded_turn_by_turn(
    server: FakeOpenAI, client: openai.OpenAI, recorder: Recorder
) -> None:
    search = {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "France", "sources": [{"type": "url", "url": "https://w/f"}]},
    }
    replies: list[Any] = [
        {"items": [search], "reasoning_content": "hm", "tool_calls": [tool_call("look", {"city": "Paris"})]},
        "It is Paris.",
    ]
    server.reply = lambda request: replies.pop(0)
    tools: Any = [
        {"type": "web_search"},
        {"type": "function", "name": "look", "description": "Looks it up.", "parameters": {"type": "object"}},
    ]
    first = client.responses.create(model="m", input=QUESTION, tools=tools)
    given: list[Any] = [*QUESTION, *(item.model_dump(exclude_none=True) for item in first.output)]
    given.append({"type": "function_call_output", "call_id": "call_1", "output": "the capital"})
    client.responses.create(model="m", input=given, tools=tools)
    one, two = recorder.end().calls
    assert one.answer == Message(
        "assistant",
        "",
        "hm",
        (
            ToolCall("ws_1", "web_search", '{"query": "France", "type": "search"}', "https://w/f"),
            ToolCall("call_1", "look", '{"city": "Paris"}'),
        ),
    )
    assert two.request == (*ASKED, one.answer, Message("tool", "the capital", tool_call_id="call_1"))
    assert two.answer == IT_IS_PARIS
    assert two.tools == ("web_search", "look")
    assert two.other_texts == ("Looks it up.",)


def test_a_response_that_continues_another_says_so(client: openai.OpenAI, recorder: Recorder) -> None:
    first = client.responses.create(model="m", input="Capital of France?")
    client.responses.create(model="m", input="And of Spain?", previous_response_id=first.id)
    _, two = recorder.end().calls
    assert [message.role for message in two.request] == ["note", "user"]
    assert "continues an earlier response" in two.request[0].content
    assert first.id not in repr(two)


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_that_failed_is_an_error_in_the_record(
    server: FakeOpenAI, client: openai.OpenAI, recorder: Recorder, stream: bool
) -> None:
    failure = {"code": "server_error", "message": "Broken."}
    server.reply = lambda request: {"status": "failed", "error": failure}
    answer: Any = client.responses.create(model="m", input="x", stream=stream)
    if stream:
        assert [event.type for event in answer][-1] == "response.failed"
    (call,) = recorder.end().calls
    assert (call.answer, call.error, call.status) == (None, "Broken.", 200)


def test_an_error_in_the_middle_of_a_response_is_recorded(
    server: FakeOpenAI, client: openai.OpenAI, recorder: Recorder
) -> None:
    events = list(response_events(response({"input": "x"}, {"content": "It is Paris."})))
    error = {
        "type": "error",
        "code": "overloaded",
        "message": "Slow down.",
        "param": None,
        "sequence_number": 9,
    }
    server.reply = lambda request: Stream(named_events([*events[:6], error]))
    # Some versions of the SDK hand the error over as an event, others raise it.
    with contextlib.suppress(openai.APIError):
        list(client.responses.create(model="m", input="x", stream=True))
    (call,) = recorder.end().calls
    assert (call.answer, call.error) == (None, "Slow down.; so far: It is ")


def test_a_response_that_is_cut_off_is_not_complete(
    server: FakeOpenAI, client: openai.OpenAI, recorder: Recorder
) -> None:
    events = list(response_events(response({"input": "x"}, {"content": "It is Paris."})))
    server.reply = lambda request: Stream(named_events(events[:6]))
    list(client.responses.create(model="m", input="x", stream=True))
    (call,) = recorder.end().calls
    assert call.answer is None
    assert call.error == "the stream ended before the answer was complete; so far: It is "


# Embeddings and legacy completions


@pytest.mark.parametrize("texts", ["one text", ["one text", "and another"]])
def test_embeddings_are_a_step_with_their_texts_and_without_their_vectors(
    client: openai.OpenAI, recorder: Recorder, texts: Any
) -> None:
    vectors = client.embeddings.create(model="e", input=texts).data
    assert vectors[0].embedding == [0.5, 0.25, 1.0]
    call = only(recorder)
    given = [texts] if isinstance(texts, str) else texts
    number = f"{len(given)} vector{'s' if len(given) > 1 else ''}"
    assert (call.kind, call.model) == ("embedding", "e")
    assert call.request == tuple(Message("user", text) for text in given)
    assert call.answer == Message("assistant", f"[{number} of 3 dimensions]")
    assert call.input_tokens == sum(len(text.split()) for text in given)


@pytest.mark.parametrize("stream", [False, True])
def test_a_legacy_completion_is_recorded(client: openai.OpenAI, recorder: Recorder, stream: bool) -> None:
    answer: Any = client.completions.create(model="m", prompt="Capital of France?", stream=stream)
    if stream:
        assert "".join(chunk.choices[0].text for chunk in answer) == "It is Paris."
    call = only(recorder)
    assert call.request == (Message("user", "Capital of France?"),)
    assert (call.answer, call.finish_reason, call.streamed) == (IT_IS_PARIS, "stop", stream)


# Each request once

WAYS: dict[str, Callable[[openai.OpenAI], Any]] = {
    "chat": lambda client: client.chat.completions.create(model="m", messages=QUESTION, n=2, logprobs=True),
    "chat stream": lambda client: list(
        client.chat.completions.create(
            model="m", messages=QUESTION, n=2, stream=True, stream_options={"include_usage": True}
        )
    ),
    "response": lambda client: client.responses.create(model="m", input="Capital of France?"),
    "response stream": lambda client: list(client.responses.create(model="m", input="Capital of France?", stream=True)),
    "parsed response": lambda client: client.responses.parse(model="m", input="Capital?", text_format=City),
    "embeddings": lambda client: client.embeddings.create(model="e", input=["one", "two"]),
    "legacy": lambda client: client.completions.create(model="m", prompt="Capital of France?"),
    "legacy stream": lambda client: list(client.completions.create(model="m", prompt="Capital?", stream=True)),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_request_of_any_protocol_is_bought_once_and_its_answer_is_the_same_again(
    server: FakeOpenAI, client: openai.OpenAI, tmp_path: Path, way: str
) -> None:
    server.reply = lambda request: '{"name": "Paris"}' if "text" in request else _said(request)
    cache = ResponseCache(tmp_path / "answers")
    calls, results = [], []
    try:
        for _ in range(2):
            recorder = Recorder()
            capture.install(Target(recorder, cache, "search/1"))
            recorder.begin("case")
            results.append(WAYS[way](client))
            calls.append(only(recorder))
            assert recorder.problems == ()
    finally:
        capture.uninstall()
        cache.close()
    assert len(server.requests) == 1
    assert [call.cached for call in calls] == [False, True]
    assert replace(calls[1], cached=False, seconds=calls[0].seconds) == calls[0]
    assert results[1] == results[0]


def _said(request: dict[str, Any]) -> Any:
    return [[0.5, 0.25], [1.0, 0.0]] if request["model"] == "e" else "It is Paris."
