"""The tries that libraries below make of one request by themselves, to which the application sees one answer: each may
cost as much as the first, and is paid for before it is sent."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol


class End(NamedTuple):
    """How a try has ended: the status of its answer, or the exception. Neither is known where nobody has seen it.
    `sent` is False where a mock has answered."""

    status: int | None = None
    error: BaseException | None = None
    sent: bool = True


UNSEEN = End()


class Payer(Protocol):
    """Who pays for a request that is on its way."""

    @property
    def ended(self) -> bool:
        """Whether the request is over: what is sent then is another."""
        ...

    def pay_again(self, before: End) -> None:
        """Reserve one more try, as the last ended like this. Raises `CostStop` for one that must not be made."""
        ...

    async def pay_again_async(self, before: End) -> None:
        """The same in asynchronous code."""
        ...


class Tries:
    """The tries of one request. `layer` names the library that its hook stands for where tries are seen there too.

    A try may pass several libraries, one built on the other, so that there were as many as the busiest has seen.
    """

    def __init__(self, payer: Payer, layer: str = "") -> None:
        self.payer = payer
        self._seen = {layer: 1}
        self._paid = 1
        self._last: Try | None = None

    def begin(self, layer: str, before: End | None = None) -> Try:
        """A library is about to send the request; `before` is how the try ended that it repeats, if it knows."""
        seen = self._seen[layer] = self._seen.get(layer, 0) + 1
        is_further = seen > self._paid
        if is_further:
            self._paid = seen
        last = UNSEEN if self._last is None else self._last.ended()
        self._last = Try(self.payer, before or last, is_further=is_further)
        return self._last


class Try:
    """One time that a library sends a request which is on its way. `ended` tells how that ended, as far as is known."""

    def __init__(self, payer: Payer, before: End, *, is_further: bool) -> None:
        self._payer = payer
        self._before = before
        self._is_further = is_further
        self.ended: Callable[[], End] = lambda: UNSEEN

    def pay(self) -> None:
        """Called before it is sent. See `Payer.pay_again`."""
        if self._is_further:
            self._payer.pay_again(self._before)

    async def pay_async(self) -> None:
        """The same in asynchronous code."""
        if self._is_further:
            await self._payer.pay_again_async(self._before)

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        """An exception that ends the block has ended the try."""
        try:
            yield
        except BaseException as raised:
            end = End(error=raised)
            self.ended = lambda: end
            raise
