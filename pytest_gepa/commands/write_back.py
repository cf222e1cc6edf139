"""Changes to files as data, and the one place that writes them: all or none, the bytes before kept."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_gepa.commands.project import CommandError
from pytest_gepa.prompts.patch_form import blob_hash

KEPT = "applied"
"""The directory in a run's own that keeps the bytes before, while its patch is applied."""

_LIST = "applied.json"


@dataclass(frozen=True, slots=True)
class NewContent:
    """The new bytes of one file; `path` is that of the file itself, links resolved."""

    path: Path
    old: bytes
    new: bytes


def inside(project: Path, path: Path) -> Path:
    """The file that a path leads to. Raises `CommandError` unless it is a regular file of the project."""
    file = path.resolve()
    if not file.is_relative_to(project.resolve()):
        raise CommandError(f"{path}: outside of the project {project}")
    if not file.is_file():
        raise CommandError(f"{path}: there is no such file")
    return file


def keep_originals(run: Path, project: Path, changes: Sequence[NewContent]) -> None:
    """Keep the bytes of the files before, in the run's directory, where `originals` finds them."""
    scratch = run / f"{KEPT}.new"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(mode=0o700)
    entries = []
    for number, change in enumerate(changes):
        (scratch / f"{number}.before").write_bytes(change.old)
        entries.append(
            {
                "path": change.path.relative_to(project.resolve()).as_posix(),
                "before": blob_hash(change.old),
                "after": blob_hash(change.new),
            }
        )
    (scratch / _LIST).write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(run / KEPT, ignore_errors=True)
    os.replace(scratch, run / KEPT)


def is_applied(run: Path) -> bool:
    """Whether the bytes before are kept in a run's directory."""
    return (run / KEPT / _LIST).is_file()


def originals(run: Path, project: Path) -> list[NewContent]:
    """What takes an applied patch back. Files that are as before already are left out.

    Raises `CommandError` for a file that is neither as it was left nor as before, and when what was kept is damaged.
    """
    changes = []
    for number, entry in enumerate(_entries(run)):
        before = (run / KEPT / f"{number}.before").read_bytes()
        if blob_hash(before) != entry["before"]:
            raise CommandError(f"{run / KEPT}: what was kept of {entry['path']} is damaged")
        path = inside(project, project / entry["path"])
        now = path.read_bytes()
        if blob_hash(now) == entry["after"]:
            changes.append(NewContent(path, now, before))
        elif now != before:
            raise CommandError(
                f"{entry['path']}: was changed since the patch was applied, and nothing was touched; take those "
                f"changes back first, or copy what you need from {run / KEPT / f'{number}.before'}"
            )
    return changes


def forget_originals(run: Path) -> None:
    """Remove what was kept, once it is back in its place."""
    shutil.rmtree(run / KEPT)


def write(changes: Sequence[NewContent]) -> None:
    """Write all files, or none: on failure those that are written already get their old bytes back.

    Raises `CommandError` for a file that cannot be written.
    """
    for change in changes:
        if not os.access(change.path, os.W_OK):
            raise CommandError(
                f"{change.path}: is read-only, and nothing was touched; make it writable first"
            )
    done: list[NewContent] = []
    try:
        for change in changes:
            done.append(change)
            _replace(change.path, change.old, change.new)
    except BaseException as error:
        for change in done:
            with contextlib.suppress(OSError, CommandError):
                _replace(change.path, change.new, change.old)
        if isinstance(error, OSError):
            raise CommandError(f"{done[-1].path}: cannot be written: {error}; nothing was changed") from error
        raise


def _replace(path: Path, old: bytes, new: bytes) -> None:
    """Put new bytes in the place of a file's, as one step for whoever reads it; mode and owner stay."""
    if path.read_bytes() != old:
        raise CommandError(f"{path}: is being changed by somebody else; nothing was changed")
    about = path.stat()
    if about.st_nlink > 1:
        # Its other names would keep the old bytes if it were replaced.
        path.write_bytes(new)
        return
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(new)
            stream.flush()
            os.fsync(stream.fileno())
        shutil.copymode(path, name)
        if hasattr(os, "chown") and (about.st_uid, about.st_gid) != (os.geteuid(), os.getegid()):
            with contextlib.suppress(PermissionError):
                os.chown(name, about.st_uid, about.st_gid)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _entries(run: Path) -> list[dict[str, str]]:
    try:
        entries = json.loads((run / KEPT / _LIST).read_bytes())
        return [{name: str(entry[name]) for name in ("path", "before", "after")} for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandError(f"{run / KEPT / _LIST}: cannot be read: {error!r}") from None
