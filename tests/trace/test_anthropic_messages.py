from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_gepa.trace.anthropic_messages import (
    NO_RESULT,
    NOTHING,
    REDACTED_THINKING,
    MessagesStream,
    is_complete,
    read_answer,
    read_request,
)
from pytest_gepa.trace.chat import Answer, ChatRequest
from pytest_gepa.trace.fields import Usage
from pytest_gepa.trace.trajectory import Message, ToolCall
from tests.trace.bodies import encode
from tests.wire import anthropic_events, anthropic_message, named_events, tool_call

ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "Capital of France?"}]}
TEXT = {"type": "text", "text": "It is Paris."}


def messages(*given: Any, **fields: Any) -> tuple[Message, ...]:
    request = read_request(encode({"model": "m", "messages": given, **fields}))
    assert request is not None
    return request.messages


def answered(*blocks: Any, **fields: Any) -> Answer:
    body = {**anthropic_message(ASKED, {"blocks": blocks}), "usage": None, **fields}
    answer = read_answer(encode(body))
    assert answer is not None
    return answer


# Requests


def test_a_request_is_read_with_its_system_prompt_tools_and_schema() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string", "description": "The capital."}}}
    properties = {"where": {"type": "string", "description": "The place."}}
    body = {
        "model": "claude",
        "max_tokens": 10,
        "stream": True,
        "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}],
        **ASKED,
        "tools": [
            {"name": "look", "description": "Looks it up.", "input_schema": {"properties": properties}},
            {"type": "web_search_20250305", "name": "web_search"},
        ],
        "output_config": {"format": {"type": "json_schema", "schema": schema}},
    }
    assert read_request(encode(body)) == ChatRequest(
        model="claude",
        messages=(Message("system", "Be brief.\nBe kind."), Message("user", "Capital of France?")),
        tools=("look", "web_search"),
        stream=True,
        other_texts=("Looks it up.", "The place.", "web_search_20250305", "The capital."),
        answer_format=json.dumps(schema),
    )


def test_a_system_prompt_may_be_a_string_or_missing() -> None:
    assert messages(*ASKED["messages"], system="Be brief.")[0] == Message("system", "Be brief.")
    assert messages(*ASKED["messages"])[0] == Message("user", "Capital of France?")


def test_the_results_of_tools_are_messages_of_their_own() -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}}
    blocks = [
        {"type": "tool_result", "tool_use_id": "t1", "content": "Paris"},
        {"type": "tool_result", "tool_use_id": "t2", "content": [TEXT, picture], "is_error": True},
        {"type": "tool_result", "tool_use_id": "t3"},
        {"type": "text", "text": "Go on."},
        picture,
    ]
    assert messages({"role": "user", "content": blocks}) == (
        Message("tool", "Paris", tool_call_id="t1"),
        Message("tool", "[error] It is Paris.\n[image, 3 bytes]", tool_call_id="t2"),
        Message("tool", "", tool_call_id="t3"),
        Message("user", "Go on.\n[image, 3 bytes]"),
    )


def test_text_before_a_result_stays_before_it() -> None:
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "Paris"}
    assert messages({"role": "user", "content": [TEXT, result]}) == (
        Message("user", "It is Paris."),
        Message("tool", "Paris", tool_call_id="t1"),
    )


def test_what_is_sent_back_reads_as_the_answer_that_it_was() -> None:
    said = {
        "content": "One moment.",
        "reasoning_content": "hm",
        "tool_calls": [tool_call("f", {"a": "Köln"})],
    }
    whole = anthropic_message(ASKED, said)
    answer = read_answer(encode(whole))
    assert answer is not None
    assert answer.message is not None
    assert answer.message.tool_calls == (ToolCall("call_1", "f", '{"a": "Köln"}'),)
    assert messages({"role": "assistant", "content": whole["content"]}) == (answer.message,)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"messages": "hi"}', b'{"prompt": "x"}'])
def test_what_has_no_messages_is_no_request(body: bytes) -> None:
    assert read_request(body) is None


