"""The ledger of a cap on cost as it stands in its file: what is spent, and what is reserved by whom."""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import threading
from dataclasses import astuple, dataclass, field

_HEAD = struct.Struct("<6q")
_SLOT = struct.Struct("<5q")

MOST_USD = 1_000_000_000
"""The highest cap, in USD: the numbers of the file hold nine times as much."""

_MOST = 2**63 - 1

RUNNING, CAPPED, UNBOUNDED = 0, 1, 2
"""Why nothing more is sent: nothing has stopped it, the cap is reached, or a request came whose price has no bound."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One reservation: its process and when that began, its thread and task (0 for none), and the amount; zeros where
    there is none.
    """

    process: int = 0
    began: int = 0
    thread: int = 0
    task: int = 0
    amount: int = 0


@dataclass(slots=True)
class Book:
    """What the file holds; amounts are in billionths of a dollar (see `CapState`)."""

    cap: int
    kept: int = 0
    spent: int = 0
    largest: int = 0
    stopped: int = RUNNING
    slots: list[Slot] = field(default_factory=list)

    @property
    def reserved(self) -> int:
        """All that is reserved."""
        return sum(slot.amount for slot in self.slots)

    def may_be_settled(self, *, is_blocking: bool) -> bool:
        """Whether anything is reserved that may be settled while this thread waits, or only its task if not
        `is_blocking`: what these have reserved themselves they settle afterwards.
        """
        process, thread, task = os.getpid(), threading.get_ident(), _task()
        for slot in self.slots:
            is_own = slot.thread == thread if is_blocking else bool(task) and slot.task == task
            if slot.process and not (slot.process == process and is_own):
                return True
        return False

    def fits(self, amount: int) -> bool:
        """Whether an amount may be reserved now."""
        return self.kept + self.spent + self.reserved + amount <= self.cap

    def bury(self) -> None:
        """What a process had reserved when it died is spent: nobody knows what became of its requests."""
        for at, slot in enumerate(self.slots):
            if slot.process and not _is_alive(slot.process, slot.began):
                self.spent += slot.amount
                self.slots[at] = Slot()

    def take(self, amount: int) -> int:
        """Reserve an amount for the caller; the number of the place."""
        self.largest = max(self.largest, amount)
        free = [at for at, slot in enumerate(self.slots) if not slot.process]
        number = free[0] if free else len(self.slots)
        process = os.getpid()
        slot = Slot(process, _began(process) or 0, threading.get_ident(), _task(), amount)
        self.slots[number : number + 1] = [slot]
        return number

    def settle(self, number: int, cost: int) -> None:
        """End a reservation with what it came to; a server may tell of more tokens than any number here can pay for."""
        self.slots[number] = Slot()
        self.spent = min(self.spent + cost, _MOST)

    def encode(self) -> bytes:
        """The bytes of the file."""
        head = _HEAD.pack(self.cap, self.kept, self.spent, self.largest, self.stopped, len(self.slots))
        return head + b"".join(_SLOT.pack(*astuple(slot)) for slot in self.slots)

    @classmethod
    def decode(cls, data: bytes) -> Book:
        """Read them."""
        cap, kept, spent, largest, stopped, count = _HEAD.unpack_from(data)
        slots = _SLOT.iter_unpack(data[_HEAD.size : _HEAD.size + count * _SLOT.size])
        return cls(cap, kept, spent, largest, stopped, [Slot(*slot) for slot in slots])


def _task() -> int:
    """Which task of an event loop this is, as a number; 0 for none. Loops that nobody has imported do not run."""
    for name in ("asyncio", "trio.lowlevel"):
        if module := sys.modules.get(name):
            # One that another thread is importing lacks the function, and no loop runs by it.
            with contextlib.suppress(RuntimeError, AttributeError):
                if (task := module.current_task()) is not None:
                    return id(task)
    return 0


def _is_alive(process: int, began: int) -> bool:
    """Whether a process may still settle: one that has ended may not, be it waited for by its parent or not."""
    if sys.platform == "linux" and began:  # else the system did not tell
        return _began(process) == began
    if sys.platform == "win32":
        return True  # to ask would end it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _began(process: int) -> int | None:
    """When a process began, in ticks since the system did; None if it has ended, or that cannot be known."""
    if sys.platform != "linux":
        return None
    try:
        with open(f"/proc/{process}/stat", "rb") as stream:
            told = stream.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if told[0] in (b"Z", b"X") else int(told[19])
