"""Which processes a process has started, as far as the system tells, and how they are ended."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable


def descendants(pid: int) -> list[int]:
    """The children of a process that runs, and theirs, in whatever group; nothing where `/proc` does not tell."""
    found = [pid]
    for parent in found:  # which grows meanwhile
        found += _children(parent)
    return found[1:]


def end_all(pids: Iterable[int]) -> None:
    """End processes at once, those that are there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    tasks = f"/proc/{pid}/task"
    told: list[bytes] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(tasks):
            with contextlib.suppress(OSError), open(f"{tasks}/{task}/children", "rb") as stream:
                told += stream.read().split()
    return [int(child) for child in told]
