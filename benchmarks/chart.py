"""Line charts as plain SVG, for the figures of the documentation: shares of 0 to 100 % over some amount."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

WIDTH, HEIGHT = 720, 340
LEFT, RIGHT, TOP, BOTTOM = 56, 190, 62, 48
INK, DARK, GRID = "#57606a", "#24292f", "#d0d7de"
BLUE, ORANGE, GREY = "#0969da", "#bc4c00", "#6e7781"
Point: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A line through `points`, with dots on them if `is_dotted`; `band` is what lies around it, low and high edge."""

    name: str
    points: Sequence[Point]
    colour: str
    band: tuple[Sequence[Point], Sequence[Point]] | None = None
    is_dashed: bool = False
    is_dotted: bool = False


@dataclass(frozen=True)
class Chart:
    """A chart from 0 to `most` across; `ticks` are the words at some amounts, `across` says what they are.

    `heading` tells what goes up, the lines of `notes` stand below it.
    """

    heading: str
    notes: Sequence[str]
    across: str
    most: float
    ticks: Mapping[float, str]

    def place(self, point: Point) -> Point:
        across = LEFT + point[0] / self.most * (WIDTH - LEFT - RIGHT)
        return across, TOP + (1 - point[1]) * (HEIGHT - TOP - BOTTOM)

    def svg(self, lines: Sequence[Line]) -> str:
        """The whole file."""
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            'font-family="sans-serif" font-size="12">',
            f"<title>{self.heading}</title>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
            f'<text x="12" y="20" font-size="14" fill="{DARK}">{self.heading}</text>',
            *(text(12, 38 + 15 * row, note, "start") for row, note in enumerate(self.notes)),
            *self._axes(),
            *(self._banded(line.band, line.colour) for line in lines if line.band),
        ]
        for row, line in enumerate(lines):
            parts += self._drawn(line)
            parts += _legend(line, TOP + 6 + 22 * row)
        return "\n".join([*parts, "</svg>", ""])

    def _axes(self) -> list[str]:
        parts = []
        for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
            (start, y), (end, _) = self.place((0, share)), self.place((self.most, share))
            parts.append(f'<path d="M{start:.0f} {y:.1f}H{end:.0f}" stroke="{GRID}"/>')
            parts.append(text(start - 8, y + 4, f"{100 * share:.0f} %", "end"))
        for amount, words in self.ticks.items():
            x, y = self.place((amount, 0))
            parts.append(f'<path d="M{x:.1f} {y:.0f}v4" stroke="{GRID}"/>')
            parts.append(text(x, y + 18, words))
        middle, bottom = self.place((self.most / 2, 0))
        return [*parts, text(middle, bottom + 38, self.across)]

    def _path(self, points: Sequence[Point]) -> str:
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in map(self.place, points))

    def _banded(self, band: tuple[Sequence[Point], Sequence[Point]], colour: str) -> str:
        low, high = band
        return f'<polygon points="{self._path([*low, *reversed(high)])}" fill="{colour}" fill-opacity="0.15"/>'

    def _drawn(self, line: Line) -> list[str]:
        places = [self.place(point) for point in line.points] if line.is_dotted else []
        dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{line.colour}"/>' for x, y in places]
        return [f'<polyline points="{self._path(line.points)}" fill="none" {_stroke(line)}/>', *dots]


def text(x: float, y: float, words: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{INK}">{words}</text>'


def steps(points: Sequence[Point], most: float) -> list[Point]:
    """The corners of a line that keeps each value up to the next point, and the last one to `most`."""
    corners = [points[0]]
    for (_, before), (amount, after) in pairwise(points):
        corners += [(amount, before), (amount, after)]
    return [*corners, (most, points[-1][1])]


def _stroke(line: Line) -> str:
    dashes = ' stroke-dasharray="6 4"' if line.is_dashed else ""
    return f'stroke="{line.colour}" stroke-width="2"{dashes}'


def _legend(line: Line, y: float) -> list[str]:
    x = WIDTH - RIGHT + 16
    return [f'<path d="M{x} {y:.0f}h22" {_stroke(line)}/>', text(x + 30, y + 4, line.name, "start")]
