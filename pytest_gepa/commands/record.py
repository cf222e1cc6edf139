"""`pytest-gepa record`: a run's recording, out of the directory that git ignores."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from pytest_gepa.commands.exit_codes import DONE
from pytest_gepa.commands.project import CommandError, find_project, find_run, runs_of
from pytest_gepa.run.recording import COMMITTED, IN_RUN, read_recording
from pytest_gepa.run.resume import head_of
from pytest_gepa.wording import for_log


def run(given: argparse.Namespace) -> int:
    """Copy it to `gepa_recording`, in place of one that is there."""
    project = find_project(given.rootdir)
    source = _find(project, given.run) / IN_RUN
    _check_files(source)
    recording = read_recording(source)
    target = project / COMMITTED
    if target.exists() and not (target / "recording.json").is_file():
        raise CommandError(f"{target} is there already, and is no recording")
    scratch = project / f".{COMMITTED}.new"
    shutil.rmtree(scratch, ignore_errors=True)
    # The run's directory is private to its owner; what is committed has the modes of ordinary files.
    shutil.copytree(source, scratch, copy_function=shutil.copyfile)
    for directory in (scratch, *(path for path in scratch.rglob("*") if path.is_dir())):
        directory.chmod(0o755)
    if target.exists():
        shutil.rmtree(target)
    os.replace(scratch, target)
    mode = f"--gepa-{recording.mode}{' NAME' * (recording.mode == 'baseline')}"
    head = head_of(source.parent / "journal.jsonl")
    if recording.mode == "check" and head.get("settings", {}).get("revision"):
        # The commit: a branch may stand for another one by then.
        mode += f"={head['base']['name']}"
    said = (
        f"Run {recording.directory_name} is recorded in {os.path.relpath(target)}; commit it, and\n"
        f"`pytest {mode} --gepa-replay=only` replays it without key or network."
    )
    if recording.left_out:
        names = ", ".join(recording.left_out)
        said += f"\nNot in it, as an address has no scheme or holds a secret: {names}; a replay must be given it."
    print(for_log(said))
    return DONE


def _check_files(source: Path) -> None:
    """Raise `CommandError` for a link in a recording, which may come from elsewhere: what it leads to, here, is not to
    be committed. So for what is neither file nor directory."""
    for path in (source, *source.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise CommandError(f"{path}: is no file of its own, but a link or the like; nothing was copied")


def _find(project: Path, name: str | None) -> Path:
    if name is not None:
        directory = find_run(project, name)
        if not (directory / IN_RUN).is_dir():
            raise CommandError(
                f"run {name} left no recording: it was interrupted, made with --gepa-replay=only or =off, or could not "
                "store its answers"
            )
        return directory
    recorded = [directory for directory in runs_of(project) if (directory / IN_RUN).is_dir()]
    if not recorded:
        raise CommandError(
            "no run has left a recording; pytest --gepa-optimize, --gepa-check and --gepa-audit make one"
        )
    return recorded[0]
