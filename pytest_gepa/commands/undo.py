"""`pytest-gepa undo`: the bytes that `apply` found, back in their files."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_gepa.commands.asking import agrees, show
from pytest_gepa.commands.exit_codes import DONE, REFUSED
from pytest_gepa.commands.project import CommandError, find_project, find_run, runs_of
from pytest_gepa.commands.write_back import KEPT, forget_all_originals, is_applied, originals, write
from pytest_gepa.prompts.patch import FileChange, make_patch
from pytest_gepa.prompts.patch_form import visible


def run(given: argparse.Namespace) -> int:
    """Show what bringing back the files that an applied patch has changed will change, ask, write.

    The patch is that of the given run, or the one applied last. Without a terminal and without `--yes` nothing is
    written.
    """
    project = find_project(given.rootdir)
    directory = _find(project, given.run)
    changes = originals(directory, project)
    names = [change.path.relative_to(project.resolve()).as_posix() for change in changes]
    if changes:
        before = zip(names, changes, strict=True)
        show(make_patch([FileChange(name, change.old, change.new) for name, change in before], []))
        if not (given.yes or agrees(len(changes), "takes it back")):
            return REFUSED
    write(changes)
    forget_all_originals(directory)
    for name in names:
        print(f"{visible(name)}: as before run {directory.name} was applied")
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
