"""Which request this context is in the midst of sending: HTTP libraries are built on one another, and a call is
recorded where the application made it, not again in each library below. An application in this process is not below:
what it asks of a model is a call of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass

from pytest_gepa.trace.tries import End, Tries, Try


@dataclass(slots=True)
class _Sending:
    """A body on its way, and whether it still is: contexts are copied into tasks that live on. `tries` counts how often
    it is sent. To an application in this process both are None, and `on_call` is told of the calls that are made
    meanwhile."""

    body: bytes | None
    tries: Tries | None = None
    on_call: Callable[[], None] | None = None
    active: bool = True


_sending: ContextVar[tuple[_Sending, ...]] = ContextVar("pytest_gepa_sending", default=())


def is_below(body: bytes) -> bool:
    """Whether this very body is being sent for a library further up. Another body is another call, such as one that a
    hook of the application makes meanwhile."""
    return _tries_of(body) is not None


def begin_try(body: bytes | None, layer: str, before: End | None = None) -> Try | None:
    """A library sends this body: the try that this is of a request on its way, None if it is of none. See `Tries`."""
    tries = _tries_of(body) if body else None
    return None if tries is None else tries.begin(layer, before)


def _tries_of(body: bytes) -> Tries | None:
    for item in _sending.get():
        if item.active and item.tries is not None and item.body == body and not item.tries.payer.ended:
            return item.tries
    return None


def tell_of_call() -> None:
    """A call to a model is made: tell the requests to applications in this process for whom it is made."""
    for item in _sending.get():
        if item.active and item.on_call is not None:
            item.on_call()


def sending(body: bytes, tries: Tries) -> contextlib.AbstractContextManager[None]:
    """While the block runs, in this thread or task, the body is on its way."""
    return _during(_Sending(body, tries))


def asking_an_application(on_call: Callable[[], None]) -> contextlib.AbstractContextManager[None]:
    """While the block runs, an application in this process is at work; `on_call` is told of each of its calls."""
    return _during(_Sending(None, on_call=on_call))


@contextlib.contextmanager
def _during(item: _Sending) -> Iterator[None]:
    before = _sending.get()
    _sending.set((*(other for other in before if other.active), item))
    try:
        yield
    finally:
        item.active = False
        item.tries = None  # it holds responses
        _sending.set(before)
