"""Which request this context is in the midst of sending: HTTP libraries are built on one another, and a call is
recorded where the application made it, not again in each library below."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class _Sending:
    """A body on its way, and whether it still is: contexts are copied into tasks that live on."""

    body: bytes
    active: bool = True


_sending: ContextVar[tuple[_Sending, ...]] = ContextVar("pytest_gepa_sending", default=())


def is_below(body: bytes) -> bool:
    """Whether this very body is being sent for a library further up. Another body is another call, such as one that a
    hook of the application makes meanwhile."""
    return any(item.active and item.body == body for item in _sending.get())


@contextlib.contextmanager
def sending(body: bytes) -> Iterator[None]:
    """While the block runs, in this thread or task, the body is on its way."""
    item = _Sending(body)
    before = _sending.get()
    _sending.set((*(other for other in before if other.active), item))
    try:
        yield
    finally:
        item.active = False
        _sending.set(before)
