"""The append-only record of a run, one JSON object a line; everything else can be rebuilt from it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeAlias

from pytest_gepa.codec import to_json
from pytest_gepa.own import OwnName
from pytest_gepa.redaction import without_secrets
from pytest_gepa.suite.rollout import Rollout

_Names: TypeAlias = tuple[OwnName, ...]

OWN_FIELDS: Mapping[str, Any] = {
    **dict.fromkeys(("type", "phase", "purpose", "kind", "origin", "state"), OwnName),
    **dict.fromkeys(("run", "candidate", "parent", "winner", "other", "proposal", "id"), OwnName),
    **dict.fromkeys(("case", "trial", "component", "outcome"), OwnName),
    **dict.fromkeys(("rivals", "cases", "failing", "neighbours", "changed"), _Names),
    **dict.fromkeys(("uses", "reads", "imported", "carried", "asked_before", "unopened"), _Names),
    "components": _Names | Mapping[OwnName, str],
    "ancestor": Mapping[OwnName, str],
}
"""The fields of records, by name, that hold texts of ours, with their types; those of dataclasses in them say so
themselves."""


class Journal:
    """Writes records to `path`. Every text passes through `redact` before it reaches the disk, each by itself, but for
    names of ours (`OWN_FIELDS`).

    A record is handed to the system when it is written: what was paid for is on disk when the process dies. One that
    cannot be written, as the disk is full, leaves no part of itself to which the next would be glued.
    """

    def __init__(self, path: Path, redact: Callable[[str], str]) -> None:
        self.redact = redact
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab", buffering=0)
        _lock(self._file.fileno())
        self._number = 0
        self._is_torn = False

    def write(self, record: str, /, **data: Any) -> None:
        """Append a record of the kind `record`; values are anything that `codec.to_json` takes."""
        self.write_clean(record, **{name: cleaned(name, value, self.redact) for name, value in data.items()})

    def write_clean(self, record: str, /, **data: Any) -> None:
        """The same for values that are without secrets."""
        self._number += 1
        values = {"n": self._number, "record": record, **to_json(data)}
        # What UTF-8 cannot hold, half of a surrogate pair, becomes the escape by which JSON spells it.
        line = json.dumps(values, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
        self._append(b"\n" + line if self._is_torn else line)

    def _append(self, data: bytes) -> None:
        before = os.fstat(self._file.fileno()).st_size
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except BaseException:
            try:
                os.ftruncate(self._file.fileno(), before)
            except OSError:
                self._is_torn = True
            raise
        self._is_torn = False

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def cleaned(name: str, value: Any, redact: Callable[[str], str]) -> Any:
    """The value of a field of a record, without secrets, as a journal has it."""
    return without_secrets(value, redact, OWN_FIELDS.get(name))


def is_being_written(path: Path) -> bool:
    """Whether a run that goes on writes this journal; never where the system knows no such locks (Windows)."""
    with path.open("rb") as stream:
        return not _lock(stream.fileno(), is_own=False)


def _lock(descriptor: int, *, is_own: bool = True) -> bool:
    """Take the lock on a journal, which goes with the process; False where it is another process's own.

    Those that only look do not stand in each other's way. Nobody waits: a run must not hang on its lock.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if is_own else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a journal. A line that is none is left out: the last one may have been cut off by a crash, and one
    before it by a full disk.
    """
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                yield record


def as_fields(record: Any) -> dict[str, object]:
    """A dataclass as keyword arguments for the journal."""
    return {item.name: getattr(record, item.name) for item in fields(record)}


def rollout_fields(rollout: Rollout) -> dict[str, object]:
    """A rollout for the journal: pytest's reports say again what its trajectory holds."""
    return {**as_fields(rollout), "reports": ()}


def attempt_fields(rollout: Rollout) -> dict[str, object]:
    """An attempt that may be run again, for the journal: how many were paid for by then, for a run that resumes."""
    paid = rollout.charged + rollout.in_vain
    return {"candidate": rollout.candidate, "case": rollout.case, "trial": rollout.trial, "paid": paid}
