"""Bytes of a stream, in pieces of any size, to the events that they hold: server-sent events, or lines of JSON.

What the events mean is in the modules of the protocols.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

from pytest_gepa.trace.chat import Answer

END = b"[DONE]"
"""The data of the last event of OpenAI's streams of completions."""


class Event(NamedTuple):
    """A server-sent event: its name, "" for none, and its data."""

    name: str
    data: bytes


class Lines:
    """Takes bytes in pieces and gives whole lines without their ends; `\\n`, `\\r\\n` and `\\r` end a line."""

    def __init__(self) -> None:
        self._begun: list[bytes] = []

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The lines that end in this piece."""
        # A line may come in a great many pieces: they are joined once it ends.
        if b"\n" not in piece and b"\r" not in piece and not self._may_have_ended():
            if piece:
                self._begun.append(piece)
            return
        lines = b"".join([*self._begun, piece]).splitlines(keepends=True)
        # One that ends in "\r" is kept as well: it may be half of "\r\n".
        self._begun = [lines.pop()] if lines and not lines[-1].endswith(b"\n") else []
        for line in lines:
            yield line.rstrip(b"\r\n")

    def rest(self) -> Iterator[bytes]:
        """The last line, which nothing has ended."""
        begun, self._begun = b"".join(self._begun), []
        if begun:
            yield begun.rstrip(b"\r")

    def _may_have_ended(self) -> bool:
        return bool(self._begun) and self._begun[-1].endswith(b"\r")


class Events:
    """Takes bytes in pieces and gives the server-sent events that are whole. Comments and other fields are skipped."""

    def __init__(self) -> None:
        self._lines = Lines()
        self._name = ""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> Iterator[Event]:
        """The events that end in this piece; `[DONE]` at once, as nobody waits for the line behind it."""
        for line in self._lines.feed(piece):
            yield from self._take(line)

    def rest(self) -> Iterator[Event]:
        """The last event, where the stream ended without the empty line behind it."""
        for line in self._lines.rest():
            yield from self._take(line)
        yield from self._end()

    def _take(self, line: bytes) -> Iterator[Event]:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            yield from self._end()
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")
        elif field == b"data":
            if value.strip() == END:
                yield from self._end()
                yield Event("", END)
            else:
                self._data.append(value)

    def _end(self) -> Iterator[Event]:
        name, data, self._name, self._data = self._name, self._data, "", []
        if data:
            yield Event(name, b"\n".join(data))


class EventReader(ABC):
    """What the readers of streams of events share. They take bytes in pieces of any size, and nothing that a server
    sends makes them raise. `done` says that the stream has said all that it will, `complete` that what it has said is a
    finished answer."""

    has_marker = True
    """Whether a last event tells the end of a stream; else only the end of the body does, and more may be to come."""

    def __init__(self) -> None:
        self.done = False
        self.complete = False
        self._events = Events()

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the stream."""
        for event in self._events.feed(piece):
            self._take(event)

    @abstractmethod
    def answer(self) -> Answer | None:
        """The answer as far as it has come; None when nothing has."""

    def ended(self, body: bytes) -> bytes:
        """The body with the end that every stream of the protocol has, where a caller has read all but that: what it
        leaves unread says nothing, and its length depends on how the bytes came."""
        return body

    def _take_rest(self) -> None:
        """Take the event in whose midst the stream has ended."""
        for event in self._events.rest():
            self._take(event)

    @abstractmethod
    def _take(self, event: Event) -> None:
        """Read one event."""


def is_events(body: bytes) -> bool:
    """Whether a body is a stream of server-sent events, announced or not."""
    return body.lstrip().startswith((b"data:", b"event:", b":"))
