from __future__ import annotations

import json
from typing import Any

from pytest_gepa.trace.protocols import FALLBACK, LONGEST_TEXT, PROTOCOLS, recognise
from pytest_gepa.trace.trajectory import Message
from tests.trace.conftest import ask


def encode(data: Any) -> bytes:
    return json.dumps(data).encode()


def test_chat_completions_are_recognised_without_a_content_type() -> None:
    recognised = recognise("POST", "/v1/chat/completions", "", encode(ask("hi")))
    assert recognised is not None
    protocol, request = recognised
    assert protocol is PROTOCOLS[0]
    assert request.messages == (Message("user", "hi"),)


def test_other_json_is_read_as_one_user_message_of_its_strings() -> None:
    body = {"model": "gpt", "instructions": "Be brief.", "input": [{"role": "user", "content": "hi"}], "n": 1}
    recognised = recognise("POST", "/v1/responses", "application/json; charset=utf-8", encode(body))
    assert recognised is not None
    protocol, request = recognised
    assert protocol is FALLBACK
    assert not protocol.cacheable
    assert (request.model, request.messages) == ("gpt", (Message("user", "Be brief.\nuser\nhi"),))


def test_what_is_named_like_a_secret_and_what_is_data_is_left_out() -> None:
    body = {
        "client_secret": "x",
        "auth": {"token": "y"},
        "max_tokens": "5",
        "image": "A" * 2000,
        "url": "data:a",
    }
    recognised = recognise("POST", "/x", "application/json", encode(body))
    assert recognised is not None
    assert recognised[1].messages[0].content == "5\n[2000 characters of data]\n[6 characters of data]"


def test_other_requests_are_no_calls() -> None:
    assert recognise("GET", "/v1/chat/completions", "application/json", b"") is None
    assert recognise("POST", "/upload", "multipart/form-data", b"{}") is None
    assert recognise("POST", "/x", "application/json", b"[1]") is None
    assert recognise("POST", "/v1/chat/completions", "", b"nonsense") is None


def test_the_answer_of_an_unknown_protocol_is_its_text_cut() -> None:
    body = encode({"output": "é" * LONGEST_TEXT, "usage": {"input_tokens": 3, "output_tokens": 4}})
    answer = FALLBACK.read_answer(body, "application/json")
    assert answer is not None
    assert answer.message is not None
    assert answer.message.content == body.decode()[:LONGEST_TEXT]
    assert (answer.input_tokens, answer.output_tokens) == (3, 4)


def test_the_answer_that_is_no_text_is_named_by_its_size() -> None:
    answer = FALLBACK.read_answer(b"\x00" * 10, "audio/mpeg")
    assert answer is not None
    assert answer.message == Message("assistant", "[audio/mpeg, 10 bytes]")


def test_an_event_stream_that_nobody_announced_is_read() -> None:
    body = b'data: {"choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    answer = PROTOCOLS[0].read_answer(body, "text/plain")
    assert answer is not None
    assert answer.message == Message("assistant", "hi")
