"""The protocols that capture can read, one object each, tried in order. A further one is a class and a place
here."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from typing import Any

from pytest_gepa.trace import chat
from pytest_gepa.trace.chat import Answer, ChatRequest
from pytest_gepa.trace.sse import ChatStream
from pytest_gepa.trace.trajectory import Message

LONGEST_TEXT = 20_000
"""Characters that are kept of a response whose protocol is not known."""

_SECRET_FIELD = re.compile(
    r"secret|password|passwd|credential|api_?key|(?:^|_)token$|authorization", re.IGNORECASE
)

_ENCODED = re.compile(r"[\w+/-]{1000,}=*", re.ASCII)


class EventStream(typing.Protocol):
    """Reads a stream of server-sent events as it comes; see `ChatStream`."""

    done: bool

    @property
    def complete(self) -> bool: ...  # noqa: D102
    def feed(self, piece: bytes) -> None: ...  # noqa: D102
    def answer(self) -> Answer | None: ...  # noqa: D102


class Protocol(typing.Protocol):
    """How the requests and responses of one API are read. Methods are pure and raise nothing.

    `cacheable` says that a complete answer to the same request may be used again.
    """

    cacheable: bool

    def matches(self, method: str, path: str, content_type: str) -> bool:
        """Whether a request is of this protocol; the path comes without query, the content type in lower
        case."""
        ...

    def read_request(self, body: bytes) -> ChatRequest | None:
        """What is asked; None when the body is not as this protocol has it."""
        ...

    def read_answer(self, body: bytes, content_type: str) -> Answer | None:
        """What is answered, by a whole body."""
        ...

    def is_complete(self, body: bytes) -> bool:
        """Whether a whole body of status 200 is a finished answer."""
        ...

    def stream(self) -> EventStream | None:
        """A reader for an answer that comes as server-sent events; None to take the whole body as text."""
        ...


class ChatCompletions:
    """Chat completions as OpenAI defined them."""

    cacheable = True

    def matches(self, method: str, path: str, content_type: str) -> bool:
        """Go by the path alone: some clients send no content type."""
        return chat.is_chat(method, path)

    def read_request(self, body: bytes) -> ChatRequest | None:
        """See `chat.read_request`."""
        return chat.read_request(body)

    def read_answer(self, body: bytes, content_type: str) -> Answer | None:
        """See `chat.read_answer`; an event stream that nobody announced is read as one."""
        if body.lstrip().startswith((b"data:", b"event:", b":")):
            stream = self.stream()
            stream.feed(body)
            return stream.answer()
        return chat.read_answer(body)

    def is_complete(self, body: bytes) -> bool:
        """See `chat.is_complete`."""
        return chat.is_complete(body)

    def stream(self) -> ChatStream:
        """See `sse.ChatStream`."""
        return ChatStream()


class JsonPost:
    """Any other POST of JSON: its strings as one user message, the response's text as the answer. Never
    cached."""

    cacheable = False

    def matches(self, method: str, path: str, content_type: str) -> bool:
        """Go by the content type."""
        return method.upper() == "POST" and "json" in content_type

    def read_request(self, body: bytes) -> ChatRequest | None:
        """All strings of the body, in order, but the model's name and what is named like a secret."""
        data = chat.read_object(body)
        if data is None:
            return None
        texts = _strings({name: value for name, value in data.items() if name != "model"})
        message = Message(role="user", content="\n".join(texts))
        return ChatRequest(chat.text_of(data.get("model")), (message,), stream=bool(data.get("stream")))

    def read_answer(self, body: bytes, content_type: str) -> Answer | None:
        """The text of the body, cut; a note of the size of one that is no text."""
        kind = content_type.partition(";")[0].strip()
        if kind and not kind.startswith("text/") and not re.search(r"json|xml|event-stream", kind):
            return Answer(Message("assistant", f"[{kind}, {len(body)} bytes]"))
        text = body[: 4 * LONGEST_TEXT].decode("utf-8", "replace")
        usage = chat.read_usage((chat.read_object(body) or {}).get("usage"))
        return Answer(Message("assistant", text[:LONGEST_TEXT]), "", *usage)

    def is_complete(self, body: bytes) -> bool:
        """Not known of a protocol that is not known."""
        return False

    def stream(self) -> None:
        """No reader: the events are kept as text."""
        return


PROTOCOLS: tuple[Protocol, ...] = (ChatCompletions(),)
"""The protocols that are understood."""

FALLBACK: Protocol = JsonPost()
"""For what none of them matches."""


def recognise(method: str, path: str, content_type: str, body: bytes) -> tuple[Protocol, ChatRequest] | None:
    """The first protocol that understands a request, and what is asked; None when it is no call to record."""
    for protocol in (*PROTOCOLS, FALLBACK):
        if protocol.matches(method, path, content_type.lower()):
            request = protocol.read_request(body)
            if request is not None:
                return protocol, request
    return None


def _strings(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, str):
        if value.startswith("data:") or _ENCODED.fullmatch(value):
            yield f"[{len(value)} characters of data]"
        elif not _SECRET_FIELD.search(name):
            yield value
    elif isinstance(value, dict):
        for inner, item in value.items():
            yield from _strings(item, inner)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, name)
