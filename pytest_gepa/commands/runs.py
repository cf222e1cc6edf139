"""`pytest-gepa runs`: what was run in this project, and what came of it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_gepa.commands.exit_codes import DONE
from pytest_gepa.commands.project import find_project, runs_of
from pytest_gepa.run.directory import SAVED, STATE_DIRECTORY
from pytest_gepa.run.journal import is_being_written
from pytest_gepa.run.resume import head_of, is_stored
from pytest_gepa.wording import count, points, printable

SHOWN = 20
"""Runs that are listed unless all are asked for."""

REPORTS = {"result.json": "report.md", "check.json": "check.md", "audit.json": "audit.md"}
"""What a mode of run leaves: its result, and the report to be read."""


def run(given: argparse.Namespace) -> int:
    """List the runs, newest first."""
    project = find_project(given.rootdir)
    found = runs_of(project)
    shown = found if given.all else found[:SHOWN]
    heads = {directory: head_of(directory / "journal.jsonl") for directory in found}
    followed = {str(head.get("resumes", "")) for head in heads.values()}
    rows = [_row(directory, heads[directory], directory.name in followed) for directory in shown]
    widths = [max(map(len, column), default=0) for column in zip(*rows, strict=True)]
    for row in rows:
        print(printable("  ".join(map(str.ljust, row, widths))).rstrip())
    if not found:
        print(f"{project / STATE_DIRECTORY}: no run yet")
    elif len(found) > len(shown):
        print(f"and {count(len(found) - len(shown), 'older run')}: pytest-gepa runs --all")
    return DONE


def _row(directory: Path, head: Mapping[str, Any], is_followed: bool) -> tuple[str, str, str, str, str]:
    """Name, mode, verdict, what was paid for, how to go on."""
    result = _result(directory)
    # A check that has found no prompt changed keeps no journal.
    unknown = "check" if (directory / "check.json").is_file() else "?"
    mode = str(head.get("settings", {}).get("mode", unknown))
    spent = result.get("spent")
    rollouts = spent.get("rollouts") if isinstance(spent, dict) else None
    paid = count(rollouts, "rollout") if isinstance(rollouts, int) else ""
    verdict = _verdict(directory, result)
    can_go_on = is_stored(head) and not is_followed and verdict in ("cut off", "not confirmed")
    hint = f"pytest --gepa-resume={directory.name}" if can_go_on else ""
    return directory.name, mode, verdict, paid, hint


def _result(directory: Path) -> dict[str, Any]:
    """What the run found, {} for one without a result that can be read."""
    for name in (*REPORTS, SAVED):
        try:
            found = json.loads((directory / name).read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(found, dict):
            return found
    return {}


def _verdict(directory: Path, result: Mapping[str, Any]) -> str:
    if "is_finished" in result:
        return "finished" if result["is_finished"] else "not finished"
    verdict = str(result.get("verdict") or "")
    if verdict:
        effect = result.get("effect")
        if verdict in ("proven", "not proven", "worse") and isinstance(effect, float):
            return f"{verdict}, {points(effect)}"
        return verdict
    try:
        return "goes on" if is_being_written(directory / "journal.jsonl") else "cut off"
    except OSError:
        return "cut off"
