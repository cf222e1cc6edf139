"""The rows of closing sections and plans: a label, and what is said in a column of its own."""

from __future__ import annotations

from collections.abc import Sequence


def row(label: str, text: str) -> str:
    """One row; "" as its label goes on with the one above."""
    return f"{label:<20} {text}"


def capped(rows: Sequence[str], most: int, place: str = "the report") -> list[str]:
    """The first rows, and how many more there are in another place."""
    more = len(rows) - most
    return [*rows[:most], row("", f"and {more} more, in {place}")] if more > 0 else list(rows)
