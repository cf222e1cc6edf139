"""Tables in markdown from the lines that `side_by_side.py` wrote:  python benchmarks/search/tables.py FILE"""

from __future__ import annotations

import json
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import comb, inf
from statistics import fmean, median
from typing import Any, TypeAlias

Rows: TypeAlias = Sequence[Mapping[str, Any]]
Cell: TypeAlias = Mapping[str, Rows]
"""A world under one key: the rows of each method."""

KEYS = {
    "": "",
    "p_direct=0": ", `p_direct=0`",
    "p=0.3,p_rec=0.2,q=0.06,r=0.2": ", weak reflector",
    "flip=0.1": ", noise 0.1",
}
OURS, BEST = "pytest-gepa", "gepa, best setting"
COLUMNS = (OURS, "greedy", "greedy, no merge", "hill climber", "gepa", BEST, "DSPy GEPA", "DSPy GEPA, best")
SETTINGS = {BEST: "gepa", "DSPy GEPA, best": "DSPy"}
"""Columns that are the best of all settings whose name begins so."""


def reach(row: Mapping[str, Any], level: float) -> float:
    """Rollouts from which on the incumbent's true score stays at the level up to the limit, or infinity."""
    since = inf
    for rollouts, score in row["curve"]:
        if rollouts > row["limit"]:
            break
        if score < level - 1e-6:
            since = inf
        elif since == inf:
            since = rollouts
    return since


def area(row: Mapping[str, Any]) -> float:
    """Mean true score of the incumbent over the rollouts up to the limit."""
    total, last, held = 0.0, 0, row["curve"][0][1]
    for rollouts, score in row["curve"][1:]:
        until = min(rollouts, row["limit"])
        total += held * (until - last)
        last, held = until, score
        if rollouts >= row["limit"]:
            break
    return float(total + held * (row["limit"] - last)) / float(row["limit"])


def around_median(values: Iterable[float]) -> tuple[float, float, float]:
    """Median and the order statistics between which the true one lies with 95 % or more."""
    ordered = sorted(values)
    count = len(ordered)
    below, rank = 0.0, 0
    while (below := below + comb(count, rank) / 2**count) <= 0.025:
        rank += 1
    if not rank:
        return _middle(ordered), ordered[0], ordered[-1]
    return _middle(ordered), ordered[rank - 1], ordered[count - rank]


def _middle(ordered: Sequence[float]) -> float:
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return inf if high == inf else (low + high) / 2


def lead(ours: Rows, theirs: Rows) -> tuple[float, float, float]:
    """Difference of the mean areas and its 95 % bootstrap interval (10,000 draws, each side by itself)."""
    mine, other = [area(row) for row in ours], [area(row) for row in theirs]
    draw = random.Random(0)
    differences = sorted(
        fmean(draw.choices(mine, k=len(mine))) - fmean(draw.choices(other, k=len(other))) for _ in range(10_000)
    )
    return fmean(mine) - fmean(other), differences[250], differences[9749]


def best_setting(cell: Cell, beginning: str) -> str:
    """The setting of a rival that reaches 90 % soonest here, seen afterwards; of equals the largest area."""
    return min(
        (name for name in cell if name.startswith(beginning)),
        key=lambda name: (
            median(reach(row, 0.9) for row in cell[name]),
            -fmean(area(row) for row in cell[name]),
        ),
    )


def to_level(level: float) -> Callable[[Rows], str]:
    def told(rows: Rows) -> str:
        values = [reach(row, level) for row in rows]
        middle, low, high = around_median(values)
        reached = sum(value < inf for value in values)
        return f"{_number(middle)} ({_number(low)}-{_number(high)}), {reached}/{len(rows)}"

    return told


def _number(value: float) -> str:
    return "never" if value == inf else f"{value:g}"


def mean_area(rows: Rows) -> str:
    return f"{fmean(area(row) for row in rows):.3f}"


def requests(rows: Rows) -> str:
    tokens = median(row["reflection_tokens"] for row in rows)
    return f"{median(row['reflections'] for row in rows):g} ({tokens / 1000:.0f}k)"


def table(cells: Mapping[str, Cell], columns: Sequence[str], told: Callable[[Rows], str]) -> str:
    lines = [f"| world | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name, cell in cells.items():
        texts = [told(cell[column]) if column in cell else "" for column in columns]
        lines.append(f"| {name} | {' | '.join(texts)} |")
    return "\n".join(lines)


def standing(cells: Mapping[str, Cell]) -> str:
    """Our lead over the best of the others by mean area, cell by cell."""
    lines = ["| world | best of the others | lead in area (95 % interval) | |", "|---|---|---|---|"]
    for name, cell in cells.items():
        rivals = {one: rows for one, rows in cell.items() if one != OURS and one not in SETTINGS}
        if OURS not in cell or not rivals:
            continue
        best = max(rivals, key=lambda one: fmean(area(row) for row in rivals[one]))
        middle, low, high = lead(cell[OURS], rivals[best])
        verdict = "ahead" if low > 0 else "behind" if high < 0 else "tied"
        lines.append(f"| {name} | {best} | {middle:+.3f} ({low:+.3f} to {high:+.3f}) | {verdict} |")
    return "\n".join(lines)


def read(path: str) -> dict[str, Cell]:
    cells: dict[str, dict[str, list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    with open(path, encoding="utf-8") as file:
        for row in map(json.loads, file):
            cells[row["world"] + KEYS.get(row["key"], f", `{row['key']}`")][row["method"]].append(row)
    order = sorted(cells, key=lambda name: ("v" in name.split(",")[0], "," in name, name.partition(",")[2], name))
    found: dict[str, Cell] = {}
    for name in order:
        cell: dict[str, Rows] = dict(cells[name])
        chosen = {
            column: cell[best_setting(cell, beginning)]
            for column, beginning in SETTINGS.items()
            if any(method.startswith(beginning) for method in cell)
        }
        found[name] = cell | chosen
    return found


def main() -> None:
    cells = read(sys.argv[1])
    rows = [row for cell in cells.values() for one in cell.values() for row in one]
    versions = {f"gepa {row['gepa']}, dspy {row['dspy']}" for row in rows}
    sources = {row["source"] for row in cells_of(cells, OURS)}
    print(f"{', '.join(versions)}; source of the search {', '.join(sources)}\n")
    for level in (0.9, 1.0):
        print(f"Rollouts to {level:.0%}: median (95 % interval), runs that got there\n")
        print(table(cells, COLUMNS, to_level(level)) + "\n")
    print("Area under the curve to the limit, mean\n")
    print(table(cells, COLUMNS, mean_area) + "\n")
    print("Requests for an edit: median (tokens, in and out)\n")
    print(table(cells, COLUMNS, requests) + "\n")
    print(standing(cells) + "\n")
    settings = list(dict.fromkeys(name for cell in cells.values() for name in cell if name.startswith("gepa")))
    settings.remove(BEST)
    print("Settings of the reference, rollouts to 90 %\n")
    print(table(cells, settings, to_level(0.9)))


def cells_of(cells: Mapping[str, Cell], method: str) -> Rows:
    return [row for cell in cells.values() for row in cell.get(method, ())]


if __name__ == "__main__":
    main()
