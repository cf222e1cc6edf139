"""The only way in which diskcache may store and load for us: strings for keys, bytes for values, nothing
unpickled.

diskcache's own `Disk` unpickles rows that say so (CVE-2025-69872), and so does its `JSONDisk`; both open, and
remove, any file that a row names. Whoever can write to the cache's directory could run code in the test
process.
"""

from __future__ import annotations

import contextlib
import math
import re
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diskcache
from diskcache.core import DBNAME, DEFAULT_SETTINGS, METADATA, MODE_BINARY, MODE_RAW, UNKNOWN

# By default diskcache drops rows at 1 GiB. All settings are given, lest a planted row is one.
_SETTINGS = {
    **DEFAULT_SETTINGS,
    "eviction_policy": "none",
    "cull_limit": 0,
    "statistics": 0,
    "tag_index": 0,
    "disk_min_file_size": 2**15,
}

_DAY = 86_400.0
# The time at which a row expires tells when it was wanted: so much before. diskcache reads it at no cost with a
# value, where its own eviction policies write at each read. No row ever expires by any clock that a test may set:
# the last day that Python knows comes long before.
_LIFE = 10_000 * 365 * _DAY

_OWN_FILE = re.compile(r"[0-9a-f]{2}[/\\][0-9a-f]{2}[/\\][0-9a-f]{28}\.val")


class Refused(OSError):
    """A row that is not of our making. diskcache takes an `OSError` from `fetch` for a missing key."""


class Database(diskcache.Cache):  # type: ignore[misc]
    """A diskcache of bytes that knows which of them nobody has wanted for long.

    It leaves no connection behind when it cannot be opened: Python would warn of it later, in the middle of
    somebody's test. Its methods raise what diskcache and SQLite raise. `now` tells the true time, where diskcache goes
    by `time.time`, which a test may have set.
    """

    def __init__(self, directory: str, timeout: float, now: Callable[[], float]) -> None:
        self._true_time = now
        _refuse_planted_settings(Path(directory) / DBNAME, timeout)
        try:
            super().__init__(directory, timeout=timeout, disk=BytesDisk, **_SETTINGS)
        except Exception:
            with contextlib.suppress(Exception):
                self.close()
            raise

    def find(self, key: str) -> bytes | None:
        """The bytes of a key, which is noted as wanted, to the day."""
        value, expires = self.get(key, expire_time=True)
        if value is None:
            return None
        if not isinstance(expires, float) or expires < self._true_time() + _LIFE - _DAY:
            # A reader must not fail for the sake of a note.
            with contextlib.suppress(diskcache.Timeout):
                self.touch(key, expire=self._life())
        found: bytes = value
        return found

    def keep(self, key: str, value: bytes) -> None:
        """Store the bytes of a key."""
        self.set(key, value, expire=self._life())

    def names(self) -> list[str]:
        """All keys that are text."""
        rows = self._sql("SELECT key FROM Cache ORDER BY key").fetchall()
        return [key for (key,) in rows if type(key) is str]

    def figures(self) -> tuple[int, int, float | None, float | None]:
        """Bytes on disk, number of rows, and when the oldest and the newest of them were wanted."""
        ((entries, oldest, newest),) = self._sql(
            "SELECT COUNT(*), MIN(expire_time), MAX(expire_time) FROM Cache"
        ).fetchall()
        return self.volume(), entries, _wanted(oldest), _wanted(newest)

    def trim(self, limit: int, target: int) -> int:
        """Where more than `limit` bytes are on disk, remove the oldest rows down to `target`; how many went."""
        removed = 0
        if self.volume() <= limit:
            return 0
        while (excess := self.volume() - target) > 0:
            # Where nothing has expired another process has trimmed meanwhile, or rows have no time: those are not ours.
            count = self.expire(now=self._cutoff(excess)) or self._remove_strange()
            if not count:
                return removed
            removed += count
        return removed

    def _remove_strange(self) -> int:
        """Remove the rows that are not of our making, as they say nothing of when they were wanted; how many went."""
        strange = "FROM Cache WHERE typeof(expire_time) != 'real'"
        files = self._sql(f"SELECT filename {strange} AND filename IS NOT NULL").fetchall()
        removed = int(self._sql(f"DELETE {strange}").rowcount)
        for (name,) in files:
            self._disk.remove(name)
        return removed

    def _life(self) -> float:
        """What diskcache is to add to its time so that it comes to `_LIFE` from the true one."""
        return self._true_time() + _LIFE - time.time()

    def _cutoff(self, excess: int) -> float:
        """The time before which the rows hold so many bytes; the end of time when all of them hold less."""
        rows = self._sql("SELECT expire_time, size + LENGTH(COALESCE(value, '')) FROM Cache ORDER BY expire_time")
        with contextlib.closing(rows):
            for when, size in rows:
                excess -= size
                if excess <= 0 and isinstance(when, float):
                    return math.nextafter(when, math.inf)
        return math.inf


def _wanted(expires: object) -> float | None:
    """When a row was wanted, by the time at which it expires; None for one that is not of our making."""
    return expires - _LIFE if isinstance(expires, float) else None


def _refuse_planted_settings(path: Path, timeout: float) -> None:
    """Raise `Refused` for a setting that diskcache does not have: it would make any row an attribute of its own."""
    if not path.exists():
        return
    with contextlib.closing(sqlite3.connect(path, timeout=timeout)) as connection:
        try:
            names = {name for (name,) in connection.execute("SELECT key FROM Settings")}
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return
    planted = names - {*DEFAULT_SETTINGS, *METADATA}
    if planted:
        raise Refused(f"a setting that is not diskcache's: {sorted(map(str, planted))[0]}")


class BytesDisk(diskcache.Disk):  # type: ignore[misc]
    """Stores and accepts bytes only, in the row or in a file of the name that diskcache gives."""

    def put(self, key: Any) -> tuple[str, bool]:
        """A key as it goes into the table. Raises `TypeError` for anything but a string."""
        if type(key) is not str:
            raise TypeError(f"keys are strings, not {type(key).__name__}")
        return key, True

    def get(self, key: Any, raw: Any) -> str:
        """A key as it comes from the table."""
        if type(key) is not str:
            raise Refused("a key that is no string")
        return key

    def store(self, value: Any, read: bool, key: Any = UNKNOWN) -> Any:
        """The columns of a value. Raises `TypeError` for anything but bytes."""
        if type(value) is not bytes or read:
            raise TypeError(f"values are bytes, not {type(value).__name__}")
        return super().store(value, read, key=key)

    def fetch(self, mode: Any, filename: Any, value: Any, read: bool) -> bytes:
        """A value from its columns; `Refused` for whatever `store` does not make."""
        if mode == MODE_RAW and filename is None and type(value) is bytes:
            return value
        if mode == MODE_BINARY and value is None and not read:
            return self._own(filename).read_bytes()
        raise Refused(f"a row of mode {mode!r}")

    def remove(self, file_path: Any) -> None:
        """Remove the file of a row that is replaced, if it is one of ours."""
        try:
            self._own(file_path)
        except Refused:
            return
        super().remove(file_path)

    def _own(self, filename: Any) -> Path:
        """The full path of a file that a row names: of diskcache's own pattern, no link on the way, a regular
        file."""
        if type(filename) is not str or not _OWN_FILE.fullmatch(filename):
            raise Refused("a file name that is not of our making")
        path = Path(self._directory).resolve() / filename
        if path.resolve() != path or not path.is_file():
            raise Refused("a file outside the cache")
        return path
