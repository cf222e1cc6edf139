"""Foreign texts in sentences of ours: lists and counts."""

from __future__ import annotations

from collections.abc import Sequence


def listed(texts: Sequence[str]) -> str:
    """Texts between backticks: "`a`, `b` and `c`"."""
    shown = [f"`{text}`" for text in texts]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def several(number: int, noun: str) -> str:
    """A count with its noun: `1 failing case`, `3 failing cases`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
