from __future__ import annotations

from typing import Any

import pytest

from pytest_gepa.trace.chat import Answer, ChatRequest
from pytest_gepa.trace.embeddings import LONGEST_TEXT, MOST_TEXTS, is_complete, read_answer, read_request
from pytest_gepa.trace.trajectory import Message
from tests.trace.bodies import encode
from tests.wire import embeddings

TWO = [[0.5, 0.25, 1.0], [0.0, 1.0, 0.5]]


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        ({"input": "one"}, ["one"]),
        ({"input": ["one", "two"]}, ["one", "two"]),
        ({"input": [1, 2, 3]}, ["[tokens]"]),
        ({"texts": ["one"], "input_type": "search_query"}, ["one"]),
        ({"inputs": ["one"]}, ["one"]),
        ({"prompt": "one"}, ["one"]),
        ({"content": {"parts": [{"text": "one"}]}}, ["one"]),
        ({"requests": [{"content": {"parts": [{"text": text}]}} for text in ("one", "two")]}, ["one", "two"]),
    ],
)
def test_the_texts_are_read_whatever_the_server(body: Any, texts: list[str]) -> None:
    messages = tuple(Message("user", text) for text in texts)
    assert read_request(encode({"model": "e", **body})) == ChatRequest("e", messages, kind="embedding")


def test_long_texts_and_many_are_cut_and_it_is_said() -> None:
    request = read_request(encode({"input": ["x" * (LONGEST_TEXT + 5), *["y"] * (MOST_TEXTS + 1)]}))
    assert request is not None
    assert len(request.messages) == MOST_TEXTS + 1
    assert request.messages[0].content == "x" * LONGEST_TEXT + "[... 5 characters cut ...]"
    assert request.messages[-1].content == "[... 2 more texts ...]"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"input": []}'])
def test_what_has_no_input_is_no_request(body: bytes) -> None:
    assert read_request(body) is None


@pytest.mark.parametrize(
    "body",
    [
        {**embeddings({"input": ["a", "b"]}, TWO), "usage": None},
        {**embeddings({"input": ["a", "b"], "encoding_format": "base64"}, TWO), "usage": None},
        {"embeddings": TWO},
        {"embeddings": {"float": TWO}},
        {"embeddings": [{"values": vector} for vector in TWO]},
        TWO,
    ],
)
def test_vectors_are_told_by_number_and_size_whatever_the_server(body: Any) -> None:
    assert read_answer(encode(body)) == Answer(Message("assistant", "[2 vectors of 3 dimensions]"))
    assert is_complete(encode(body))


def test_tokens_are_counted() -> None:
    answer = read_answer(encode(embeddings({"input": "one two"})))
    assert answer is not None
    assert answer.message == Message("assistant", "[1 vector of 3 dimensions]")
    assert answer.usage.input_tokens == 2
    ollama = read_answer(encode({"embeddings": TWO, "prompt_eval_count": 7}))
    assert ollama is not None
    assert ollama.usage.input_tokens == 7


@pytest.mark.parametrize("body", [{"error": {"message": "too long"}}, {"data": []}, {}])
def test_what_has_no_vectors_is_no_answer(body: Any) -> None:
    answer = read_answer(encode(body))
    assert answer is not None
    assert (answer.message, answer.error) == (None, body.get("error", {}).get("message", ""))
    assert not is_complete(encode(body))
