"""The prompt files of the user, which no case may change: what is not as it was is told."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


class UserFiles:
    """Files as they were when the run began."""

    def __init__(self, files: Iterable[Path], root: str) -> None:
        self._before = {file: _bytes(file) for file in files}
        self._root = root

    @property
    def problems(self) -> tuple[str, ...]:
        """A sentence for each file that is another one by now."""
        return tuple(
            f"{os.path.relpath(file, self._root)} is not what it was when this run began: a test, a program that one "
            "starts, or an editor has written to it"
            for file, before in self._before.items()
            if _bytes(file) != before
        )


def _bytes(file: Path) -> bytes | None:
    """None for a file that is not there."""
    try:
        return file.read_bytes()
    except OSError:
        return None
