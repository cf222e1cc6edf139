from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.trace.chat import Answer
from pytest_gepa.trace.sse import ChatStream
from pytest_gepa.trace.trajectory import Message, ToolCall
from tests.fake_openai import chunks, completion, tool_call
from tests.trace.conftest import ask


def delta(delta: dict[str, Any], finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **fields}


def encode(events: list[Any], end: bytes = b"\n", done: bool = True) -> bytes:
    texts = [*(json.dumps(event, ensure_ascii=False) for event in events), *(["[DONE]"] if done else [])]
    return b"".join(b"data: " + text.encode() + end + end for text in texts)


def read(*pieces: bytes) -> tuple[Answer | None, ChatStream]:
    stream = ChatStream()
    for piece in pieces:
        stream.feed(piece)
    return stream.answer(), stream


REQUEST = ask(stream_options={"include_usage": True})
WHOLE = completion(
    REQUEST,
    {
        "content": "Das ist: Köln — 東京 🗼",
        "reasoning_content": "hm hm",
        "tool_calls": [tool_call("f", {"city": "Köln"}, "c1"), tool_call("g", [1, 2, 3], "c2")],
    },
)
ANSWER = Answer(
    Message(
        "assistant",
        "Das ist: Köln — 東京 🗼",
        "hm hm",
        (ToolCall("c1", "f", json.dumps({"city": "Köln"})), ToolCall("c2", "g", "[1, 2, 3]")),
    ),
    "tool_calls",
    3,
    6,
)
EVENTS = list(chunks(REQUEST, WHOLE))


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_stream_amounts_to_the_whole_answer(end: bytes) -> None:
    answer, stream = read(encode(EVENTS, end))
    assert answer == ANSWER
    assert stream.complete
    assert stream.done


@given(st.lists(st.integers(0, 5000)), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_pieces_of_any_size_give_the_same_answer(cuts: list[int], end: bytes) -> None:
    data = encode(EVENTS, end)
    bounds = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    answer, stream = read(*(data[start:stop] for start, stop in pairwise(bounds)))
    assert answer == ANSWER
    assert stream.complete


def test_single_bytes_give_the_same_answer() -> None:
    data = encode(EVENTS)
    assert read(*(data[index : index + 1] for index in range(len(data))))[0] == ANSWER


def test_a_stream_that_breaks_off_is_not_complete_and_keeps_what_came() -> None:
    answer, stream = read(encode([delta({"role": "assistant"}), delta({"content": "Pa"})], done=False))
    assert answer == Answer(Message("assistant", "Pa"))
    assert not stream.complete


def test_a_finish_reason_is_enough_where_a_server_sends_no_marker() -> None:
    answer, stream = read(encode([delta({"content": "Paris"}), delta({}, "stop")], done=False))
    assert answer == Answer(Message("assistant", "Paris"), "stop")
    assert stream.complete
    assert not stream.done


def test_the_marker_inside_a_text_is_not_the_end() -> None:
    answer, stream = read(encode([delta({"content": "data: [DONE]\n\ndata: [DONE]"})], done=False))
    assert answer == Answer(Message("assistant", "data: [DONE]\n\ndata: [DONE]"))
    assert not stream.complete


def test_the_end_of_the_stream_may_lack_its_blank_line() -> None:
    data = encode([delta({"content": "Paris"}, "stop")], done=False).rstrip()
    assert read(data)[0] == Answer(Message("assistant", "Paris"), "stop")
    assert read(data + b"\n\ndata: [DONE]")[1].complete


def test_comments_other_fields_and_broken_events_are_skipped() -> None:
    noise = b": ping\n\nevent: x\nid: 1\nretry: 5\n\ndata: {broken\n\ndata: [1]\n\ndata:\n\n"
    assert read(noise + encode([delta({"content": "a"})]) + noise)[0] == Answer(Message("assistant", "a"))


def test_an_event_over_several_data_lines_is_one() -> None:
    answer, _ = read(b'data: {"choices": [{"delta":\ndata: {"content": "a"}}]}\n\n')
    assert answer == Answer(Message("assistant", "a"))


def test_a_line_end_that_is_split_is_one_line_end() -> None:
    answer, _ = read(b'data: {"choices": [{"delta":\r', b'\ndata: {"content": "a"}}]}\r', b"\n\r\n")
    assert answer == Answer(Message("assistant", "a"))


def test_other_choices_are_left_alone() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "B"}, "finish_reason": "stop"}]}
    answer, stream = read(encode([delta({"content": "a"}), other], done=False))
    assert answer == Answer(Message("assistant", "a"))
    assert not stream.complete


def test_tool_calls_without_index_are_told_apart_by_id() -> None:
    events = [
        delta({"tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": "{"}}]}),
        delta({"tool_calls": [{"function": {"arguments": "}"}}]}),
        delta({"tool_calls": [{"id": "c2", "function": {"name": "g", "arguments": {"x": 1}}}]}),
        delta({"tool_calls": [{"id": "c1", "function": {"arguments": " "}}]}),
    ]
    answer, _ = read(encode(events))
    assert answer is not None
    assert answer.message is not None
    assert answer.message.tool_calls == (ToolCall("c1", "f", "{} "), ToolCall("c2", "g", '{"x": 1}'))


def test_old_function_calls_and_refusals_are_merged() -> None:
    events = [
        delta({"function_call": {"name": "f", "arguments": "{"}}),
        delta({"function_call": {"arguments": "}"}, "refusal": "I "}),
        delta({"refusal": "cannot."}),
    ]
    assert read(encode(events))[0] == Answer(
        Message("assistant", "[refusal] I cannot.", "", (ToolCall("", "f", "{}"),))
    )


def test_a_whole_message_in_place_of_a_delta_is_taken() -> None:
    event = {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "all"}, "finish_reason": "stop"}]
    }
    assert read(encode([event]))[0] == Answer(Message("assistant", "all"), "stop")


def test_an_error_within_the_stream_is_read() -> None:
    answer, stream = read(
        encode([delta({"content": "Pa"}), {"error": {"message": "overloaded"}}], done=False)
    )
    assert answer == Answer(Message("assistant", "Pa"), error="overloaded")
    assert not stream.complete


def test_an_empty_stream_has_no_answer() -> None:
    assert read()[0] is None
    assert read(b": ping\n\n")[0] is None
    assert read(b"data: [DONE]\n\n")[0] is None


@given(st.binary(max_size=200))
def test_no_bytes_whatever_make_it_raise(data: bytes) -> None:
    stream = ChatStream()
    stream.feed(b"data: " + data)
    stream.feed(data)
    stream.answer()
    assert stream.complete == stream.done
