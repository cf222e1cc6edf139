"""What one request costs: reserved before it is sent, settled when it has ended."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_gepa.cost.meter import Meter, Ticket, pauses
from pytest_gepa.cost.prices import Tokens
from pytest_gepa.trace.rough import told
from pytest_gepa.trace.trajectory import Call
from pytest_gepa.trace.tries import End


class Fare:
    """The cost of one request to `model`, or to the host that stands for it, with this body, as `meter` counts it."""

    def __init__(self, meter: Meter, model: str, body: bytes, *, has_answers: bool) -> None:
        self._meter = meter
        self._model = model
        self._body = body
        self._has_answers = has_answers
        self._ticket: Ticket | None = None

    def until_paid(self, *, is_blocking: bool = True) -> Iterator[float]:
        """Reserve it; gives seconds to sleep while there is no room before others have settled theirs. `is_blocking`
        says that the whole thread sleeps then, and not only its task.

        Raises `CostStop` for a request that must not be sent.
        """
        most = self._meter.bound(self._model, self._body, answers=self._has_answers)
        for pause in pauses():
            self._ticket = self._meter.reserve(self._model, most, is_blocking=is_blocking)
            if self._ticket is not None:
                return
            yield pause

    @property
    def trouble(self) -> OSError | None:
        """What has kept the request, which may be sent, from the bill."""
        return None if self._ticket is None else self._ticket.trouble

    def settle(self, call: Call, error: BaseException | None, *, has_counted: bool = True) -> None:
        """Note what the call came to, if it was sent. `has_counted` is False where the tokens that the server told are
        not all."""
        self._settle(told(call) if has_counted else Tokens(), End(call.status, error, call.sent))

    def settle_try(self, end: End) -> None:
        """Note what a try came to that is made again, of whose answer nobody reads the count."""
        self._settle(Tokens(), end)

    def _settle(self, tokens: Tokens, end: End) -> None:
        ticket, self._ticket = self._ticket, None
        if ticket is None:
            return
        if end.sent:
            self._meter.settle(ticket, tokens, end.status, end.error)
        else:
            self._meter.give_back(ticket)
