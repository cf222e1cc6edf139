"""`pytest-gepa apply`: the texts of a run's patch into the prompt files. It needs no git."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pytest_gepa.commands.asking import agrees, show
from pytest_gepa.commands.exit_codes import DONE, REFUSED
from pytest_gepa.commands.project import CommandError, find_project, find_run, runs_of
from pytest_gepa.commands.write_back import NewContent, forget_originals, inside, keep_originals, write
from pytest_gepa.prompts.git_runs import git_top
from pytest_gepa.prompts.patch_form import blob_hash, visible
from pytest_gepa.prompts.patch_reading import FilePatch, read_patch
from pytest_gepa.run.directory import STATE_DIRECTORY
from pytest_gepa.wording import count


def run(given: argparse.Namespace) -> int:
    """Show what a patch will change, ask, write. Without a terminal and without `--yes` nothing is written."""
    project = find_project(given.rootdir)
    directory, patch_file = _find_patch(project, given.run, given.candidate)
    patch = patch_file.read_bytes()
    files = read_patch(patch)
    paths = _locate(project, files)
    show(patch)
    if all(blob_hash(path.read_bytes()) == file.new for file, path in zip(files, paths, strict=True)):
        print("\nThe files have these texts already.")
        return DONE
    changes = [_change(file, path, directory.name) for file, path in zip(files, paths, strict=True)]
    for file in files:
        added, removed = file.counts
        print(f"{visible(file.path)}: {count(added, 'line')} added, {removed} removed")
    if not (given.yes or agrees(len(files), "applies it")):
        return REFUSED
    keep_originals(directory, project, changes)
    try:
        write(changes)
    except BaseException:
        forget_originals(directory, project, changes)
        raise
    print(f"Applied. `pytest-gepa undo {directory.name}` takes it back.")
    return DONE


RESULT = "result.json"
"""What an optimization that has come to its end leaves, and no other run."""


def _find_patch(project: Path, run: str | None, candidate: str | None) -> tuple[Path, Path]:
    """The run's directory and the patch in it."""
    if run is not None:
        directory = find_run(project, run)
    else:
        # A check, an audit or a baseline proposes nothing, nor does a run that was killed.
        runs = [one for one in runs_of(project) if (one / RESULT).is_file()]
        if not runs:
            raise CommandError(
                f"there is no optimization in {project / STATE_DIRECTORY}; pytest --gepa-optimize makes one"
            )
        directory = runs[0]
    others = sorted(path.stem for path in (directory / "frontier").glob("*.patch"))
    if candidate is not None:
        if candidate not in others:
            raise CommandError(f"run {directory.name} has no candidate {candidate!r}; it has: {_listed(others)}")
        return directory, directory / "frontier" / f"{candidate}.patch"
    path = directory / "best.patch"
    if not path.is_file() and not (directory / RESULT).is_file():
        raise CommandError(
            f"run {directory.name} has no {RESULT}: no optimization that has come to its end, so it proposes nothing"
        )
    if not path.is_file():
        raise CommandError(
            f"run {directory.name} has proven no gain, so it has no best.patch; name a candidate that is not proven "
            f"with --candidate ID ({_listed(others)}), or another run"
        )
    return directory, path


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _locate(project: Path, files: Sequence[FilePatch]) -> list[Path]:
    """The files of a patch, whose paths are relative to the top of the project's git, or to the project without one.

    So the top goes first: below it may lie a file of the same path from the project. Where git is missing now, or was
    then, they are found from elsewhere.
    """
    top = git_top(project)
    for base in (*([] if top is None else [top]), project, *project.parents):
        if all((base / file.path).is_file() for file in files):
            return [inside(project, base / file.path) for file in files]
    missing = next(file.path for file in files if not (project / file.path).is_file())
    raise CommandError(f"{visible(missing)}: there is no such file in {project} nor seen from above it")


def _change(file: FilePatch, path: Path, run: str) -> NewContent:
    data = path.read_bytes()
    if blob_hash(data) != file.old:
        raise CommandError(
            f"{visible(file.path)}: is not as it was when run {run} was made, and nothing was touched; take your "
            "changes back, or make another run"
        )
    return NewContent(path, data, file.apply(data))
