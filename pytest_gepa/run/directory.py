"""The run directory: made at the start, filled at the end, private to the user."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from pytest_gepa.errors import GepaError

STATE_DIRECTORY = ".gepa"

SAVED = "saved.json"
"""What a run leaves in its directory that has saved a baseline, or could not."""


def state_directory(rootdir: Path) -> Path:
    """`.gepa` in the rootdir, which git ignores without being told. Raises `GepaError` where it cannot be written."""
    directory = rootdir / STATE_DIRECTORY
    with _writable(directory):
        directory.mkdir(mode=0o700, exist_ok=True)
        ignore = directory / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    return directory


def new_run_directory(rootdir: Path, today: date) -> Path:
    """Make `.gepa/runs/<YYYY-MM-DD>-<n>`, mode 0700, with an n above those of the day's other runs: by its name it is
    the newest, and what is told of a run that was deleted among them is not taken for this one's.

    Raises `GepaError` where it cannot be made.
    """
    runs = state_directory(rootdir) / "runs"
    with _writable(runs):
        runs.mkdir(mode=0o700, exist_ok=True)
        day = today.isoformat()
        taken = (path.name.removeprefix(f"{day}-") for path in runs.glob(f"{day}-*"))
        number = 1 + max((int(one) for one in taken if one.isdecimal()), default=0)
        while True:
            directory = runs / f"{day}-{number}"
            try:
                directory.mkdir(mode=0o700)
            except FileExistsError:
                number += 1
            else:
                return directory


@contextmanager
def _writable(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise GepaError(
            f"runs are kept in {directory}, which cannot be written ({error}); make it a directory that you may write, "
            "or give a rootdir in which you may: --rootdir"
        ) from None


def name_in_trials(directory: Path) -> str:
    """The name of a run in those of its trials, which no other run has.

    The name of a directory may be given once more when that is deleted; what is in the cache must not be taken for this
    run's.
    """
    return f"{directory.name}.{secrets.token_hex(4)}"


def write_file(path: Path, data: bytes) -> None:
    """Write a file that only the user can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)


def write_text(path: Path, text: str) -> None:
    """Write a text that only the user can read, in UTF-8."""
    # Half of a surrogate pair, which UTF-8 cannot hold, becomes the escape by which JSON spells it.
    write_file(path, text.encode("utf-8", "backslashreplace"))
