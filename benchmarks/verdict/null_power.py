"""How often "proven better" is said where nothing changed, how far off the confirmed effect is, and which true gains
are proven: many whole optimizations in this process, with the product's own search and verdict.

    python benchmarks/verdict/null_power.py --out DIR [--runs 5000] [--gepa-runs 300] [--jobs 2]
                                              [--only null|power|graded|gepa]
    python benchmarks/verdict/null_power.py --out DIR --table

Each run is a line of JSON in a file of its cell, so that a grid that was cut off goes on where it stopped. There are no
models: an edit adds a remark that changes nothing, a flaky case passes half of the time whatever the prompt says, and
the score of a graded case is as noisy under every prompt.
`--gepa-runs` needs `gepa` installed; it is given the same suites and the same budget as the search.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from flaky_world import Cell, GradedCell, is_proven, run_product

from pytest_gepa.verdict.interval import wilson

NULL = [Cell(cases, flaky) for cases in (10, 20, 50) for flaky in (0.1, 0.2, 1.0)]
POWER = [Cell(cases, flaky, gain) for cases in (20, 50) for flaky in (0.2, 1.0) for gain in (0.08, 0.15, 0.25, 0.33)]
GRADED = [GradedCell(cases, 1.0, gain) for gain in (0.0, 0.08, 0.15) for cases in (10, 20, 50)]
NULL_COLUMNS = (
    "suite",
    "runs",
    "a winner was found",
    "its gain in the search, points",
    "proven better",
    "worse",
    "confirmed less true effect, points",
    "`gepa` runs",
    "`gepa` reports a better prompt",
    "its gain, points",
)
POWER_COLUMNS = (
    "suite",
    "gain (as whole cases)",
    "runs",
    "the winner has it",
    "proven better",
    "of winners that have it",
    "of those that have not",
    "confirmed less true effect, points",
)
GRADED_COLUMNS = (
    "suite",
    "true gain of the edit that helps",
    "runs",
    "a winner was found",
    "the winner has the gain",
    "proven better",
    "of winners that have it",
    "of those that have not",
    "worse",
    "confirmed less true effect, points",
    "the interval holds the true effect",
)
_Z = 1.96


def grid(cells: Sequence[Cell], method: str, runs: int, out: Path, jobs: int) -> None:
    """Make every run of these cells that is not there yet."""
    with get_context("spawn").Pool(jobs) as pool:
        for cell in cells:
            path = out / f"{method} {cell.name}.jsonl"
            done = {row["seed"] for row in rows_of(path)}
            missing = [seed for seed in range(runs) if seed not in done]
            with path.open("a", encoding="utf-8") as stream:
                for row in pool.imap_unordered(partial(one_run, method, cell), missing, chunksize=5):
                    stream.write(json.dumps(row) + "\n")
                    stream.flush()
            print(f"{path.name}: {runs} runs", flush=True)


def one_run(method: str, cell: Cell, seed: int) -> dict[str, Any]:
    if method == "product":
        return run_product(cell, seed)
    from gepa_world import run_gepa

    return run_gepa(cell, seed)


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The runs in a file; a line that was cut off by the end of a process is none."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def percent(hits: int, number: int) -> str:
    low, high = wilson(hits, number)
    return f"{100 * hits / number:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def mean_points(values: Sequence[float]) -> str:
    """A mean in points with its 95 % interval."""
    half = _Z * statistics.pstdev(values) / len(values) ** 0.5
    return f"{100 * statistics.fmean(values):+.2f} ± {100 * half:.2f}"


def tables(out: Path) -> Iterator[str]:
    """The tables as Markdown, of the runs that are there."""
    named = (NULL_COLUMNS, _null_lines), (POWER_COLUMNS, _power_lines), (GRADED_COLUMNS, _graded_lines)
    for columns, lines_of in named:
        if lines := list(lines_of(out)):
            yield from [*_head(columns), *lines, ""]


def _null_lines(out: Path) -> Iterator[str]:
    for cell in NULL:
        rows, rivals = (rows_of(out / f"{method} {cell.name}.jsonl") for method in ("product", "gepa"))
        if rows:
            yield _line(cell.name.removesuffix(", gain +0"), *_null_cells(rows), *_gepa_cells(rivals))


def _power_lines(out: Path) -> Iterator[str]:
    for cell in POWER:
        rows = rows_of(out / f"product {cell.name}.jsonl")
        if rows:
            suite, gain = cell.name.split(", gain ")
            yield _line(suite, f"{gain} ({100 * max(row['true'] for row in rows):+.0f})", *_power_cells(rows))


def _graded_lines(out: Path) -> Iterator[str]:
    for cell in GRADED:
        rows = rows_of(out / f"product {cell.name}.jsonl")
        if rows:
            yield _line(*cell.name.split(", gain "), *_graded_cells(rows))


def _head(columns: Sequence[str]) -> list[str]:
    return [_line(*columns), "|---" * len(columns) + "|"]


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _null_cells(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    number = len(rows)
    return [
        f"{number:,}",
        percent(sum(row["shipped"] for row in rows), number),
        mean_points([row["searched"] for row in rows]),
        percent(sum(map(is_proven, rows)), number),
        percent(sum(row["verdict"] == "worse" for row in rows), number),
        mean_points([row["confirmed"] - row["true"] for row in rows]),
    ]


def _gepa_cells(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return ["0", "", ""]
    better = percent(sum(row["shipped"] for row in rows), len(rows))
    return [f"{len(rows):,}", better, mean_points([row["searched"] for row in rows])]


def _power_cells(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    helped = [row for row in rows if row["true"] > 0]
    others = [row for row in rows if row["true"] <= 0]
    return [
        f"{len(rows):,}",
        percent(len(helped), len(rows)),
        percent(sum(map(is_proven, rows)), len(rows)),
        percent(sum(map(is_proven, helped)), len(helped)) if helped else "",
        percent(sum(map(is_proven, others)), len(others)) if others else "",
        mean_points([row["confirmed"] - row["true"] for row in rows]),
    ]


def _graded_cells(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    number = len(rows)
    judged = [row for row in rows if row["shipped"]]
    held = sum(row["interval"][0] <= row["true"] <= row["interval"][1] for row in judged)
    _, helped, proven, of_helped, of_others, difference = _power_cells(rows)
    return [
        f"{number:,}",
        percent(len(judged), number),
        helped,
        proven,
        of_helped,
        of_others,
        percent(sum(row["verdict"] == "worse" for row in rows), number),
        difference,
        percent(held, len(judged)) if judged else "",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=5000, help="of each null cell")
    parser.add_argument("--power-runs", type=int, default=1000, help="of each power cell")
    parser.add_argument("--graded-runs", type=int, default=500, help="of each graded cell")
    parser.add_argument("--gepa-runs", type=int, default=0, help="of each null cell with gepa")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", choices=("null", "power", "graded", "gepa"))
    parser.add_argument("--table", action="store_true", help="only print the tables of what is there")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    work: dict[str, Callable[[], None]] = {
        "null": partial(grid, NULL, "product", args.runs, args.out, args.jobs),
        "power": partial(grid, POWER, "product", args.power_runs, args.out, args.jobs),
        "graded": partial(grid, GRADED, "product", args.graded_runs, args.out, args.jobs),
        "gepa": partial(grid, NULL, "gepa", args.gepa_runs, args.out, args.jobs),
    }
    for name, make in work.items():
        if not args.table and args.only in (None, name):
            make()
    print("\n".join(tables(args.out)))


if __name__ == "__main__":
    main()
