"""Changes to files as data, and the one place that writes them: all or none, the bytes before kept."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pytest_gepa.commands.project import CommandError
from pytest_gepa.errors import PatchError
from pytest_gepa.prompts.patch_form import blob_hash
from pytest_gepa.prompts.patch_reading import read_patch

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
    """The file that a path leads to.

    Raises `CommandError` unless it is a regular file of the project, and none of git's own, whose settings and hooks
    are commands.
    """
    file = path.resolve()
    if not file.is_relative_to(project.resolve()):
        raise CommandError(f"{path}: outside of the project {project}")
    if ".git" in map(str.lower, file.relative_to(project.resolve()).parts):
        raise CommandError(f"{path}: leads to a file of git's own")
    if not file.is_file():
        raise CommandError(f"{path}: there is no such file")
    return file


def keep_originals(run: Path, project: Path, changes: Sequence[NewContent]) -> None:
    """Keep the bytes of the files before, in the run's directory, where `originals` finds them.

    What is kept already of other files stays: another candidate of the run has changed those.
    """
    made = [
        (_Kept(_path(project, change), blob_hash(change.old), blob_hash(change.new)), change.old) for change in changes
    ]
    _keep(run, [*_others(run, project, changes), *made])


def forget_originals(run: Path, project: Path, changes: Sequence[NewContent]) -> None:
    """Remove what was kept of those of these files whose bytes are back in their place."""
    back = [change for change in changes if change.path.read_bytes() == change.old]
    if others := _others(run, project, back):
        _keep(run, others)
    else:
        forget_all_originals(run)


def forget_all_originals(run: Path) -> None:
    """Remove all that was kept for a run."""
    shutil.rmtree(run / KEPT)


class _Kept(NamedTuple):
    path: str
    before: str
    after: str


def _path(project: Path, change: NewContent) -> str:
    return change.path.relative_to(project.resolve()).as_posix()


def _others(run: Path, project: Path, changes: Sequence[NewContent]) -> list[tuple[_Kept, bytes]]:
    """What is kept of files that are not among these, with the bytes before."""
    if not is_applied(run):
        return []
    paths = {_path(project, change) for change in changes}
    kept = ((number, _Kept(**entry)) for number, entry in enumerate(_entries(run)))
    return [(one, (run / KEPT / f"{number}.before").read_bytes()) for number, one in kept if one.path not in paths]


def _keep(run: Path, kept: Sequence[tuple[_Kept, bytes]]) -> None:
    scratch = run / f"{KEPT}.new"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(mode=0o700)
    for number, (_, before) in enumerate(kept):
        (scratch / f"{number}.before").write_bytes(before)
    entries = [one._asdict() for one, _ in kept]
    (scratch / _LIST).write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(run / KEPT, ignore_errors=True)
    os.replace(scratch, run / KEPT)


def is_applied(run: Path) -> bool:
    """Whether the bytes before are kept in a run's directory."""
    return (run / KEPT / _LIST).is_file()


def originals(run: Path, project: Path) -> list[NewContent]:
    """What takes an applied patch back. Files that are as before already are left out.

    Raises `CommandError` for a file that is neither as it was left nor as before, when what was kept is damaged, and
    when it is of no patch of the run: a run may come from elsewhere, and what it says is no reason to write a file.
    """
    proposed = set(_proposed(run, project))
    changes = []
    for number, entry in enumerate(_entries(run)):
        before = (run / KEPT / f"{number}.before").read_bytes()
        if blob_hash(before) != entry["before"]:
            raise CommandError(f"{run / KEPT}: what was kept of {entry['path']} is damaged")
        path = inside(project, project / entry["path"])
        if (path, entry["before"], entry["after"]) not in proposed:
            raise CommandError(
                f"{entry['path']}: no patch of run {run.name} has made it what it is, and nothing was touched; what "
                f"was kept of it is {run / KEPT / f'{number}.before'}"
            )
        now = path.read_bytes()
        if blob_hash(now) == entry["after"]:
            changes.append(NewContent(path, now, before))
        elif now != before:
            raise CommandError(
                f"{entry['path']}: was changed since the patch was applied, and nothing was touched; take those "
                f"changes back first, or copy what you need from {run / KEPT / f'{number}.before'}"
            )
    return changes


def _proposed(run: Path, project: Path) -> Iterator[tuple[Path, str, str]]:
    """The files that patches of a run change, with the hashes of their bytes before and after."""
    for patch in (run / "best.patch", *sorted((run / "frontier").glob("*.patch"))):
        try:
            files = read_patch(patch.read_bytes())
        except (OSError, PatchError):  # a patch that cannot be read was not applied
            continue
        for file in files:
            # Paths are relative to the project or to a directory above it: the top of its git.
            yield from (((base / file.path).resolve(), file.old, file.new) for base in (project, *project.parents))


def write(changes: Sequence[NewContent]) -> None:
    """Write all files, or none: on failure those that are written already get their old bytes back.

    Raises `CommandError` for a file that cannot be written.
    """
    for change in changes:
        if not os.access(change.path, os.W_OK):
            raise CommandError(f"{change.path}: is read-only, and nothing was touched; make it writable first")
    done: list[NewContent] = []
    try:
        for change in changes:
            done.append(change)
            _replace(change.path, change.old, change.new)
    except BaseException as error:
        for change in done:
            with contextlib.suppress(OSError, CommandError):
                if change.path.stat().st_nlink > 1:
                    change.path.write_bytes(change.old)  # it may have come halfway
                else:
                    _replace(change.path, change.new, change.old)
        if isinstance(error, OSError):
            left = [str(change.path) for change in done if change.path.read_bytes() != change.old]
            what = f"{', '.join(left)} could not be put back, undo it later" if left else "nothing was changed"
            raise CommandError(f"{done[-1].path}: cannot be written: {error}; {what}") from error
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
