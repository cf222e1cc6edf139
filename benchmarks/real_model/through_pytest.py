"""pytest-gepa on one task, through pytest, in a copy of the task's project; and what its journal tells afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from task import HERE, IN_FLIGHT, PATIENCE, prefix_of, url

SCORE_ONLY = HERE / "score_only"


@dataclass(frozen=True, slots=True)
class Options:
    """How the plugin is called. `rollouts` None is its default budget; `minutes` bounds the search, 0 does not."""

    seed: int
    rollouts: int | None
    minutes: float
    further: tuple[str, ...] = ()


def make_project(task: str, is_score_only: bool, directory: Path) -> Path:
    """A fresh copy of a task, a git repository of its own; for `score only` with tests that tell nothing else."""
    project = directory / "project"
    if project.exists():
        shutil.rmtree(project)
    shutil.copytree(HERE / task, project, ignore=shutil.ignore_patterns("__pycache__", ".gepa", ".pytest_cache"))
    if is_score_only:
        (project / "tests").rename(project / "checked_by")
        (project / "tests").mkdir()
        shutil.copy(SCORE_ONLY / "test_scores.py", project / "tests")
        shutil.copy(SCORE_ONLY / "scores.py", project)
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    return project


def run_plugin(project: Path, reflector: str, options: Options) -> dict[str, Any]:
    """One optimization; what it came to, as fields of a record. Output goes to `pytest.log` beside the project."""
    environ = {
        **os.environ,
        "OPENAI_BASE_URL": url("0.5b"),
        "OPENAI_API_KEY": "none",
        "GEPA_REFLECTION_MODEL": "local",
        "GEPA_REFLECTION_BASE_URL": url(reflector),
        "TASK_MODEL": "local",
    }
    # At temperature 0 answers repeat: one trial a side in the confirm run.
    budget = ["--gepa-trials", "1"]
    budget += [] if options.rollouts is None else ["--gepa-budget", str(options.rollouts)]
    budget += ["--gepa-max-minutes", str(options.minutes)] if options.minutes else []
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--gepa-optimize", "--gepa-seed"),
        *(str(options.seed), "--gepa-concurrency", str(IN_FLIGHT), "-o", f"gepa_timeout={PATIENCE:g}"),
        *("-o", f"gepa_reflection_timeout={PATIENCE:g}"),
        *budget,
        *options.further,
    ]
    with (project.parent / "pytest.log").open("w") as log:
        done = subprocess.run(command, cwd=project, env=environ, stdout=log, stderr=subprocess.STDOUT)
    results = sorted(project.glob(".gepa/runs/*/result.json"))
    if not results:
        raise RuntimeError(f"pytest ended with {done.returncode} and no result: see {project.parent}/pytest.log")
    result = json.loads(results[0].read_text(encoding="utf-8"))
    if result["patch"]:
        subprocess.run(["git", "apply", result["patch"]], cwd=project, check=True)
    curve, searched = _curve(results[0].parent / "journal.jsonl")
    prompt = next((project / "prompts").iterdir()).read_text(encoding="utf-8")
    return {
        "prefix": prefix_of(prompt),
        "rollouts": result["spent"]["rollouts"],
        "reflections": result["spent"]["reflections"],
        "curve": curve,
        "confirm_rollouts": result["spent"]["rollouts"] - searched,
        "note": "",
        "verdict": result["verdict"],
        "p_value": result["p_value"],
        "confirm": {side: [result[side]["passed"], result[side]["total"]] for side in ("baseline", "winner")},
        "tokens": result["spent"]["input_tokens"] + result["spent"]["output_tokens"],
        "ended": result["search_ended"],
    }


def _curve(journal: Path) -> tuple[list[tuple[int, float]], int]:
    """(rollouts, best mean score so far) over the search cases, each time that the best has risen; and all rollouts of
    the search.
    """
    rollouts, best, curve = 0, -1.0, []
    for line in journal.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record["record"] == "rollout" and "confirm" not in record["trial"]:
            rollouts += bool(record["charged"])
        elif record["record"] == "decision" and record["kind"] in ("baseline", "frontier"):
            score = record["scores"][-1] if record["scores"] else None
            if score is not None and score > best:
                best = score
                curve.append((rollouts, round(score, 4)))
    return curve, rollouts
