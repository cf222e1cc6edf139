"""Requests for embeddings, of OpenAI's form and of others': a step of a run, told by number and size of the vectors.

The vectors themselves are no text and are not kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_gepa.trace.chat import Answer, ChatRequest
from pytest_gepa.trace.cut import beginning, mark
from pytest_gepa.trace.fields import (
    DEEPEST,
    Usage,
    count_of,
    encoded_size,
    object_of,
    read_error,
    read_json,
    read_object,
    read_usage,
    text_of,
)
from pytest_gepa.trace.trajectory import Message

LONGEST_TEXT = 2_000
"""Characters that are kept of each text."""

MOST_TEXTS = 50
"""Texts that are kept of a request."""

_INPUTS = ("input", "inputs", "texts", "prompt", "content", "requests", "contents")
_VECTORS = ("embedding", "embeddings", "values", "float", "data")


def read_request(body: bytes) -> ChatRequest | None:
    """The texts of a request, each as a message, cut; None when it has none."""
    data = read_object(body)
    name = next((name for name in _INPUTS if data is not None and data.get(name)), None)
    if data is None or name is None:
        return None
    texts = list(_texts(data[name]))
    messages = [Message("user", _cut(text)) for text in texts[:MOST_TEXTS]]
    if len(texts) > MOST_TEXTS:
        messages.append(Message("user", f"[... {len(texts) - MOST_TEXTS:,} more texts ...]"))
    if not texts:
        messages.append(Message("user", "[tokens]"))
    return ChatRequest(text_of(data.get("model")), tuple(messages), kind="embedding")


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth < DEEPEST and isinstance(value, list):
        for item in value:
            yield from _texts(item, depth + 1)
    elif depth < DEEPEST and isinstance(value, dict):
        for name in ("text", "content", "parts"):
            yield from _texts(value.get(name), depth + 1)


def _cut(text: str) -> str:
    head = beginning(text, LONGEST_TEXT)
    return text if head == text else head + mark(len(text) - len(head))


def read_answer(body: bytes) -> Answer | None:
    """The number of the vectors and of their dimensions; None when the body is no JSON object or list."""
    whole = read_json(body)
    if not isinstance(whole, (dict, list)):
        return None
    sizes = list(_sizes(whole))
    data = object_of(whole)
    usage = _usage(data)
    error = read_error(data.get("error"))
    if not sizes:
        return Answer(None, error=error, usage=usage)
    several = "1 vector" if len(sizes) == 1 else f"{len(sizes):,} vectors"
    said = f"[{several} of {' or '.join(f'{size:,}' for size in sorted(set(sizes)))} dimensions]"
    return Answer(Message("assistant", said), error=error, usage=usage)


def is_complete(body: bytes) -> bool:
    """Whether a response body holds vectors and no error."""
    data = read_json(body)
    return next(_sizes(data), None) is not None and not object_of(data).get("error")


def _usage(data: dict[str, Any]) -> Usage:
    usage = read_usage(data.get("usage"))
    counted = count_of(data.get("prompt_eval_count")) or count_of(object_of(data.get("usage")).get("total_tokens"))
    return usage if usage.input_tokens else usage._replace(input_tokens=counted)


def _sizes(value: Any, depth: int = 0) -> Iterator[int]:
    """The dimensions of every vector: a list of numbers, or text in base64 of four bytes a number."""
    if depth >= DEEPEST:
        return
    if isinstance(value, list):
        if value and all(isinstance(item, (int, float)) for item in value):
            yield len(value)
        else:
            for item in value:
                yield from _sizes(item, depth + 1)
    elif isinstance(value, dict):
        for name in _VECTORS:
            inner = value.get(name)
            if isinstance(inner, str) and name == "embedding":
                yield encoded_size(inner) // 4
            elif isinstance(inner, (list, dict)):
                yield from _sizes(inner, depth + 1)
