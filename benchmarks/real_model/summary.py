"""The tables of a file of runs: each task, reflector and method over its seeds; all at equal numbers of rollouts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

Record = dict[str, Any]
Seed = tuple[str, str, int]
"""Task, reflector, seed."""

SHARE = 0.9
"""Rollouts are compared where the best search score has reached this much of what `ours` reached in the end."""


def show(records: Sequence[Record]) -> None:
    """Print the tables: medians with the range over the seeds, then each run beside `ours` where it ended."""
    groups: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for record in records:
        groups[record["task"], record["reflector"], record["method"]].append(record)
    ours = {
        (one["task"], one["reflector"], one["seed"]): one
        for one in records
        if one["method"] == "ours" and "after" in one
    }
    print(
        "| task | reflector | method | seeds | search before | search after | held out before | held out after "
        "| proven | rollouts | reflections | minutes | rollouts to 90 % of ours |"
    )
    print("|" + "---|" * 13)
    for (task, reflector, method), group in sorted(groups.items()):
        whole = [record for record in group if "after" in record]
        if not whole:
            print(f"| {task} | {reflector} | {method} | 0 of {len(group)} |" + " |" * 9)
            continue
        scores = [
            of([record[side][split] for record in whole]) + f"/{whole[0]['cases'][split]}"
            for split in ("search", "held_out")
            for side in ("before", "after")
        ]
        has_verdict = [record for record in whole if "verdict" in record]
        proven = sum(record["verdict"] == "proven" for record in has_verdict)
        cells = [
            *(task, reflector, method, str(len(whole)), *scores),
            f"{proven}/{len(has_verdict)}" if has_verdict else "",
            *(of([record[name] for record in whole]) for name in ("rollouts", "reflections", "minutes")),
            reached([(record, ours.get((task, reflector, record["seed"]))) for record in whole]),
        ]
        print("| " + " | ".join(cells) + " |")
    show_at_equal_rollouts(records, ours)
    for record in records:
        if record.get("note"):
            print(f"- {record['task']} {record['reflector']} {record['method']} {record['seed']}: {record['note']}")


def show_at_equal_rollouts(records: Sequence[Record], ours: Mapping[Seed, Record]) -> None:
    """Print each run's search score and what `ours` had by then: at as many rollouts, its baseline counted.

    A run that time has ended early is so compared with no more than what it had.
    """
    print("\n| task | reflector | method | seed | rollouts | search score | of ours at as many |")
    print("|" + "---|" * 7)
    for one in sorted(records, key=lambda one: (one["task"], one["reflector"], one["method"], one["seed"])):
        beside = ours.get((one["task"], one["reflector"], one["seed"]))
        if one["method"] == "ours" or beside is None or "after" not in one:
            continue
        rollouts, cases = searched(one), one["cases"]["search"]
        name = f"{one['task']} | {one['reflector']} | {one['method']} | {one['seed']}"
        print(f"| {name} | {rollouts} | {one['after']['search'] / cases:.2f} | {score_at(beside, rollouts):.2f} |")


def searched(record: Record) -> int:
    """The rollouts of a run before its confirm run, if it had one."""
    return int(record["rollouts"]) - int(record.get("confirm_rollouts") or 0)


def score_at(record: Record, rollouts: int) -> float:
    """The best search score of a run after so many rollouts, in [0, 1]; before the first one that of today's prompt."""
    return max(
        [float(score) for at, score in record["curve"] if at <= rollouts],
        default=record["before"]["search"] / record["cases"]["search"],
    )


def of(values: Sequence[float]) -> str:
    """Median and range."""
    middle = f"{median(values):g}"
    return middle if min(values) == max(values) else f"{middle} ({min(values):g}-{max(values):g})"


def reached(pairs: Sequence[tuple[Record, Record | None]]) -> str:
    """Rollouts until the run's own best search score is 90 % of the way that `ours` went with the same seed."""
    found = []
    for record, ours in pairs:
        if ours is None or not ours["curve"]:
            continue
        first, last = ours["curve"][0][1], ours["curve"][-1][1]
        level = first + SHARE * (last - first)
        found.append(next((at for at, score in record["curve"] if score >= level), None))
    there = [at for at in found if at is not None]
    return f"{of(there)}, {len(there)}/{len(found)} runs" if there else f"-, 0/{len(found)} runs"
