"""The figure of docs/search.md: the score of the incumbent over the rollouts, on one simulated world.

python benchmarks/search/figure.py FILE docs/search.svg

FILE is what `side_by_side.py` wrote.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import quantiles
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from chart import BLUE, GREY, ORANGE, Chart, Line, Point, steps
from tables import BEST, OURS, Cell, Rows, best_setting, read

WORLD = "W2"
CLIMBER = "hill climber"
MOST = 400


def main() -> None:
    source, target = sys.argv[1:]
    Path(target).write_text(figure(read(source)[WORLD]), encoding="utf-8")


def figure(cell: Cell) -> str:
    row = cell[OURS][0]
    names = {
        OURS: ("pytest-gepa", BLUE),
        BEST: (f"gepa {row['gepa']}, best setting", ORANGE),
        CLIMBER: (CLIMBER, GREY),
    }
    seeds = sorted({len(cell[method]) for method in names})
    chart = Chart(
        heading=f"Simulated models: true score of the best candidate so far (world {WORLD}, {row['cases']} cases)",
        notes=[
            f"line: median of {' to '.join(map(str, seeds))} seeds; band: the middle half of them; "
            f"best setting: {best_setting(cell, 'gepa').removeprefix('gepa, ')}"
        ],
        across="rollouts, those of the baseline included",
        most=MOST,
        ticks={amount: str(amount) for amount in range(0, MOST + 1, 80)},
    )
    return chart.svg([_line(cell[method], *told) for method, told in names.items()])


def _line(rows: Rows, name: str, colour: str) -> Line:
    low, middle, high = (steps(edge, MOST) for edge in _quarters(rows))
    return Line(name, middle, colour, (low, high), is_dashed=colour == GREY)


def _quarters(rows: Rows) -> list[list[Point]]:
    """Lower quartile, median and upper quartile of the score, at each number of rollouts where some run's changes."""
    moments = sorted({point[0] for row in rows for point in row["curve"] if point[0] <= MOST} | {0})
    cuts = [quantiles([_held(row, at) for row in rows], method="inclusive") for at in moments]
    return [[(at, cut[which]) for at, cut in zip(moments, cuts, strict=True)] for which in range(3)]


def _held(row: Mapping[str, Any], rollouts: float) -> float:
    """The score of the incumbent after so many rollouts."""
    return float([score for at, score in row["curve"] if at <= rollouts][-1])


if __name__ == "__main__":
    main()
