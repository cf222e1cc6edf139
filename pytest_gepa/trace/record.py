"""What is kept of a case, or of a fixture of a wider scope, while it runs, and what a case leaves behind: data. How it
is collected is the business of `recorder`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pytest_gepa.own import OwnName
from pytest_gepa.trace.mailbox import Mailbox
from pytest_gepa.trace.trajectory import Call, Step


@dataclass(frozen=True, slots=True)
class Score:
    """A score that the test gave itself, in [0, 1], and what it said to it; `name` is "" for the score of the case."""

    name: str
    value: float
    feedback: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a case left behind.

    `calls` begin with those of the wider fixtures that the case uses, marked as shared; `made` are the calls that
    were made while it ran, those of a fixture that was set up for it included. `reads` are ids of components whose
    file was opened for the case, `imported` of those that its process had opened before it and may have kept: at
    import or, those in `carried`, for earlier cases only; all sorted. `refused` are the requests that were not sent, in
    words, as no answer to them was stored.
    """

    calls: tuple[Call, ...] = ()
    made: tuple[Call, ...] = ()
    steps: tuple[Step, ...] = ()
    scores: tuple[Score, ...] = ()
    reads: tuple[str, ...] = ()
    imported: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StrayCall:
    """A call that belongs to no case that could still take it.

    `origin` is the case that began the work which made it, "" if that is not known; `during` is the case that was
    running at the time, "" between cases. The two differ for background work that outlives its test.
    """

    call: Call
    origin: OwnName = ""
    during: OwnName = ""


class Slot:
    """The place of one call in its case's record: held from the start of the request, filled when it has
    ended.

    A case that ends first keeps what the slot held at the time; what is put later is dropped. `number` counts the
    calls of the process in the order of their start.
    """

    __slots__ = ("_call", "_settle", "number")

    def __init__(self, call: Call, number: int = 0) -> None:
        self._call = call
        self._settle: Callable[[], None] | None = None
        self.number = number

    @property
    def call(self) -> Call:
        """The call as far as it is known."""
        return self._call

    def put(self, call: Call) -> None:
        """Replace what the slot holds. Nothing is left to be settled then."""
        self._call = call
        self._settle = None

    def settle_with(self, settle: Callable[[], None]) -> None:
        """Have this called, which may `put`, when the case ends."""
        self._settle = settle

    def settle(self) -> None:
        """The case ends: what has come of a stream that nobody closes is put now."""
        settle = self._settle  # another thread may put meanwhile
        if settle is not None:
            settle()


class PostedSlot(Slot):
    """The place of a call in a child process: when it has ended, the process that runs the case is told."""

    __slots__ = ("_mailbox",)

    def __init__(self, call: Call, mailbox: Mailbox) -> None:
        super().__init__(call)
        self._mailbox = mailbox

    def put(self, call: Call) -> None:
        """Post the call."""
        super().put(call)
        self._mailbox.post_call(call)


@dataclass(eq=False, slots=True)
class Held:
    """What was seen while a fixture of a wider scope than one case was set up: it belongs to every case that uses it.

    `below` are the holds of the fixtures that it is built on. Identical requests are numbered within the fixture, so
    that their numbers do not hang on the case for which it happens to be set up. The calls of one case are kept in the
    same way; `case` is its id then, "" otherwise.
    """

    case: str = ""
    ended: bool = False
    slots: list[Slot] = field(default_factory=list)
    reads: set[str] = field(default_factory=set)
    ordinals: dict[str, set[int]] = field(default_factory=dict)
    below: tuple[Held, ...] = ()


@dataclass(frozen=True, slots=True)
class Ordinal:
    """The number of a request among identical ones, and the set of numbers that it was taken from."""

    number: int
    taken: set[int]


def with_all_below(holds: Iterable[Held]) -> list[Held]:
    """The holds and all that they are built on, each once."""
    found: dict[int, Held] = {}
    waiting = list(holds)
    while waiting:
        held = waiting.pop()
        if id(held) not in found:
            found[id(held)] = held
            waiting += held.below
    return list(found.values())


def as_text(value: object) -> str:
    """The text of a logged value; it never raises."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except Exception:
        # Whatever a user's object may do here, logging must not fail the test that it explains.
        try:
            return repr(value)
        except Exception:
            return f"<{type(value).__name__} that has no repr>"
