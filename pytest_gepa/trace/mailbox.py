"""Calls that other processes make for a case, and trouble in recording them, told through a file to the process that
runs it. Redacted before they are written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pytest_gepa.codec import from_json, to_json
from pytest_gepa.shared_lines import NewLines, append
from pytest_gepa.trace.trajectory import Call, Trajectory

CUT_SHORT = "what a child process has told of its calls was cut short: the disk had no room"


class News(NamedTuple):
    """What has come: calls, requests that were not sent, and what could not be recorded, in words."""

    calls: list[Call]
    refusals: list[str]
    problems: list[str]


class Mailbox:
    """The file of one process that runs cases. Its children write, a line at a time; it reads what is new.

    `owner` is the process, by its id: a fork of it finds itself to be another.
    """

    def __init__(self, path: Path, owner: int, redact: Callable[[Trajectory], Trajectory]) -> None:
        self.path = path
        self._owner = owner
        self._redact = redact
        self._lines = NewLines(path)
        self._begun = 0

    @property
    def is_ours(self) -> bool:
        """Whether this process is the one that reads."""
        return os.getpid() == self._owner

    def begin_case(self) -> None:
        """Let the others know that another case begins."""
        self._begun += 1
        self._counter.write_bytes(b"%d" % self._begun)

    @property
    def cases(self) -> int:
        """How many cases the owner has begun."""
        try:
            return int(self._counter.read_bytes() or b"0")
        except FileNotFoundError:
            return 0

    @property
    def _counter(self) -> Path:
        return self.path.with_suffix(".case")

    def post_call(self, call: Call) -> None:
        """Tell the owner of a call that has ended. Raises `OSError`, as all that posts does."""
        (redacted,) = self._redact(Trajectory(calls=(call,))).calls
        self._post("call", to_json(redacted))

    def post_refusal(self, text: str) -> None:
        """Tell the owner of a request that was not sent, as no answer to it is stored."""
        self._post("refusal", self._redact(Trajectory(failure=text)).failure)

    def post_problem(self, text: str) -> None:
        """Tell the owner that something could not be recorded."""
        self._post("problem", self._redact(Trajectory(failure=text)).failure)

    def collect(self) -> News:
        """What has come since the last time."""
        news = News([], [], [])
        for line in self._lines.take():
            message = {"problem": CUT_SHORT} if line is None else line
            if "call" in message:
                news.calls.append(from_json(Call, message["call"]))
            elif "refusal" in message:
                news.refusals.append(message["refusal"])
            else:
                news.problems.append(message["problem"])
        return news

    def _post(self, kind: str, value: object) -> None:
        append(self.path, {kind: value})
