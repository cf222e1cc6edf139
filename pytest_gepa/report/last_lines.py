"""The last lines of a run of any kind: what gave no evidence, and what was spent."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gepa.report.phrases import price
from pytest_gepa.report.result import Spent, Trouble
from pytest_gepa.report.rows import capped, row
from pytest_gepa.wording import count, duration

LISTED = 10


def trouble_lines(
    trouble: Sequence[Trouble], problems: Sequence[str], most: int = LISTED, place: str = "the report"
) -> list[str]:
    """What gave no evidence, and what went wrong in the recording itself: `most` of each, the others in `place`."""
    lines = [row("trial not counted", f"{item.case}: {item.outcome}: {item.reason}") for item in trouble]
    return capped(lines, most, place) + [row("trouble in recording", problem) for problem in problems[:most]]


def spent_line(spent: Spent, *also: str) -> str:
    """What it took; `also` stands behind the rollouts."""
    rollouts = f"{count(spent.rollouts, 'rollout')} ({spent.cached} more answered from the cache)"
    tokens = f"{spent.input_tokens + spent.output_tokens:,} tokens"
    return row("spent", ", ".join([rollouts, *also, tokens, price(spent), duration(spent.seconds)]))
