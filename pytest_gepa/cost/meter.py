"""What a process does about the cost of a request: reserve the most that it can come to, and note what it came to."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_gepa.cost.bill import Bill
from pytest_gepa.cost.estimate import Unbounded, most, requests_in
from pytest_gepa.cost.prices import PriceList, Tokens
from pytest_gepa.cost.purse import CostStop, Purse

BILL, PURSE, PRICES = "bill", "purse", "prices"
"""The files in the directory of a run's costs."""

UNSENT = frozenset(
    {
        "ClientConnectorError",
        "ConnectError",
        "ConnectTimeout",
        "ConnectTimeoutError",
        "ConnectionRefusedError",
        "ConnectionTimeoutError",
        "NameResolutionError",
        "NewConnectionError",
        "PoolTimeout",
        "gaierror",
    }
)
"""Exceptions by which the HTTP libraries say that no connection came about, so that nothing was sent."""

TIMEOUTS = (408, 504, 524)
"""Statuses with which somebody between gave up waiting: the model may have worked all the same."""

ELSEWHERE = (307, 308)
"""Statuses by which a server has the same request made of another, and has done nothing about it."""


def pauses() -> Iterator[float]:
    """Seconds between two tries to reserve, without end: whoever has reserved settles, or dies."""
    pause = 0.002
    while True:
        yield pause
        pause = min(2 * pause, 0.1)


@dataclass(frozen=True, slots=True)
class Ticket:
    """One request that is under way: its line on the bill, and what is reserved for it. `number` is None where there is
    no cap. `trouble` is what has kept its beginning from the bill, if anything has."""

    line: str
    model: str
    number: int | None
    most: int
    owner: int
    trouble: OSError | None = None


class Meter:
    """The cost of this process's calls of one role: "task" or "reflection". `purse` is None without a cap."""

    def __init__(self, bill: Bill, prices: PriceList, purse: Purse | None, role: str = "task") -> None:
        self.bill = bill
        self.prices = prices
        self.purse = purse
        self.role = role

    @classmethod
    def found_in(cls, directory: str) -> Meter | None:
        """The meter of a run's tasks by the directory of its costs; None for "", by which nothing is counted."""
        if not directory:
            return None
        place = Path(directory)
        lines = (place / PRICES).read_text(encoding="utf-8").splitlines()
        purse = Purse(place / PURSE) if (place / PURSE).exists() else None
        return cls(Bill(place / BILL), PriceList(lines), purse)

    @classmethod
    def create(cls, directory: Path, prices: PriceList, cap: int | None) -> Meter:
        """Begin the costs of a run in a new directory. `cap` is in billionths of a dollar, None for none."""
        directory.mkdir(mode=0o700)
        (directory / PRICES).write_text("\n".join(prices.lines), encoding="utf-8")
        purse = None if cap is None else Purse.create(directory / PURSE, cap)
        return cls(Bill(directory / BILL), prices, purse)

    def bound(self, model: str, body: bytes, *, answers: bool = True) -> int:
        """The most that a request can cost, or a batch of them; 0 without a cap. Raises `CostStop` where that cannot be
        known."""
        if self.purse is None:
            return 0
        parts = requests_in(model, body)
        return sum(self._bound_of_one(self.purse, name, part, answers=answers) for name, part in parts)

    def _bound_of_one(self, purse: Purse, model: str, body: bytes, *, answers: bool) -> int:
        tariff = self.prices.find(model)
        if tariff is None:
            raise purse.refuse(
                f"the price of {model} is not known, so --gepa-max-cost cannot be kept; add a line to gepa_prices: "
                f"{model} input=... output=... (USD per million tokens, 0 for what costs nothing)"
            )
        try:
            return most(model, tariff, body, answers=answers)
        except Unbounded as error:
            raise purse.refuse(f"{error}, as --gepa-max-cost cannot be kept otherwise") from None

    def reserve(self, model: str, amount: int, *, is_blocking: bool = True) -> Ticket | None:
        """Set the amount aside for a request, which may then be sent and is to be settled.

        None when there is no room for it before others settle. Raises `CostStop` when there never will be (see
        `Purse.reserve`), or when the files cannot be used by which the cap is kept.
        """
        number = None
        if self.purse is not None:
            try:
                number = self.purse.reserve(amount, is_blocking=is_blocking)
            except OSError as error:
                raise CostStop(f"the ledger of the cost cap cannot be used: {error}") from error
            if number is None:
                return None
        ticket = Ticket("", model, number, amount, os.getpid())
        try:
            return replace(ticket, line=self.bill.begin(self.role, model))
        except OSError as error:
            if self.purse is None:
                return replace(ticket, trouble=error)
            with contextlib.suppress(OSError):
                self._settle(ticket, 0)
            raise CostStop(f"the bill of the run cannot be written: {error}") from error

    def settle(self, ticket: Ticket, tokens: Tokens, status: int | None, error: BaseException | None) -> None:
        """Note what a request came to. `tokens` are empty where none were told; `status` is None without an answer.

        What cannot be known counts as all that was reserved. Raises `OSError`; what cannot be put on the bill is
        settled all the same.
        """
        told: Tokens | None = tokens
        if not (tokens.input or tokens.output):
            may_cost = not _was_not_sent(error) if status is None else _may_cost(status)
            told = None if may_cost else tokens
        tariff = self.prices.find(ticket.model) if self.purse is not None else None
        cost = ticket.most if told is None or tariff is None else tariff.price(told)
        self._end(ticket, told, cost)

    def give_back(self, ticket: Ticket) -> None:
        """Settle a request that cost nothing, as it never left the process. Raises `OSError`."""
        self._end(ticket, Tokens(), 0)

    def _end(self, ticket: Ticket, told: Tokens | None, cost: int) -> None:
        try:
            self.bill.end(ticket.line, self.role, ticket.model, told)
        finally:
            self._settle(ticket, cost)

    def _settle(self, ticket: Ticket, cost: int) -> None:
        # A fork has a copy of what is under way in its parent, which settles it.
        if self.purse is not None and ticket.number is not None and ticket.owner == os.getpid():
            self.purse.settle(ticket.number, cost)


def _may_cost(status: int) -> bool:
    return status in TIMEOUTS or (status < 400 and status not in ELSEWHERE)


def _was_not_sent(error: BaseException | None) -> bool:
    """Whether an exception, or one that it was made of, says that there was no connection.

    Not its context: that is whatever the application was handling, say the failure of another server.
    """
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        if any(base.__name__ in UNSENT for base in type(current).__mro__):
            return True
        reason = getattr(current, "reason", None)  # urllib3 keeps it there, also below requests
        inner = [*current.args, reason, current.__cause__]
        waiting += [one for one in inner if isinstance(one, BaseException)]
    return False
