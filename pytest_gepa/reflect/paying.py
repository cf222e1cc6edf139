"""The reflection model's HTTP client, which pays for each request that it sends: the SDK's own retries too."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from pytest_gepa.cost.meter import Meter, Ticket, pauses
from pytest_gepa.cost.prices import Tokens
from pytest_gepa.trace.fields import read_object, read_usage
from pytest_gepa.trace.rough import told


def make_pay(client: Any, meter: Meter, model: str, check: Callable[[], None] = lambda: None) -> Any:
    """Have a client of httpx reserve the cost of what it sends, and settle it.

    Its `send` may raise `CostStop`, and whatever `check` raises, which is called before anything is sent.
    """
    send = client.send

    def paid(request: Any, **options: Any) -> Any:
        check()
        ticket = _ticket(meter, model, request.content)
        try:
            response = send(request, **options)
        except BaseException as error:
            _settle(meter, ticket, Tokens(), None, error)
            raise
        _settle(meter, ticket, _tokens(response), response.status_code, None)
        return response

    client.send = paid
    return client


def _ticket(meter: Meter, model: str, body: bytes) -> Ticket:
    most = meter.bound(model, body)
    for pause in pauses():
        ticket = meter.reserve(model, most)
        if ticket is not None:
            return ticket
        time.sleep(pause)
    raise AssertionError("pauses() does not end")


def _settle(meter: Meter, ticket: Ticket, tokens: Tokens, status: int | None, error: BaseException | None) -> None:
    """Note what a request came to. One that cannot be noted has its beginning on the bill, and so an unknown cost: no
    reason to lose the answer, which the SDK would then ask for again."""
    with contextlib.suppress(OSError):
        meter.settle(ticket, tokens, status, error)


def _tokens(response: Any) -> Tokens:
    return told(read_usage((read_object(response.content) or {}).get("usage")))