# Answers


def test_an_answer_is_read_with_its_reasoning_and_calls() -> None:
    said = {"content": "It is Paris.", "reasoning_content": "hm", "tool_calls": [tool_call("f", {"a": 1})]}
    body = encode(anthropic_message(ASKED, said))
    call = ToolCall("call_1", "f", '{"a": 1}')
    assert read_answer(body) == Answer(
        Message("assistant", "It is Paris.", "hm", (call,)), "tool_use", usage=Usage(3, 3)
    )
    assert is_complete(body)


def test_tokens_of_the_servers_cache_are_among_the_input() -> None:
    usage = {
        "input_tokens": 5,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 20,
        "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 4},
    }
    answer = answered(TEXT, usage=usage)
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (125, 7)
    assert (answer.usage.cache_read_tokens, answer.usage.reasoning_tokens) == (100, 4)


def test_redacted_reasoning_is_noted() -> None:
    answer = answered({"type": "redacted_thinking", "data": "zzz"}, TEXT)
    assert answer.message == Message("assistant", "It is Paris.", REDACTED_THINKING)


def test_text_that_citations_have_split_is_one_text() -> None:
    cited = {"type": "text", "text": "Paris", "citations": [{"type": "char_location"}]}
    answer = answered({"type": "text", "text": "It is "}, cited, {"type": "text", "text": "."})
    assert answer.message == Message("assistant", "It is Paris.")


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (
            {
                "type": "web_search_tool_result",
                "content": [{"title": "France", "url": "https://w/f"}, {"url": "u"}],
            },
            "France https://w/f\nu",
        ),
        (
            {"type": "web_search_tool_result", "content": {"type": "x", "error_code": "unavailable"}},
            "[error] unavailable",
        ),
        (
            {
                "type": "web_fetch_tool_result",
                "content": {
                    "type": "web_fetch_result",
                    "url": "https://w/f",
                    "content": {
                        "type": "document",
                        "source": {"type": "text", "data": "Paris is the capital."},
                    },
                },
            },
            "https://w/f\nParis is the capital.",
        ),
        (
            {
                "type": "code_execution_tool_result",
                "content": {"stdout": "1\n", "stderr": "warned", "return_code": 0, "content": []},
            },
            "1\n\nwarned",
        ),
        ({"type": "mcp_tool_result", "content": [TEXT], "is_error": False}, "It is Paris."),
        ({"type": "web_search_tool_result", "content": []}, NOTHING),
    ],
)
def test_a_tool_that_the_server_runs_has_its_result_with_its_call(result: Any, expected: str) -> None:
    call = {"type": "server_tool_use", "id": "s1", "name": "tool", "input": {"query": "q"}}
    answer = answered(call, {**result, "tool_use_id": "s1"}, TEXT)
    assert answer.message == Message(
        "assistant", "It is Paris.", "", (ToolCall("s1", "tool", '{"query": "q"}', expected),)
    )


def test_a_tool_of_an_mcp_server_is_named_with_it() -> None:
    call = {"type": "mcp_tool_use", "id": "s1", "name": "get", "server_name": "wiki", "input": {}}
    answer = answered(call)
    assert answer.message is not None
    assert answer.message.tool_calls == (ToolCall("s1", "wiki.get", "{}", NO_RESULT),)


def test_a_refusal_is_told_as_one() -> None:
    details = {"type": "refusal", "category": "bio", "explanation": "It may do harm."}
    answer = answered(stop_reason="refusal", stop_details=details)
    assert answer.message == Message("assistant", "[refusal] It may do harm.")
    begun = answered(TEXT, stop_reason="refusal")
    assert begun.message is not None
    assert begun.message.content == "It is Paris.\n[refusal] stopped by the content filter of the server"


