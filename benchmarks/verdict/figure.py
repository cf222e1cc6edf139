"""The figure of docs/verdict.md: the share of runs that prove a true gain.

python benchmarks/verdict/figure.py DIR docs/verdict.svg
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from flaky_world import is_proven
from null_power import POWER, rows_of

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 300, 60, 46, 16
INK = "#57606a"
COLOURS = ("#0969da", "#54aeff", "#bc4c00", "#fb8f44")
MOST_GAIN = 0.4
Point = tuple[float, float]


def lines_of(directory: Path) -> dict[str, list[Point]]:
    """For each kind of suite the true gains, and the shares of those runs that proved one whose winner had it."""
    found: dict[str, list[Point]] = defaultdict(list)
    for cell in POWER:
        rows = [row for row in rows_of(directory / f"product {cell.name}.jsonl") if row["true"] > 0]
        if len(rows) >= 30:
            share = sum(map(is_proven, rows)) / len(rows)
            found[f"{cell.cases} cases, {100 * cell.flaky:.0f} % flaky"].append((rows[0]["true"], share))
    return found


def place(point: Point) -> Point:
    across = LEFT + point[0] / MOST_GAIN * (WIDTH - LEFT - 170)
    return across, TOP + (1 - point[1]) * (HEIGHT - TOP - BOTTOM)


def text(x: float, y: float, words: str, anchor: str = "middle", colour: str = INK) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{colour}">{words}</text>'


def drawn(points: Sequence[Point], colour: str, name: str) -> list[str]:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, points))
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in map(place, points)]
    return [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>', *dots]


def figure(lines: dict[str, list[Point]]) -> str:
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        (start, y), (end, _) = place((0, share)), place((MOST_GAIN, share))
        parts += [
            f'<path d="M{start:.0f} {y:.1f}H{end:.0f}" stroke="#d0d7de"/>',
            text(start - 8, y + 4, f"{100 * share:.0f} %", "end"),
        ]
    for gain in (0.0, 0.1, 0.2, 0.3, 0.4):
        x, y = place((gain, 0))
        parts.append(text(x, y + 18, f"{100 * gain:+.0f}" if gain else "0"))
    middle, bottom = place((MOST_GAIN / 2, 0))
    parts.append(
        text(middle, bottom + 38, "true gain of the winner, points; up: share of runs that say proven better")
    )
    for number, (name, points) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        parts += drawn(points, colour, name)
        parts.append(text(WIDTH - 160, TOP + 16 + 20 * number, name, "start", colour))
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(figure(lines_of(Path(sys.argv[1]))), encoding="utf-8")
