"""`pytest-gepa undo`: the bytes that `apply` found, back in their files."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_gepa.commands.exit_codes import DONE
from pytest_gepa.commands.project import CommandError, find_project, find_run, runs_of
from pytest_gepa.commands.write_back import KEPT, forget_all_originals, is_applied, originals, write


def run(given: argparse.Namespace) -> int:
    """Bring back the files that an applied patch has changed, of the given run or of the one applied last."""
    project = find_project(given.rootdir)
    directory = _find(project, given.run)
    changes = originals(directory, project)
    write(changes)
    forget_all_originals(directory)
    for change in changes:
        print(
            f"{change.path.relative_to(project.resolve()).as_posix()}: as before run {directory.name} was applied"
        )
    if not changes:
        print(f"The files are as they were before run {directory.name} was applied.")
    return DONE


def _find(project: Path, name: str | None) -> Path:
    if name is not None:
        directory = find_run(project, name)
        if not is_applied(directory):
            raise CommandError(f"run {name} is not applied, so there is nothing to take back")
        return directory
    applied = [directory for directory in runs_of(project) if is_applied(directory)]
    if not applied:
        raise CommandError("no run is applied, so there is nothing to take back")
    return max(applied, key=lambda directory: (directory / KEPT).stat().st_mtime_ns)
