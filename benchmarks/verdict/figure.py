"""The figure of docs/verdict.md: the share of runs that prove a true gain.

python benchmarks/verdict/figure.py DIR docs/verdict.svg

DIR is what `null_power.py` wrote; a cell of fewer than 30 runs whose winner has the gain is left out.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from chart import BLUE, ORANGE, Chart, Line, Point
from flaky_world import is_proven
from null_power import POWER, rows_of

COLOURS = {20: BLUE, 50: ORANGE}
MOST_GAIN = 0.4
CHART = Chart(
    heading="Simulated suites: share of runs that say proven better",
    notes=["of the runs whose winner has the gain; under today's prompt a flaky case passes half of the time"],
    across="true gain of the winner, points",
    most=MOST_GAIN,
    ticks={0.0: "0", 0.1: "+10", 0.2: "+20", 0.3: "+30", 0.4: "+40"},
)


def lines_of(directory: Path) -> dict[tuple[int, float], list[Point]]:
    """For each kind of suite (cases, share that is flaky) the true gains, and the shares of those runs that proved one
    whose winner had it.
    """
    found: dict[tuple[int, float], list[Point]] = defaultdict(list)
    for cell in POWER:
        rows = [row for row in rows_of(directory / f"product {cell.name}.jsonl") if row["true"] > 0]
        if len(rows) >= 30:
            share = sum(map(is_proven, rows)) / len(rows)
            found[cell.cases, cell.flaky].append((rows[0]["true"], share))
    return found


def figure(found: Mapping[tuple[int, float], Sequence[Point]]) -> str:
    return CHART.svg(
        [
            Line(
                f"{cases} cases, {100 * flaky:.0f} % flaky",
                points,
                COLOURS[cases],
                is_dashed=flaky == 1,
                is_dotted=True,
            )
            for (cases, flaky), points in found.items()
        ]
    )


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(figure(lines_of(Path(sys.argv[1]))), encoding="utf-8")
