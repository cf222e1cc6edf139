"""Real small models: pytest-gepa, its score-only ablation, `gepa` and MIPROv2 on the same tasks and rollouts.

    python benchmarks/real_model/compare.py results.jsonl --tasks dates --methods ours score-only gepa mipro --seeds 5

Needs a server of the 0.5b model on port 8103 (the task model, and the reflection model) and, for `--reflectors 1.5b`,
of the larger one on 8104; `README.md` says which.
Each run appends one JSON line to the file; a run that stands there already is not made again, so that the command can
be stopped and given once more. The other methods get as many rollouts as `ours` took with the same task, reflector and
seed: that run comes first. `--table` only prints what the file holds.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from methods import LIBRARIES, Limits
from summary import show
from task import TASKS, Task, prefix_of
from through_pytest import Options, make_project, run_plugin

METHODS = ("ours", "score-only", "gepa", "mipro")
OVERTIME = 2.0
"""A run that has not ended after so many times its minutes is ended by force, and recorded so."""

LEAST = 150
"""Rollouts that the other methods get at the least: with fewer, `score-only` could not hold its confirm run."""

RUNNING: set[subprocess.Popen[bytes]] = set()
"""The runs under way, to be ended with this process."""

WRITING = threading.Lock()
"""A line at a time in the file."""

Cell = tuple[str, str, str, int]
"""Task, method, reflector, seed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="JSON lines, one a run; appended to")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--reflectors", nargs="+", choices=("0.5b", "1.5b"), default=["0.5b"])
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 0 on")
    parser.add_argument("--rollouts", type=int, help="budget of `ours`; its own default if left out")
    parser.add_argument("--minutes", type=float, default=20, help="of wall time for the search of one run; 0: no bound")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once: more tokens a second in all, fewer in each")
    parser.add_argument("--work", type=Path, help="where projects and logs are kept; default: FILE.work")
    parser.add_argument("--table", action="store_true", help="print what the file holds, run nothing")
    parser.add_argument("--cell", nargs=5, help=argparse.SUPPRESS)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if args.cell:
        task, method, reflector, seed, limit = args.cell
        print(json.dumps(run((task, method, reflector, int(seed)), int(limit), args)))
    elif args.table:
        show(list(records(args.file).values()))
    else:
        measure(args)


def measure(args: argparse.Namespace) -> None:
    """All runs that the file does not hold yet; seeds outermost, so that a measurement cut short is even.

    Several jobs share the runs by task and seed: the other methods need the rollouts of `ours`.
    """
    groups = itertools.product(range(args.seeds), args.reflectors, args.tasks)
    with ThreadPoolExecutor(args.jobs) as pool:
        try:
            for done in [pool.submit(measure_group, *group, args) for group in groups]:
                done.result()
        except KeyboardInterrupt:
            for process in list(RUNNING):
                os.killpg(process.pid, signal.SIGTERM)
            os._exit(130)  # else the threads would note the runs as ended, and begin the next


def measure_group(seed: int, reflector: str, task: str, args: argparse.Namespace) -> None:
    """The runs of one task and seed, one after the other."""
    for method in (method for method in METHODS if method in args.methods):
        done = records(args.file)
        cell = (task, method, reflector, seed)
        if cell in done:
            continue
        ours = done.get((task, "ours", reflector, seed))
        if method != "ours" and (ours is None or "rollouts" not in ours):
            print(f"{cell}: no run of ours to take the rollouts from, left out", flush=True)
            continue
        limit = max(LEAST, ours["rollouts"]) if ours else 0
        record = run_apart(cell, limit, args)
        with WRITING, args.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")
        print(brief(record), flush=True)


def records(file: Path) -> dict[Cell, dict[str, Any]]:
    """What the file holds, the last word on each cell."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    found = (json.loads(line) for line in lines if line.strip())
    return {(one["task"], one["method"], one["reflector"], one["seed"]): one for one in found}


def run_apart(cell: Cell, limit: int, args: argparse.Namespace) -> dict[str, Any]:
    """One run in a process of its own: libraries keep state, and a run that hangs can be ended."""
    work = directory(cell, args)
    work.mkdir(parents=True, exist_ok=True)
    options = ["--minutes", str(args.minutes), "--jobs", str(args.jobs), "--work", str(work.parent)]
    options += ["--rollouts", str(args.rollouts)] if args.rollouts else []
    command = [sys.executable, __file__, str(args.file), *options, "--cell", *map(str, cell), str(limit)]
    started, said = time.time(), b""
    with (work / "log").open("wb") as log:
        # A group of its own: pytest's children go with it.
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, start_new_session=True)
        RUNNING.add(process)
        try:
            said, _ = process.communicate(timeout=OVERTIME * args.minutes * 60 + 120 if args.minutes else None)
            note = f"ended with {process.returncode}: see {work}/log"
        except subprocess.TimeoutExpired:
            note = "ended by force: over time"
        finally:
            RUNNING.discard(process)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
    try:
        return json.loads(said.splitlines()[-1])
    except (IndexError, ValueError):
        named = dict(zip(("task", "method", "reflector", "seed"), cell, strict=True))
        return {**named, "note": note, "minutes": round((time.time() - started) / 60, 2)}


def run(cell: Cell, limit: int, args: argparse.Namespace) -> dict[str, Any]:
    """One run, and a fresh one of today's prompt and of the winner on both splits, by the same code for all methods."""
    name, method, reflector, seed = cell
    started = time.monotonic()
    # Libraries print; standard output is for the record alone.
    sys.stdout, output = sys.stderr, sys.stdout
    if method in LIBRARIES:
        task = Task(name)
        limits = Limits(limit, started + 60 * args.minutes if args.minutes else math.inf)
        found = dataclasses.asdict(LIBRARIES[method](task, reflector, seed, limits))
    else:
        project = make_project(name, method == "score-only", directory(cell, args))
        rollouts = args.rollouts if method == "ours" else limit
        found = run_plugin(project, reflector, Options(seed, rollouts, args.minutes))
        task = Task(name)
    minutes = (time.monotonic() - started) / 60
    prefix = found.pop("prefix")
    record = {
        **dict(zip(("task", "method", "reflector", "seed"), cell, strict=True)),
        "limit": limit if method != "ours" else args.rollouts,
        "cases": {"search": len(task.search), "held_out": len(task.held_out)},
        "before": task.score(prefix_of(task.prompt)),
        "after": task.score(prefix),
        **found,
        "minutes": round(minutes, 2),
        "cap": args.minutes,
        "jobs": args.jobs,
        "winner": prefix,
    }
    sys.stdout = output
    return record


def directory(cell: Cell, args: argparse.Namespace) -> Path:
    """Where a run's project and logs are kept."""
    work = args.work or args.file.with_suffix(".work")
    return work.resolve() / "-".join(map(str, cell))


def brief(record: dict[str, Any]) -> str:
    """A run in one line."""
    head = f"{record['task']} {record['method']} {record['reflector']} seed {record['seed']}: "
    if "after" not in record:
        return head + record["note"]
    cases, before, after = record["cases"], record["before"], record["after"]
    scores = ", ".join(f"{name} {before[name]} -> {after[name]} of {cases[name]}" for name in cases)
    spent = f"{record['rollouts']} rollouts, {record['reflections']} reflections, {record['minutes']} min"
    return f"{head}{scores}; {spent}{'; ' if record['note'] else ''}{record['note']}"


if __name__ == "__main__":
    main()
