"""A file to which several processes write, a line of JSON at a time, and of which one reads what is new."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any


def append(path: Path, value: object) -> None:
    """Add a line. Raises `OSError`, also where the disk had room for a part of it only."""
    line = json.dumps(value).encode() + b"\n"
    # One write to the end of the file: lines of several processes do not mix.
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        written = os.write(descriptor, line)
    finally:
        os.close(descriptor)
    if written < len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


class NewLines:
    """Reads such a file, from where it stopped the last time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._done = 0

    def take(self) -> list[Any]:
        """What was written since. None stands for the beginning of a line for which the disk had no room, with another
        line behind it.
        """
        try:
            with open(self._path, "rb") as stream:
                stream.seek(self._done)
                data = stream.read()
        except FileNotFoundError:  # nobody has written
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._done += len(whole)
        return [_parsed(line) for line in whole.splitlines()]


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
