"""`pytest-gepa show`: a run's report, in the terminal."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_gepa.commands.exit_codes import DONE
from pytest_gepa.commands.project import CommandError, find_project, find_run, runs_of
from pytest_gepa.commands.runs import REPORTS
from pytest_gepa.run.directory import STATE_DIRECTORY
from pytest_gepa.wording import for_log


def run(given: argparse.Namespace) -> int:
    """Print the report that is written as Markdown."""
    project = find_project(given.rootdir)
    report = _find(project, given.run)
    for line in report.read_text(encoding="utf-8", errors="replace").splitlines():
        print(for_log(line))
    return DONE


def _find(project: Path, name: str | None) -> Path:
    runs = [find_run(project, name)] if name is not None else runs_of(project)
    found = [directory / report for directory in runs for report in REPORTS.values()]
    for report in found:
        if report.is_file():
            return report
    where = f"run {name} has" if name is not None else f"the runs in {project / STATE_DIRECTORY} have"
    raise CommandError(f"{where} left no report: cut off before it was written? pytest-gepa runs lists all")
