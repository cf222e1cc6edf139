from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.trace.chat import Answer, ChatRequest
from pytest_gepa.trace.fields import Usage
from pytest_gepa.trace.ollama import OllamaStream, is_complete, read_answer, read_request
from pytest_gepa.trace.trajectory import Message, ToolCall

CALL = {"function": {"name": "look", "arguments": {"city": "Köln"}}}
LAST = {"model": "m", "done": True, "done_reason": "stop", "prompt_eval_count": 9, "eval_count": 4}
LINES = [
    {"model": "m", "message": {"role": "assistant", "content": "", "thinking": "hm "}, "done": False},
    {"model": "m", "message": {"role": "assistant", "content": "", "thinking": "hm"}, "done": False},
    {"model": "m", "message": {"role": "assistant", "content": "It is "}, "done": False},
    {"model": "m", "message": {"role": "assistant", "content": "Köln.", "tool_calls": [CALL]}, "done": False},
    {**LAST, "message": {"role": "assistant", "content": ""}},
]
ANSWER = Answer(
    Message("assistant", "It is Köln.", "hm hm", (ToolCall("", "look", '{"city": "Köln"}'),)),
    "stop",
    usage=Usage(9, 4),
)


def encode(*lines: Any) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def test_a_chat_is_read_with_its_images_tools_and_format() -> None:
    schema = {"type": "object", "properties": {"city": {"description": "The capital."}}}
    body = {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is it?", "images": ["QUJD"]},
            {"role": "assistant", "content": "", "tool_calls": [CALL]},
        ],
        "tools": [{"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {}}}],
        "format": schema,
    }
    assert read_request(encode(body)) == ChatRequest(
        model="m",
        messages=(
            Message("system", "Be brief."),
            Message("user", "What is it?\n[image, 3 bytes]"),
            Message("assistant", "", "", (ToolCall("", "look", '{"city": "Köln"}'),)),
        ),
        tools=("look",),
        stream=True,
        other_texts=("Looks.", "The capital."),
        answer_format=json.dumps(schema),
    )


def test_a_prompt_to_generate_from_is_read_with_its_system_text() -> None:
    body = {"model": "m", "prompt": "Why?", "system": "Be brief.", "stream": False}
    assert read_request(encode(body)) == ChatRequest("m", (Message("system", "Be brief."), Message("user", "Why?")))


@pytest.mark.parametrize("body", [b"", b"[]", b'{"model": "m"}'])
def test_what_asks_nothing_is_no_request(body: bytes) -> None:
    assert read_request(body) is None


def test_an_answer_in_one_object_is_read() -> None:
    whole = {
        **LAST,
        "message": {"role": "assistant", "content": "It is Köln.", "thinking": "hm hm", "tool_calls": [CALL]},
    }
    assert read_answer(encode(whole)) == ANSWER
    assert is_complete(encode(whole))
    generated = {**LAST, "response": "It is Köln.", "thinking": "hm hm"}
    assert read_answer(encode(generated)) == Answer(
        Message("assistant", "It is Köln.", "hm hm"), "stop", usage=Usage(9, 4)
    )


@given(st.lists(st.integers(0, 600)))
def test_an_answer_in_many_lines_is_the_same_whatever_it_is_cut_into(cuts: list[int]) -> None:
    data = encode(*LINES)
    stream = OllamaStream()
    start = 0
    for stop in [*sorted(min(cut, len(data)) for cut in cuts), len(data)]:
        stream.feed(data[start:stop])
        start = stop
    assert stream.answer() == ANSWER == read_answer(data)
    assert stream.complete
    assert is_complete(data)


def test_an_answer_that_breaks_off_is_not_complete() -> None:
    answer = read_answer(encode(*LINES[:3]))
    assert answer == Answer(Message("assistant", "It is ", "hm hm"))
    assert not is_complete(encode(*LINES[:3]))


def test_an_error_is_read() -> None:
    assert read_answer(encode({"error": "no such model"})) == Answer(None, error="no such model")
    assert not is_complete(encode(*LINES, {"error": "out of memory"}))
