from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_gepa.trace.chat import Answer, ChatRequest, is_complete, read_answer, read_prompt, read_request
from pytest_gepa.trace.fields import Usage
from pytest_gepa.trace.trajectory import Message, ToolCall
from tests.trace.bodies import encode
from tests.wire import completion, text_completion


def answer(message: Any, finish: str | None = "stop", **fields: Any) -> bytes:
    return encode({"choices": [{"index": 0, "message": message, "finish_reason": finish}], **fields})


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
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
                    {"type": "input_audio", "input_audio": {}},
                    {"type": "file", "file": {}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "Let me look.",
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}],
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
            Message("user", "What is this?\n[image, 3 bytes]\n[audio]\n[file]"),
            Message("assistant", "", "Let me look.", (ToolCall("c1", "look", '{"a": 1}'),)),
            Message("tool", "a cat", tool_call_id="c1"),
        ),
        tools=("look", "web_search", "old"),
        stream=True,
        other_texts=("Look.",),
    )


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b"{}", b'{"messages": "hello"}', b"\xff\xfe"])
def test_what_has_no_messages_is_no_request(body: bytes) -> None:
    assert read_request(body) is None


def test_an_answer_is_read_with_its_usage() -> None:
    body = answer({"role": "assistant", "content": "Paris"}, usage={"prompt_tokens": 7, "completion_tokens": 2})
    assert read_answer(body) == Answer(Message("assistant", "Paris"), "stop", usage=Usage(7, 2))
    assert is_complete(body)


def test_the_first_of_several_choices_is_the_answer_and_the_others_are_alternatives() -> None:
    body = encode(completion({"n": 3}, {"content": "one"}, {"content": "two"}, {"refusal": "No."}))
    read = read_answer(body)
    assert read is not None
    assert read.message == Message("assistant", "one")
    assert read.alternatives == (Message("assistant", "two"), Message("assistant", "[refusal] No."))
    assert is_complete(body)


def test_the_mean_log_probability_of_the_answers_tokens_is_kept() -> None:
    entries = [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1.5}, {"token": "c"}]
    chat = {"choices": [{"message": {"content": "abc"}, "logprobs": {"content": entries}}]}
    legacy = {"choices": [{"text": "abc", "logprobs": {"token_logprobs": [None, -0.5, -1.5]}}]}
    for body in (chat, legacy):
        read = read_answer(encode(body))
        assert read is not None
        assert read.logprob == -1.0
    without = read_answer(answer({"content": "a"}))
    assert without is not None
    assert without.logprob is None


def test_details_of_the_usage_are_kept() -> None:
    usage = {
        "prompt_tokens": 90,
        "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 64},
        "completion_tokens_details": {"reasoning_tokens": 12},
    }
    read = read_answer(answer({"content": "a"}, usage=usage))
    assert read is not None
    assert (read.usage.input_tokens, read.usage.output_tokens) == (90, 20)
    assert (read.usage.cache_read_tokens, read.usage.reasoning_tokens) == (64, 12)


def test_the_schema_that_an_answer_must_follow_is_kept_and_its_descriptions() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string", "description": "Its capital."}}}
    form = {"type": "json_schema", "json_schema": {"name": "City", "schema": schema, "strict": True}}
    read = read_request(encode({"messages": [], "response_format": form}))
    assert read is not None
    assert read.answer_format == json.dumps(schema)
    assert read.other_texts == ("Its capital.",)


@pytest.mark.parametrize(("kind", "expected"), [("json_object", "json_object"), ("text", "")])
def test_a_format_without_a_schema_is_named_unless_it_is_plain_text(kind: str, expected: str) -> None:
    read = read_request(encode({"messages": [], "response_format": {"type": kind}}))
    assert read is not None
    assert read.answer_format == expected


@pytest.mark.parametrize(
    ("prompt", "messages"),
    [
        ("Say it.", (Message("user", "Say it."),)),
        (["Say it.", "Say more."], (Message("user", "Say it."), Message("user", "Say more."))),
        ([1, 2, 3], (Message("user", "[tokens]"),)),
    ],
)
def test_the_prompts_of_a_legacy_completion_are_messages(prompt: Any, messages: Any) -> None:
    body = encode({"model": "m", "prompt": prompt, "stream": True})
    assert read_prompt(body) == ChatRequest("m", messages, stream=True)


def test_a_legacy_completion_is_read() -> None:
    body = encode(text_completion({"prompt": "Capital of France?"}, {"content": "It is Paris."}))
    assert read_answer(body) == Answer(Message("assistant", "It is Paris."), "stop", usage=Usage(3, 3))
    assert is_complete(body)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"messages": []}', b'{"prompt": {"id": "p"}}'])
def test_what_has_no_prompt_is_no_legacy_completion(body: bytes) -> None:
    assert read_prompt(body) is None


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
        ({"content": "Half", "refusal": "No."}, Message("assistant", "Half\n[refusal] No.")),
        ({"content": "x", "reasoning": "because"}, Message("assistant", "x", "because")),
        ({"content": "x", "reasoning_content": "because"}, Message("assistant", "x", "because")),
        ({"content": "x", "reasoning": {"effort": "high"}}, Message("assistant", "x")),
        (
            {
                "content": "x",
                "reasoning_details": [
                    {"type": "reasoning.summary", "summary": "first"},
                    {"type": "reasoning.encrypted", "data": "zzz"},
                    {"type": "reasoning.text", "text": "then"},
                ],
            },
            Message("assistant", "x", "first\nthen"),
        ),
        (
            {"content": None, "audio": {"id": "a", "data": "QUJD", "transcript": "Hello."}},
            Message("assistant", "Hello.\n[audio, 3 bytes]"),
        ),
        ({"content": None, "audio": {"id": "a"}}, Message("assistant", "[audio]")),
        (
            {
                "content": "",
                "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}],
            },
            Message("assistant", "[image, 3 bytes]"),
        ),
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
def test_refusals_reasoning_sounds_and_images_are_kept(message: Any, expected: Message) -> None:
    read = read_answer(answer(message))
    assert read is not None
    assert read.message == expected


def test_a_filter_that_stopped_an_answer_before_its_first_word_is_a_refusal() -> None:
    silent = read_answer(answer({"content": None}, "content_filter"))
    assert silent is not None
    assert silent.message == Message("assistant", "[refusal] stopped by the content filter of the server")
    begun = read_answer(answer({"content": "The first step"}, "content_filter"))
    assert begun is not None
    assert (begun.message, begun.finish_reason) == (Message("assistant", "The first step"), "content_filter")


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
                    {
                        "message": {"content": "half"},
                        "finish_reason": "error",
                        "error": {"code": 502, "message": "down"},
                    }
                ]
            }
        ),
        encode(
            {
                "error": {"message": "down"},
                "choices": [{"message": {"content": "half"}, "finish_reason": "stop"}],
            }
        ),
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
        None, error="overloaded (code 1)"
    )
    assert read_answer(encode({"error": "overloaded"})) == Answer(None, error="overloaded")
    in_choice = {"choices": [{"message": {"content": ""}, "error": {"message": "provider is down"}}]}
    assert read_answer(encode(in_choice)) == Answer(Message("assistant", ""), error="provider is down")
