"""Locks that are free in a fork: a thread that is not there any more may have held them."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from weakref import WeakSet


class ForkLock:
    """A lock, held for a `with` block; each fork of the process begins with a new one.

    The thread that holds it may take it again: garbage may be collected in the midst of a block, and a coroutine among
    it ends its call and gives back what that holds. What is done inside must bear it.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def renew(self) -> None:
        """Be free, whoever held it."""
        self._lock = threading.RLock()


_locks: WeakSet[ForkLock] = WeakSet()


def _renew() -> None:
    for lock in list(_locks):
        lock.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
