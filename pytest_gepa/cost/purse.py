"""The cap on what a run may cost, in a file that its processes share: nothing is sent that has not been reserved."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_gepa.cost.book import CAPPED, RUNNING, UNBOUNDED, Book

STOP_WORDS = {CAPPED: "the cost cap is reached", UNBOUNDED: "a request came whose price has no bound"}
"""What is said where the reason itself could not be written down, as the disk is full."""


class CostStop(BaseException):
    """A request that is not sent, as it could pass the cap on what a run may cost.

    Not an `Exception`: an application that makes do without an answer (`except Exception`) would turn the end of the
    money into a failure of the prompt.
    """


@dataclass(frozen=True, slots=True)
class CapState:
    """What a purse holds, in billionths of a dollar.

    `cap` is all that may be spent, `kept` what is set aside for later; `spent` is settled, `reserved` under way.
    `largest` is the most that one request has reserved. `stopped` is `RUNNING`, `CAPPED` or `UNBOUNDED`.
    """

    cap: int
    kept: int
    spent: int
    reserved: int
    largest: int
    stopped: int

    @property
    def left(self) -> int:
        """What may still be reserved now."""
        return self.cap - self.kept - self.spent - self.reserved


class Purse:
    """The ledger in `path`. It keeps nothing in memory, so that processes may fork and threads share it.

    All amounts are whole billionths of a dollar. Methods raise `OSError` when the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, cap: int) -> Purse:
        """Begin a ledger."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, Book(cap).encode())
        finally:
            os.close(descriptor)
        return cls(path)

    def reserve(self, amount: int, *, is_blocking: bool = True) -> int | None:
        """Set an amount aside before a request is sent; the number by which it is settled.

        None when it does not fit now but could when others settle. Raises `CostStop` when it never can, and from then
        on for every request, until `open_rest`. So it does where only what the caller itself has reserved is in the
        way, by a stream that it has not read to its end: its thread, or its task where its thread goes on meanwhile
        (not `is_blocking`).
        """
        with self._book() as book:
            if book.stopped:
                raise CostStop(self.reason or STOP_WORDS[book.stopped])
            if not book.fits(amount):
                book.bury()
            if book.fits(amount):
                return book.take(amount)
            if book.may_be_settled(is_blocking=is_blocking) and book.kept + book.spent + amount <= book.cap:
                return None
            book.stopped = CAPPED
            shown = CapState(book.cap, book.kept, book.spent, book.reserved, book.largest, CAPPED)
            # Before others can see that it is stopped.
            reason = self._note(_cap_words(shown, amount))
        raise CostStop(reason)

    def settle(self, number: int, cost: int) -> None:
        """Close a reservation with what the request has cost."""
        with self._book() as book:
            book.settle(number, cost)

    def refuse(self, reason: str) -> CostStop:
        """Stop everything, as a request came that no amount can be reserved for; the exception to raise, also where the
        file cannot be used."""
        try:
            with self._book() as book:
                is_first = not book.stopped
                book.stopped = book.stopped or UNBOUNDED
                told = self._note(reason) if is_first else self.reason or STOP_WORDS[book.stopped]
            return CostStop(told)
        except OSError:
            return CostStop(reason)

    def set_aside(self, amount: int) -> None:
        """Keep an amount from being reserved until `open_rest`."""
        with self._book() as book:
            book.kept = amount

    def open_rest(self) -> None:
        """Give free what was set aside. Where the cap was reached before, what is left may be reserved now."""
        with self._book() as book:
            book.kept = 0
            if book.stopped == CAPPED:
                book.stopped = RUNNING
                self._why.unlink(missing_ok=True)

    def standing(self) -> CapState:
        """What it holds."""
        with self._book() as book:
            book.bury()
            return CapState(book.cap, book.kept, book.spent, book.reserved, book.largest, book.stopped)

    @property
    def reason(self) -> str:
        """Why nothing more is sent, in words; "" while it is not stopped."""
        try:
            return self._why.read_text(encoding="utf-8")
        except OSError:
            return ""

    @property
    def _why(self) -> Path:
        return self.path.with_suffix(".why")

    def _note(self, reason: str) -> str:
        # That it is stopped stands in the ledger, which needs no new room on a disk.
        with contextlib.suppress(OSError):
            self._why.write_text(reason, encoding="utf-8", errors="replace")
        return reason

    @contextlib.contextmanager
    def _book(self) -> Iterator[Book]:
        """The ledger, locked; what was changed is written."""
        # A descriptor of its own for each look: its lock belongs to it alone, not to the process.
        descriptor = os.open(self.path, os.O_RDWR)
        try:
            _lock(descriptor)
            try:
                data = _read(descriptor)
                book = Book.decode(data)
                yield book
                changed = book.encode()
                if changed != data:
                    os.lseek(descriptor, 0, os.SEEK_SET)
                    os.write(descriptor, changed)
            finally:
                _unlock(descriptor)
        finally:
            os.close(descriptor)


def _cap_words(standing: CapState, amount: int) -> str:
    kept = f", {dollars(standing.kept)} kept for the confirm run" if standing.kept else ""
    held = f", {dollars(standing.reserved)} reserved by requests under way" if standing.reserved else ""
    return (
        f"the cost cap of {dollars(standing.cap)} has no room for a request of up to {dollars(amount)} "
        f"({dollars(standing.spent)} spent{held}{kept})"
    )


def dollars(nano: int) -> str:
    """`$1.18`; smaller sums with the digits that tell something: `$0.0031`."""
    amount = nano / 10**9
    if amount == 0 or amount >= 0.1:
        return f"${amount:,.2f}"
    return f"${amount:.2g}" if amount >= 0.0001 else f"${amount:.1e}"


def _read(descriptor: int) -> bytes:
    pieces = []
    while piece := os.read(descriptor, 1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _unlock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
    else:
        import fcntl

        # Said, and not left to the end of the descriptor: a fork in another thread may have a copy of it.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
