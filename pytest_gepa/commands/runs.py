"""`pytest-gepa runs`: what was run in this project, and what came of it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pytest_gepa.cli import DONE
from pytest_gepa.commands.project import find_project, runs_of
from pytest_gepa.journal import is_being_written, read_journal
from pytest_gepa.report.wording import count, points, printable

SHOWN = 20
"""Runs that are listed unless all are asked for."""

REPORTS = {"result.json": "report.md", "check.json": "check.md", "audit.json": "audit.md"}
"""What a mode of run leaves: its result, and the report to be read."""


def run(given: argparse.Namespace) -> int:
    """List the runs, newest first."""
    project = find_project(given.rootdir)
    found = runs_of(project)
    shown = found if given.all else found[:SHOWN]
    rows = [_row(directory) for directory in shown]
    widths = [max(map(len, column), default=0) for column in zip(*rows, strict=True)]
    for row in rows:
        print(printable("  ".join(map(str.ljust, row, widths))).rstrip())
    if not found:
        print(f"{project / '.gepa'}: no run yet")
    elif len(found) > len(shown):
        print(f"and {count(len(found) - len(shown), 'older run')}: pytest-gepa runs --all")
    return DONE


def _row(directory: Path) -> tuple[str, str, str, str, str]:
    """Name, mode, verdict, what was paid for, how to go on."""
    mode, result = _mode(directory), _result(directory)
    spent = result.get("spent", {}).get("rollouts")
    paid = count(spent, "rollout") if isinstance(spent, int) else ""
    verdict = _verdict(directory, mode, result)
    can_go_on = mode == "optimize" and verdict in ("cut off", "not confirmed")
    return (
        directory.name,
        mode,
        verdict,
        paid,
        f"pytest --gepa-resume={directory.name}" if can_go_on else "",
    )


def _mode(directory: Path) -> str:
    journal = directory / "journal.jsonl"
    first = next(read_journal(journal), {}) if journal.is_file() else {}
    return str(first.get("settings", {}).get("mode", "?"))


def _result(directory: Path) -> dict[str, Any]:
    """What the run found, {} for one without a result that can be read."""
    for name in REPORTS:
        try:
            found = json.loads((directory / name).read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(found, dict):
            return found
    return {}


def _verdict(directory: Path, mode: str, result: dict[str, Any]) -> str:
    if "is_finished" in result:
        return "finished" if result["is_finished"] else "not finished"
    verdict = str(result.get("verdict", ""))
    if verdict:
        effect = result.get("effect")
        if verdict in ("proven", "not proven", "worse") and isinstance(effect, float):
            return f"{verdict}, {points(effect)}"
        return verdict
    journal = directory / "journal.jsonl"
    return "goes on" if journal.is_file() and is_being_written(journal) else "cut off"
