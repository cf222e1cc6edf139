"""The job message that a child session is given, and the JSON lines in which parent and child talk."""

from __future__ import annotations

import base64
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class PromptFile:
    """A file as the candidate has it: the components in it by id, with their texts, and the whole file in base64."""

    path: str
    texts: Mapping[str, str]
    data: str

    @classmethod
    def of(cls, path: str, texts: Mapping[str, str], data: bytes) -> PromptFile:
        """Build from the file's bytes."""
        return cls(path, dict(texts), base64.b64encode(data).decode("ascii"))

    @property
    def content(self) -> bytes:
        """The bytes that a read of the file must give."""
        return base64.b64decode(self.data)


@dataclass(frozen=True, slots=True)
class Job:
    """Everything a child session needs to run some cases under one candidate in one trial; self-contained.

    `cases` are case ids, `files` the test files that hold them. `timeout` is in seconds a case. `forking` is
    "after collection" (the session forks workers that ask for its cases) or "never" (it asks for its cases and runs
    them itself). With `tell_modules` it ends by telling which modules of the environment it loaded, with `tell_values`
    it first tells what the parameters of its cases are (see `values_digest`), and which tests those are that share
    their identity with another one. The environment variables travel in the message, never on disk. `cache` and
    `recording` are directories, "" for none; `replay` is the setting of that name. `redact` are the user's own patterns
    of secrets. With `isolation` "strict" the prompts' files themselves are the candidate's for all programs that the
    session starts. `costs` is the directory of what the run costs, "" where that is not counted. `processes` is how
    many may run cases at once, those of other jobs included.
    """

    id: str
    candidate: str
    trial: str
    prompts: tuple[PromptFile, ...]
    cases: tuple[str, ...]
    files: tuple[str, ...]
    args: tuple[str, ...]
    cwd: str
    rootdir: str
    environ: Mapping[str, str]
    sys_path: tuple[str, ...]
    temp: str
    cache: str
    concurrency: int = 1
    timeout: float = 120.0
    forking: str = "after collection"
    tell_modules: bool = False
    tell_values: bool = False
    replay: str = "auto"
    recording: str = ""
    redact: tuple[str, ...] = ()
    isolation: str = "auto"
    costs: str = ""
    processes: int = 1

    @property
    def texts(self) -> dict[str, str]:
        """The text of every component under the candidate, by its id."""
        return {id: text for prompt in self.prompts for id, text in prompt.texts.items()}


def encode_line(message: Mapping[str, Any]) -> bytes:
    """One message as one line."""
    return json.dumps(message, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"


class Stream(Protocol):
    """The part of a socket that a channel needs."""

    def fileno(self) -> int:
        """The descriptor that can be waited for."""

    def recv(self, size: int, /) -> bytes:
        """Some bytes, b"" at the end."""

    def sendall(self, data: bytes, /) -> None:
        """Send all of `data`."""

    def close(self) -> None:
        """Close both directions."""


class PipePair:
    """Two pipe ends as one stream: what a spawned process has in place of a socket."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = reading, writing

    def fileno(self) -> int:
        """The reading end."""
        return self._reading

    def recv(self, size: int) -> bytes:
        """Some bytes, b"" at the end."""
        return os.read(self._reading, size)

    def sendall(self, data: bytes) -> None:
        """Send all of `data`."""
        while data:
            data = data[os.write(self._writing, data) :]

    def close(self) -> None:
        """Close both ends."""
        os.close(self._reading)
        os.close(self._writing)


class Channel:
    """A stream that carries JSON lines both ways. Not thread-safe: one reader and one writer."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._begun: list[bytes] = []  # of a line that has not ended: long ones come in many pieces
        self._lines: deque[bytes] = deque()

    def fileno(self) -> int:
        """The descriptor, for selectors."""
        return self._stream.fileno()

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message; raises `OSError` when the other side has gone."""
        self._stream.sendall(encode_line(message))

    def receive(self) -> dict[str, Any] | None:
        """Wait for one message; None when the other side has closed."""
        while not self._lines:
            if not self._read():
                return None
        message: dict[str, Any] = json.loads(self._lines.popleft())
        return message

    def arrived(self) -> tuple[list[dict[str, Any]], bool]:
        """Read once; the messages that are complete, and whether the other side is still there."""
        is_open = self._read()
        lines, self._lines = self._lines, deque()
        return list(_parsed(lines)), is_open

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()

    def _read(self) -> bool:
        """Take in what has come; False when the other side has closed."""
        try:
            chunk = self._stream.recv(1 << 20)
        except ConnectionError:
            return False
        head, *rest = chunk.split(b"\n")
        self._begun.append(head)
        if rest:
            *whole, last = rest
            self._lines += [b"".join(self._begun), *whole]
            self._begun = [last]
        return bool(chunk)


def _parsed(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            message = json.loads(line)
        except ValueError:  # a process that died in the middle of a line
            continue
        if isinstance(message, dict):
            yield message
