"""The simulated worlds as pytest projects, run with the plugin as a user would: rollouts until every case passes.

    python benchmarks/search/through_pytest.py --simbench PATH [--worlds W1 W2 W3] [--seeds 10]

Needs `uvicorn` and `uvloop` for the simulated model server in PATH. Every project is a fresh copy, so nothing is
answered from an earlier run's cache. Both models are simulated: the figures say nothing about real ones.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simbench", type=Path, required=True)
    parser.add_argument("--worlds", nargs="+", default=["W1", "W2", "W3"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--options", default="", help="further pytest options, as one string")
    parser.add_argument("--key", default="", help="parameters of the models, as flip=0.1")
    args = parser.parse_args()
    sys.dont_write_bytecode = True
    sys.path[:0] = [str(args.simbench)]
    from simbench.bench import server
    from simbench.export import export

    with tempfile.TemporaryDirectory() as directory, server() as base:
        for world in args.worlds:
            export(directory, world)
            rows = [
                run(args.simbench, Path(directory), base, world, seed, args.options, args.key)
                for seed in range(args.seeds)
            ]
            show(world, rows)


def run(simbench: Path, directory: Path, base: str, world: str, seed: int, options: str, key: str) -> dict[str, object]:
    """One optimization in a fresh copy of the world's project; what the server saw, and the verdict."""
    project = directory / f"{world}-{seed}"
    shutil.copytree(directory / world, project)
    name = f"{world}-{seed}"
    environ = {
        **os.environ,
        "OPENAI_BASE_URL": f"{base}/v1",
        "OPENAI_API_KEY": ",".join(filter(None, [f"sim,run={name},seed={seed}", key])),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--gepa-optimize",
        "--gepa-reflection-model",
        "sim-reflect",
    ]
    subprocess.run(
        [*command, "--gepa-seed", str(seed), *options.split()], cwd=project, env=environ, capture_output=True
    )
    score = [sys.executable, "score_trace.py", base, name, world]
    reply = subprocess.run(score, cwd=simbench, env=environ, capture_output=True, text=True, check=True)
    found: dict[str, object] = json.loads(reply.stdout)
    result = json.loads(next(project.glob(".gepa/runs/*/result.json")).read_text(encoding="utf-8"))
    print(f"{name}: 90 % {found['reach90']}, 100 % {found['reach100']}, {result['verdict']}", flush=True)
    return {**found, "verdict": result["verdict"], "seconds": result["spent"]["seconds"]}


def show(world: str, rows: list[dict[str, object]]) -> None:
    """One line of the table."""
    cells = [world]
    for key in ("reach90", "reach100"):
        reached = [int(str(row[key])) for row in rows if row[key] is not None]
        spread = f"{min(reached)}-{max(reached)}" if reached else "-"
        cells.append(f"{key}: median {median(reached) if reached else '-'} ({spread}), {len(reached)}/{len(rows)} runs")
    cells.append(f"proven {sum(row['verdict'] == 'proven' for row in rows)}/{len(rows)}")
    cells.append(f"seconds: median {median(float(str(row['seconds'])) for row in rows):.0f}")
    print(" | ".join(cells), flush=True)


if __name__ == "__main__":
    main()
