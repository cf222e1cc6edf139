from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_gepa.trace.chat import Answer, read_answer
from pytest_gepa.trace.chat_stream import ChatStream
from pytest_gepa.trace.fields import Usage
from pytest_gepa.trace.trajectory import Message, ToolCall
from tests.trace.conftest import ask
from tests.wire import chunks, completion, text_chunks, text_completion, tool_call


def delta(delta: dict[str, Any], finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish, **fields}]}


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
    usage=Usage(3, 6),
)
EVENTS = list(chunks(REQUEST, WHOLE))


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_stream_amounts_to_the_whole_answer(end: bytes) -> None:
    answer, stream = read(encode(EVENTS, end))
    assert answer == ANSWER
    assert stream.complete
    assert stream.done


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


def test_comments_other_fields_and_broken_events_are_skipped() -> None:
    noise = b": ping\n\nevent: x\nid: 1\nretry: 5\n\ndata: {broken\n\ndata: [1]\n\ndata:\n\n"
    assert read(noise + encode([delta({"content": "a"})]) + noise)[0] == Answer(Message("assistant", "a"))


def test_every_choice_is_followed_whatever_the_order_of_their_pieces() -> None:
    request = ask(n=3, stream_options={"include_usage": True})
    messages = [
        {"content": "one and two"},
        {"content": "B", "reasoning_content": "hm"},
        {"refusal": "I cannot."},
    ]
    answer, stream = read(encode(list(chunks(request, completion(request, *messages)))))
    assert answer is not None
    assert answer.message == Message("assistant", "one and two")
    assert answer.alternatives == (
        Message("assistant", "B", "hm"),
        Message("assistant", "[refusal] I cannot."),
    )
    assert stream.complete


def test_an_answer_is_complete_when_every_choice_that_has_begun_is() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "B"}, "finish_reason": "stop"}]}
    answer, stream = read(encode([delta({"content": "a"}), other], done=False))
    assert answer == Answer(Message("assistant", "a"), alternatives=(Message("assistant", "B"),))
    assert not stream.complete
    stream.feed(encode([delta({}, "stop")], done=False))
    assert stream.complete


def test_the_mean_log_probability_is_that_of_the_whole_answer() -> None:
    request = ask(logprobs=True)
    whole = completion(request, {"content": "It is Paris."})
    for number, entry in enumerate(whole["choices"][0]["logprobs"]["content"]):
        entry["logprob"] = -float(number)
    pieces = [
        delta({"content": entry["token"]}, logprobs={"content": [entry]})
        for entry in whole["choices"][0]["logprobs"]["content"]
    ]
    answer, _ = read(encode([*pieces, delta({}, "stop")]))
    assert answer is not None
    assert answer == read_answer(json.dumps({**whole, "usage": None}).encode())
    assert answer.logprob == -1.0


def test_a_legacy_completion_is_read_from_its_texts() -> None:
    request = {"prompt": "Say it.", "stream": True}
    whole = text_completion(request, {"content": "It is Paris."})
    answer, stream = read(encode(list(text_chunks(request, whole))))
    assert answer == Answer(Message("assistant", "It is Paris."), "stop")
    assert stream.complete


def test_a_sound_is_what_was_said_in_it_and_its_size() -> None:
    events = [
        delta({"audio": {"id": "audio_1", "transcript": "Hel"}}),
        delta({"audio": {"transcript": "lo.", "data": "QUJD"}}),
        delta({"audio": {"data": "REVG", "expires_at": 1}}, "stop"),
    ]
    assert read(encode(events))[0] == Answer(Message("assistant", "Hello.\n[audio, 6 bytes]"), "stop")


def test_images_beside_the_text_are_noted() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
    answer, _ = read(encode([delta({"content": "Here."}), delta({"images": [image]}, "stop")]))
    assert answer == Answer(Message("assistant", "Here.\n[image, 3 bytes]"), "stop")


def test_a_filter_that_stops_an_answer_is_a_refusal() -> None:
    answer, _ = read(encode([delta({"role": "assistant", "content": ""}), delta({}, "content_filter")]))
    assert answer == Answer(
        Message("assistant", "[refusal] stopped by the content filter of the server"), "content_filter"
    )


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
    event = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "all"}, "finish_reason": "stop"}]}
    assert read(encode([event]))[0] == Answer(Message("assistant", "all"), "stop")


def test_an_error_within_the_stream_is_read() -> None:
    answer, stream = read(encode([delta({"content": "Pa"}), {"error": {"message": "overloaded"}}], done=False))
    assert answer == Answer(Message("assistant", "Pa"), error="overloaded")
    assert not stream.complete


def test_an_empty_stream_has_no_answer() -> None:
    assert read()[0] is None
    assert read(b": ping\n\n")[0] is None
    assert read(b"data: [DONE]\n\n")[0] is None
