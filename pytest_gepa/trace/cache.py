"""The response cache: answers on disk by the content of their request, so that each is paid for once.

What may be stored, and when a stored answer is used, is decided in `exchange`; the keys are made in `keys`.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_gepa.trace.flights import Flights
from pytest_gepa.trace.fork_lock import ForkLock

TRIM_TO = 0.9
"""A cache that has outgrown its limit is cut to this share of it, so that not every run must cut."""

LACKING = "lacking"
"""The file beside the answers of a run that tells why some of them may not be there."""

_TIMEOUT = 10.0
"""Seconds that a database is waited for which another process is writing to, by each use of it."""

TRIES = 2
"""So often it is tried to store an answer, which has been paid for, each time for as long as that."""


def true_time(_clock: Callable[[], float] = time.time) -> float:
    """Seconds since 1970, also while a test has set the time: this module is imported before one runs, and what
    freezes the time looks for its functions in modules, not among defaults."""
    return _clock()


@dataclass(frozen=True, slots=True)
class CacheFigures:
    """What a cache holds: bytes on disk, answers, and when (seconds since 1970) the one that was left alone for
    longest, and the one that was wanted last, were last stored or used, to the day. None where there are no
    answers."""

    size: int
    entries: int
    oldest: float | None
    newest: float | None


class ResponseCache:
    """Bytes by string keys in a directory of its own, shared by processes; a failure is a miss, never raised.

    The database is opened at the first use, so that a process may fork before; a child that inherits an open
    one opens its own. When it cannot be opened, or fails for good, `broken` says why and nothing is stored or
    found any more; `on_break` is told why, once. `on_drop` is told why an answer was not stored, and others may be.
    `flights` are the requests whose answers are awaited for it.
    """

    def __init__(
        self,
        directory: Path,
        on_break: Callable[[str], None] = lambda why: None,
        on_drop: Callable[[str], None] = lambda why: None,
    ) -> None:
        self.directory = directory
        self._on_break = on_break
        self._on_drop = on_drop
        self.broken = ""
        self.flights = Flights(directory / "flights")
        self._lock = ForkLock()
        self._dropped = ""
        self._database: Any = None
        self._pid = 0
        self._depth = 0
        self._counts_for = 0
        self._inherited: list[Any] = []

    def get(self, key: str) -> bytes | None:
        """The bytes stored under a key; None when there are none, or when the row is not of our making."""
        value = self._use(lambda database: database.find(key))
        return value if isinstance(value, bytes) else None

    def put(self, key: str, value: bytes) -> bool:
        """Store bytes under a key, in place of any before; dropped when the database is busy for too long. Says whether
        they are stored.
        """

        def keep(database: Any) -> bool:
            database.keep(key, value)
            return True

        for _ in range(TRIES):
            if self._use(keep):
                return True
            if self.broken:
                return False
        self._dropped = "the database was busy for too long"
        self._on_drop(self._dropped)
        return False

    def items(self) -> Iterator[tuple[str, bytes]]:
        """All keys and bytes that are of our making, by key."""
        for key in self._use(lambda database: database.names()) or ():
            value = self.get(key)
            if value is not None:
                yield key, value

    def note_lack(self, why: str) -> None:
        """Note for all who share the directory that an answer could not be stored, as far as the disk lets us."""
        with contextlib.suppress(OSError):
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.directory / LACKING).write_text(why, encoding="utf-8")

    def lack(self) -> str:
        """Why answers may be missing that a process was to store here, "" where none is known to be."""
        try:
            noted = (self.directory / LACKING).read_text(encoding="utf-8") or "no room to say why"
        except OSError:
            noted = ""
        return self.broken or self._dropped or noted

    def figures(self) -> CacheFigures | None:
        """What is stored; None when the database cannot be read."""
        found = self._use(lambda database: database.figures())
        return None if found is None else CacheFigures(*found)

    def trim(self, limit: int) -> int:
        """Remove answers until at most `limit` bytes are on disk, those first that nobody has wanted for longest;
        tells how many went."""
        return self._use(lambda database: database.trim(limit, int(TRIM_TO * limit))) or 0

    def clear(self) -> None:
        """Remove every answer. What is no database of ours is removed as a whole."""
        self._use(lambda database: database.clear())
        if self.broken:
            self.close()
            shutil.rmtree(self.directory)
            self.broken = ""

    def close(self) -> None:
        """Close the database; the next use opens it again."""
        self.flights.close()
        with self._lock:
            atexit.unregister(self.close)
            database, self._database = self._database, None
            if database is not None and self._pid == os.getpid():
                with contextlib.suppress(Exception):
                    database.close()

    def _use(self, operation: Callable[[Any], Any]) -> Any:
        """The result of an operation on the database, None when it fails or there is none."""
        with self._lock:
            # Within an operation another may begin, where what is collected as garbage ends a stream.
            if self._counts_for != os.getpid():
                self._counts_for, self._depth = os.getpid(), 0
            self._depth += 1
            try:
                database = self._open()
                return None if database is None else operation(database)
            except Exception as error:
                self._judge(error)
                return None
            finally:
                self._depth -= 1
                if not self._depth:
                    self._leave_thread()

    def _open(self) -> Any:
        """The database of this process, None when broken. The caller holds the lock."""
        if self.broken:
            return None
        if self._database is not None and self._pid != os.getpid():
            # SQLite forbids to touch a connection that came through a fork, be it to close it: keep it and
            # forget it.
            self._inherited.append(self._database)
            self._database = None
        if self._database is None:
            # Imported here: SQLite and diskcache cost some 20 ms, and most processes have no use for them.
            from pytest_gepa.trace.bytes_disk import Database

            path = str(self.directory.absolute())
            if os.path.expandvars(path) != path:
                raise ValueError(f"diskcache would expand a variable in the path {path}")
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(OSError):
                self.directory.chmod(0o700)
            self._database = Database(path, _TIMEOUT, true_time)
            self._pid = os.getpid()
            atexit.register(self.close)
        return self._database

    def _judge(self, error: Exception) -> None:
        """Tell a database that is busy, which is a miss, from one that will not work, which is given up.

        By name and text: the classes are those of modules that this one does not import.
        """
        name = type(error).__name__
        if name != "Timeout" and not (name == "OperationalError" and "locked" in str(error)):
            self.broken = f"{name}: {error}"
            self._on_break(self.broken)

    def _leave_thread(self) -> None:
        """Close what a thread other than the main one has opened: a connection of diskcache's belongs to its
        thread, and one that dies with it raises a `ResourceWarning`, in the middle of somebody's test."""
        if self._database is not None and threading.current_thread() is not threading.main_thread():
            with contextlib.suppress(Exception):
                self._database.close()
