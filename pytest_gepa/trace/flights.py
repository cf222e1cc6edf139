"""Requests in flight, told between processes: who wants what another is already asking for waits for its answer.

One lock a request, on a byte of one file. A process that dies holds none any more. The first bytes of the file count
the answers that came and are not stored.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from pathlib import Path

from pytest_gepa.trace.fork_lock import ForkLock

COUNTERS = 1 << 16
"""Bytes of the file that count; requests share them by chance. Who is misled by that does not wait, and asks itself."""


class Flights:
    """The requests in flight of all processes that name the same file. Nothing here raises.

    Where there are no such locks (on Windows, or where the file cannot be opened) every request may go out at once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = ForkLock()
        self._descriptor: int | None = None
        self._pid = 0

    def take_off(self, key: str) -> bool:
        """Whether this process may send the request now; if so it must `land` afterwards."""
        if sys.platform == "win32":
            return True
        import fcntl

        try:
            descriptor = self._open()
        except OSError:
            return True  # no file to lock: of another user, say
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _position(key))
        except (BlockingIOError, PermissionError):
            return False  # by either a system may say that another process has it
        except OSError:
            return True  # a file system without locks
        return True

    def land(self, key: str) -> None:
        """The answer is stored, or will not come."""
        if sys.platform == "win32" or self._descriptor is None or self._pid != os.getpid():
            return
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, _position(key))

    def tell_unkept(self, key: str) -> None:
        """The answer has come and is not stored: whoever waits for it need not wait for the next one to come either."""
        if sys.platform == "win32":
            return
        with contextlib.suppress(OSError):
            os.pwrite(self._open(), bytes([(self.unkept(key) + 1) % 256]), _position(key) % COUNTERS)

    def unkept(self, key: str) -> int:
        """A number that changes with each answer of which somebody, in whatever process, tells so."""
        if sys.platform != "win32":
            with contextlib.suppress(OSError):
                return int.from_bytes(os.pread(self._open(), 1, _position(key) % COUNTERS), "big")
        return 0

    def close(self) -> None:
        """End every flight of this process."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, None
            if descriptor is not None and self._pid == os.getpid():
                os.close(descriptor)

    def _open(self) -> int:
        with self._lock:
            if self._descriptor is None or self._pid != os.getpid():
                # Locks belong to a process: one that came through a fork has none, but may close its copy.
                if self._descriptor is not None:
                    os.close(self._descriptor)
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
                self._pid = os.getpid()
            return self._descriptor


def _position(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big")
