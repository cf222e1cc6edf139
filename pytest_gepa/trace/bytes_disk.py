"""The only way in which diskcache may store and load for us: strings for keys, bytes for values, nothing
unpickled.

diskcache's own `Disk` unpickles rows that say so (CVE-2025-69872), and so does its `JSONDisk`; both open, and
remove, any file that a row names. Whoever can write to the cache's directory could run code in the test
process.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import diskcache
from diskcache.core import MODE_BINARY, MODE_RAW, UNKNOWN

_OWN_FILE = re.compile(r"[0-9a-f]{2}[/\\][0-9a-f]{2}[/\\][0-9a-f]{28}\.val")


class Refused(OSError):
    """A row that is not of our making. diskcache takes an `OSError` from `fetch` for a missing key."""


class Database(diskcache.Cache):  # type: ignore[misc]
    """A diskcache that leaves no connection behind when it cannot be opened.

    Python would warn of it later, in the middle of somebody's test.
    """

    def __init__(self, directory: str, timeout: float, **settings: Any) -> None:
        try:
            super().__init__(directory, timeout=timeout, disk=BytesDisk, **settings)
        except Exception:
            with contextlib.suppress(Exception):
                self.close()
            raise


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