def test_an_error_is_read() -> None:
    body = encode({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    assert read_answer(body) == Answer(None, error="Overloaded")
    assert not is_complete(body)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"content": []}', b'{"content": "x", "stop_reason": "y"}'])
def test_what_is_not_finished_is_not_complete(body: bytes) -> None:
    assert not is_complete(body)


# Streams


def read(*events: Any) -> tuple[Answer | None, MessagesStream]:
    stream = MessagesStream()
    for piece in named_events(list(events)):
        stream.feed(piece)
    return stream.answer(), stream


WHOLE = anthropic_message(
    ASKED,
    {
        "content": "It is Paris.",
        "reasoning_content": "hm hm",
        "tool_calls": [tool_call("f", {"a": ["Köln", 1]})],
    },
)
EVENTS = list(anthropic_events(WHOLE))


def test_a_stream_amounts_to_the_whole() -> None:
    answer, stream = read(*EVENTS)
    assert answer == read_answer(encode(WHOLE))
    assert stream.done
    assert stream.complete


def test_usage_of_the_beginning_and_of_the_end_is_put_together() -> None:
    start = {
        **EVENTS[0]["message"],
        "usage": {"input_tokens": 5, "cache_read_input_tokens": 9, "output_tokens": 1},
    }
    late = {"input_tokens": None, "output_tokens": 30}
    changed = [
        {**event, "message": start}
        if event["type"] == "message_start"
        else {**event, "usage": late}
        if event["type"] == "message_delta"
        else event
        for event in EVENTS
    ]
    answer, _ = read(*changed)
    assert answer is not None
    told = answer.usage
    assert (told.input_tokens, told.output_tokens, told.cache_read_tokens) == (14, 30, 9)


def test_citations_in_a_stream_are_seen() -> None:
    blocks = [("It is ", None), ("Paris", {"type": "char_location"}), (".", None)]
    events: list[Any] = [EVENTS[0]]
    for index, (text, citation) in enumerate(blocks):
        start = {"type": "text", "text": "", "citations": None}
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        deltas = [{"type": "text_delta", "text": text}]
        deltas += [{"type": "citations_delta", "citation": citation}] if citation else []
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
    answer, _ = read(*events, *EVENTS[-2:])
    assert answer is not None
    assert answer.message == Message("assistant", "It is Paris.")


def test_arguments_that_break_off_are_kept_as_they_came() -> None:
    pieces = [index for index, event in enumerate(EVENTS) if event.get("delta", {}).get("type") == "input_json_delta"]
    answer, stream = read(*EVENTS[: pieces[-1]])
    assert answer is not None
    assert answer.message is not None
    assert answer.message.tool_calls[0].arguments.startswith('{"a": [')
    assert not stream.complete


def test_an_error_in_a_stream_is_read_and_what_came_before_it() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    text = next(index for index, event in enumerate(EVENTS) if event.get("delta", {}).get("text") == "Paris.")
    answer, stream = read(*EVENTS[: text + 1], error)
    assert answer is not None
    assert (answer.message, answer.error) == (None, "Overloaded; so far: It is Paris.")
    assert stream.done
    assert not stream.complete


BODY = b"".join(named_events(EVENTS))
LAST = len(b"".join(named_events(EVENTS[-1:])))


def read_bytes(body: bytes) -> tuple[Answer | None, MessagesStream]:
    stream = MessagesStream()
    stream.feed(body)
    return stream.answer(), stream


@pytest.mark.parametrize("left", [1, 2, 3, LAST - 40, LAST - 10, LAST])
def test_the_end_that_nobody_read_is_put_back(left: int) -> None:
    answer, stream = read_bytes(BODY[:-left])
    ended, whole = read_bytes(stream.ended(BODY[:-left]))
    assert answer == ended == read_bytes(BODY)[0]
    assert whole.done


@pytest.mark.parametrize("left", [LAST + 1, LAST + 2, LAST + 30, len(BODY) - 400, len(BODY) - 5])
def test_what_may_lack_more_than_the_end_stays_without(left: int) -> None:
    _, stream = read_bytes(BODY[:-left])
    assert stream.ended(BODY[:-left]) == BODY[:-left]


def test_nothing_but_pings_is_no_answer() -> None:
    assert read({"type": "ping"})[0] is None
