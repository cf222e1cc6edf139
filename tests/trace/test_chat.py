from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.trace.chat import Answer, ChatRequest, is_chat, is_complete, read_answer, read_request
from pytest_gepa.trace.trajectory import Message, ToolCall

NAMES = [
    *("choices", "message", "delta", "index", "finish_reason", "content", "role", "tool_calls", "function"),
    *("name", "arguments", "id", "type", "text", "usage", "error", "messages", "tools"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def encode(data: Any) -> bytes:
    return json.dumps(data).encode()


def answer(message: Any, finish: str | None = "stop", **fields: Any) -> bytes:
    return encode({"choices": [{"index": 0, "message": message, "finish_reason": finish}], **fields})


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/v1/chat/completions", True),
        ("post", "/openai/deployments/gpt/chat/completions/", True),
        ("GET", "/v1/chat/completions", False),
        ("POST", "/v1/completions", False),
        ("POST", "/v1/responses", False),
    ],
)
def test_chat_completions_are_known_by_method_and_path(method: str, path: str, expected: bool) -> None:
    assert is_chat(method, path) is expected


def test_a_request_is_read_with_its_messages_and_tools() -> None:
    body = {
        "model": "gpt",
        "stream": True,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "data:..."}},
                    {"type": "input_audio", "input_audio": {}},
                    {"type": "file", "file": {}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "Let me look.",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
        ],
        "tools": [
            {"type": "function", "function": {"name": "look", "description": "Look.", "parameters": {}}},
            {"type": "web_search"},
        ],
        "functions": [{"name": "old"}],
    }
    assert read_request(encode(body)) == ChatRequest(
        model="gpt",
        messages=(
            Message("system", "Be brief."),
            Message("user", "What is this?\n[image]\n[audio]\n[file]"),
            Message("assistant", "", "Let me look.", (ToolCall("c1", "look", '{"a": 1}'),)),
            Message("tool", "a cat", tool_call_id="c1"),
        ),
        tools=("look", "web_search", "old"),
        stream=True,
    )


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b"{}", b'{"messages": "hello"}', b"\xff\xfe"])
def test_what_has_no_messages_is_no_request(body: bytes) -> None:
    assert read_request(body) is None


def test_an_answer_is_read_with_its_usage() -> None:
    body = answer(
        {"role": "assistant", "content": "Paris"}, usage={"prompt_tokens": 7, "completion_tokens": 2}
    )
    assert read_answer(body) == Answer(Message("assistant", "Paris"), "stop", 7, 2)
    assert is_complete(body)


def test_the_first_of_several_choices_is_taken() -> None:
    choices = [{"message": {"content": text}, "finish_reason": "stop"} for text in ("one", "two")]
    read = read_answer(encode({"choices": choices}))
    assert read is not None
    assert read.message == Message("assistant", "one")


def test_tool_calls_of_old_and_odd_servers_are_read() -> None:
    message = {
        "content": "",
        "tool_calls": [
            {"function": {"name": "f", "arguments": {"x": 1}}},
            {"id": "c", "custom": {"name": "g", "input": "i"}},
        ],
        "function_call": {"name": "h", "arguments": "{}"},
    }
    read = read_answer(answer(message, "tool_calls"))
    assert read is not None
    assert read.message is not None
    assert read.message.tool_calls == (
        ToolCall("", "f", '{"x": 1}'),
        ToolCall("c", "g", "i"),
        ToolCall("", "h", "{}"),
    )


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"content": None, "refusal": "I cannot."}, Message("assistant", "[refusal] I cannot.")),
        ({"content": "x", "reasoning": "because"}, Message("assistant", "x", "because")),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                    {"type": "text", "text": "x"},
                ]
            },
            Message("assistant", "x", "hm"),
        ),
    ],
)
def test_refusals_and_reasoning_are_kept(message: Any, expected: Message) -> None:
    read = read_answer(answer(message))
    assert read is not None
    assert read.message == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>busy</html>",
        encode({"error": {"message": "overloaded"}}),
        encode({"choices": []}),
        encode({"choices": [{"finish_reason": "stop"}]}),
        answer({"content": "half"}, finish=None),
        encode(
            {
                "choices": [
                    {"message": {"content": "a"}, "finish_reason": "stop"},
                    {"message": {"content": "b"}},
                ]
            }
        ),
    ],
)
def test_what_is_not_finished_is_not_complete(body: bytes) -> None:
    assert not is_complete(body)


def test_an_error_in_a_body_of_status_200_is_read() -> None:
    assert read_answer(encode({"error": {"message": "overloaded", "code": 1}})) == Answer(
        None, error="overloaded"
    )
    assert read_answer(encode({"error": "overloaded"})) == Answer(None, error="overloaded")


@given(JSON)
def test_no_json_whatever_makes_reading_raise(data: Any) -> None:
    body = encode(data)
    is_complete(body)
    assert isinstance(read_answer(body), Answer) == isinstance(data, dict)
    assert read_request(body) is None or isinstance(data, dict)
    wrapped = encode({"messages": [data, {"content": data, "tool_calls": data}], "tools": [data]})
    assert isinstance(read_request(wrapped), ChatRequest)
