"""Spans of a text: joined where they touch, and given way to something else."""

from __future__ import annotations

from collections.abc import Iterable

Span = tuple[int, int]
"""Start and end."""


def joined(spans: Iterable[Span]) -> list[Span]:
    """The spans in order; those that overlap or touch as one."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


def outside(spans: Iterable[Span], kept: Iterable[Span]) -> list[Span]:
    """The spans in order without those that lie within one of `kept`."""
    found: list[Span] = []
    waiting = sorted(kept, reverse=True)
    reached = -1
    for start, end in sorted(spans):
        while waiting and waiting[-1][0] <= start:
            reached = max(reached, waiting.pop()[1])
        if end > reached:
            found.append((start, end))
    return found


def marked(text: str, spans: Iterable[Span], mark: str) -> str:
    """The text with `mark` in the place of each of these spans, which are in order and apart."""
    pieces: list[str] = []
    done = 0
    for start, end in spans:
        pieces += [text[done:start], mark]
        done = end
    return "".join([*pieces, text[done:]])
