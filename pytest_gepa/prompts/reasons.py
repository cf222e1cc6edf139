"""Reasons for which an edit is refused, told together: a model that mends one of them only is refused again. Pure."""

from __future__ import annotations

from collections.abc import Iterable

MOST_REASONS = 3
"""So many are told at once."""


def together(reasons: Iterable[str]) -> str:
    """Return the first few different reasons as one, "" where there are none; no more of them are looked for."""
    found: dict[str, None] = {}
    for reason in reasons:
        found[reason] = None
        if len(found) == MOST_REASONS:
            break
    return "; ".join(found)
