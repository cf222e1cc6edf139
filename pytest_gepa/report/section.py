"""The closing section of a session, below pytest's own summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, TextIO

from pytest_gepa.suite.pytest_internals import terminal_writer
from pytest_gepa.wording import for_log

WIDEST = 100
STYLES = {"proven": {"bold": True, "green": True}, "worse": {"bold": True, "red": True}}


def print_section(stream: TextIO, title: str, lines: Sequence[str], verdict: str) -> None:
    """Print a section under a rule, each line whole so that it can be copied."""
    writer = terminal_writer(stream)
    writer.line(f" {title} ".center(min(writer.fullwidth, WIDEST), "="), bold=True)
    for line in lines:
        style = STYLES.get(verdict, {}) if line.startswith("verdict") else {}
        writer.line(encodable(stream, line), **style)


def encodable(stream: IO[str], text: str) -> str:
    """Text of others as a stream may be given it."""
    return held(stream, for_log(text))


def held(stream: IO[str], text: str) -> str:
    """Text that the stream's encoding can hold: a terminal in ASCII must not end a paid run."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
