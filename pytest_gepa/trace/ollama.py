"""Ollama's own API, chat and generate: bodies of bytes to messages, no I/O. An answer is one JSON object, or one on
each line of a stream; both are read the same way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_gepa.trace.chat import Answer, ChatRequest, read_message
from pytest_gepa.trace.fields import (
    Usage,
    count_of,
    encoded_size,
    first_text,
    items_of,
    object_of,
    objects_of,
    other_texts,
    read_error,
    read_object,
    schema_text,
    text_of,
)
from pytest_gepa.trace.sse import Lines
from pytest_gepa.trace.trajectory import Message


def read_request(body: bytes) -> ChatRequest | None:
    """Read the body of a request of either kind; None when it has neither messages nor a prompt. Streams unless it
    says otherwise."""
    data = read_object(body)
    if data is None or not (isinstance(data.get("messages"), list) or first_text(data, "prompt", "system")):
        return None
    tools = objects_of(data.get("tools"))
    return ChatRequest(
        model=text_of(data.get("model")),
        messages=tuple(_messages(data)),
        tools=tuple(filter(None, (text_of(object_of(tool.get("function")).get("name")) for tool in tools))),
        stream=data.get("stream") is not False,
        other_texts=other_texts(data, "messages", "prompt", "system", "images"),
        answer_format=schema_text(data.get("format")),
    )


def _messages(data: Mapping[str, Any]) -> Iterator[Message]:
    if system := first_text(data, "system"):
        yield Message("system", system)
    for message in objects_of(data.get("messages")):
        yield read_message({**message, "content": _with_images(message, "content"), "images": None})
    if isinstance(data.get("prompt"), str):
        yield Message("user", "\n".join(filter(None, _with_images(data, "prompt"))))


def _with_images(data: Mapping[str, Any], name: str) -> list[str]:
    images = (image for image in items_of(data.get("images")) if isinstance(image, str))
    return [text_of(data.get(name)), *(f"[image, {encoded_size(image):,} bytes]" for image in images)]


def read_answer(body: bytes) -> Answer | None:
    """Read a whole answer, of one object or of many lines; None when no line is a JSON object."""
    stream = OllamaStream()
    stream.feed(body)
    return stream.answer()


def is_complete(body: bytes) -> bool:
    """Whether a whole body is a finished answer."""
    stream = OllamaStream()
    stream.feed(body)
    answer = stream.answer()
    return stream.complete and answer is not None and not answer.error


class OllamaStream:
    """Takes the bytes of an answer in pieces of any size. Nothing that a server sends makes it raise."""

    has_marker = True

    def __init__(self) -> None:
        self.done = False
        self._lines = Lines()
        self._texts: dict[str, list[str]] = {}
        self._calls: list[Any] = []
        self._last: dict[str, Any] = {}
        self._error = ""

    @property
    def complete(self) -> bool:
        """Whether the answer has come to its end."""
        return self.done

    def feed(self, piece: bytes) -> None:
        """Take the next bytes."""
        for line in self._lines.feed(piece):
            self._take(line)

    def answer(self) -> Answer | None:
        """The answer as far as it has come; None when nothing has."""
        for line in self._lines.rest():
            self._take(line)
        if not self._last and not self._error:
            return None
        texts = {name: "".join(pieces) for name, pieces in self._texts.items()}
        message = read_message({"role": "assistant", **texts, "tool_calls": self._calls})
        return Answer(
            message=message if texts or self._calls or self.done else None,
            finish_reason=text_of(self._last.get("done_reason")),
            error=self._error,
            usage=Usage(
                input_tokens=count_of(self._last.get("prompt_eval_count")),
                output_tokens=count_of(self._last.get("eval_count")),
            ),
        )

    def _take(self, line: bytes) -> None:
        data = read_object(line)
        if data is None:
            return
        self._last = data
        self._error = read_error(data.get("error")) or self._error
        self.done = self.done or data.get("done") is True
        message = object_of(data.get("message"))
        for name, text in (
            ("content", first_text(message, "content") or first_text(data, "response")),
            ("reasoning_content", first_text(message, "thinking") or first_text(data, "thinking")),
        ):
            if text:
                self._texts.setdefault(name, []).append(text)
        self._calls += objects_of(message.get("tool_calls"))
