"""The searches side by side on the simulated worlds: same cases, same simulated models, same budget (20 x cases).

    python benchmarks/search/side_by_side.py --simbench PATH [--out FILE] [--seeds 20] [--workers 2]
    python benchmarks/search/side_by_side.py --simbench PATH --methods pytest-gepa greedy --fresh
    python benchmarks/search/tables.py FILE

Needs `gepa==0.1.4` and `dspy==3.4.1` beside this package. Each run is one JSON line in FILE; what is there already is
not run again, unless `--fresh` drops the named methods' lines first. Both models are **simulated**: the figures say
nothing about real ones.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeAlias

HERE = Path(__file__).resolve().parent
Job: TypeAlias = tuple[str, str, str, int]
"""Method, world, parameters of the simulated models, seed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simbench", type=Path, required=True, help="directory that holds simbench")
    parser.add_argument("--out", type=Path, default=Path("side_by_side.jsonl"))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--sets", nargs="+", default=["standard", "hard", "variants"])
    parser.add_argument("--methods", nargs="+", help="default: all")
    parser.add_argument("--fresh", action="store_true", help="run the methods again where a line is there")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    # gepa iterates over sets of strings; the workers are started with this.
    os.environ["PYTHONHASHSEED"] = "0"
    sys.path[:0] = [str(args.simbench), str(HERE), str(HERE.parents[1])]
    from rivals import METHODS

    methods = args.methods or list(METHODS)
    if unknown := set(methods) - set(METHODS):
        parser.error(f"unknown methods {sorted(unknown)}; there are {list(METHODS)}")
    done = [] if not args.out.exists() else [json.loads(line) for line in args.out.open(encoding="utf-8")]
    if args.fresh:
        done = [row for row in done if row["method"] not in methods]
        args.out.write_text("".join(f"{json.dumps(row)}\n" for row in done), encoding="utf-8")
    known = {(row["method"], row["world"], row["key"], row["seed"]) for row in done}
    jobs = [job for job in grid(methods, args.sets, args.seeds) if job not in known]
    begun, found = time.monotonic(), versions()
    with (
        args.out.open("a", encoding="utf-8") as file,
        get_context("spawn").Pool(args.workers, prepare, (str(args.simbench),)) as pool,
    ):
        for number, row in enumerate(pool.imap_unordered(one, jobs, chunksize=2), 1):
            print(json.dumps({**row, **found}), file=file, flush=True)
            if number % 100 == 0 or number == len(jobs):
                print(f"{number}/{len(jobs)} runs, {time.monotonic() - begun:.0f} s", flush=True)
        pool.close()
        pool.join()


def grid(methods: Sequence[str], sets: Sequence[str], seeds: int) -> Iterator[Job]:
    """Yield every job, all methods of a cell together; settings that are the same there as another's are left out."""
    from rivals import ONLY_SEVERAL
    from simbench.worlds import build
    from simulated import SETS

    for world, key in (cell for name in sets for cell in SETS[name]):
        for method in methods:
            if len(build(world).components) > 1 or method not in ONLY_SEVERAL:
                yield from ((method, world, key, seed) for seed in range(seeds))


def prepare(simbench: str) -> None:
    """Make a worker as polite as it can be, and let it find its modules."""
    with contextlib.suppress(AttributeError):
        os.nice(15)
    sys.path[:0] = [simbench, str(HERE), str(HERE.parents[1])]


def one(job: Job) -> dict[str, Any]:
    """Run one job; `curve` has (rollouts, true score of the incumbent) wherever the incumbent changed."""
    from rivals import METHODS
    from simbench.bench import Bench, InProc

    method, world, key, seed = job
    backend = InProc(f"sim,seed={seed},{key}")
    bench = Bench(world, backend, concurrency=1)
    limit = 20 * len(bench.cases)
    begun = time.process_time()
    METHODS[method](bench, seed, limit)
    stats = backend.stats()
    return {
        "method": method,
        "world": world,
        "key": key,
        "seed": seed,
        "cases": len(bench.cases),
        "limit": limit,
        "rollouts": bench.calls,
        "reflections": bench.reflections,
        "reflection_tokens": stats["reflect_in"] + stats["reflect_out"],
        "curve": [(point[0], round(point[3], 6)) for point in bench.curve],
        "cpu_seconds": round(time.process_time() - begun, 3),
    }


def versions() -> dict[str, str]:
    """Return what was run: the versions of the rivals and a hash of the search's source."""
    source = hashlib.sha256()
    for part in ("evolve", "reflect", "prompts"):
        for path in sorted((HERE.parents[1] / "pytest_gepa" / part).rglob("*.py")):
            source.update(path.read_bytes())
    names = ("gepa", "dspy")
    return {name: importlib.metadata.version(name) for name in names} | {"source": source.hexdigest()[:12]}


if __name__ == "__main__":
    main()
