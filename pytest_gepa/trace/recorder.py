"""The collector of the running case: calls, logged steps, score, and which prompt files were opened. No
I/O."""

from __future__ import annotations

import json
import math
import threading
from dataclasses import dataclass

from pytest_gepa.trace.trajectory import Call, Step

MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a case left behind. `score` is None when the test gave none; `reads` are component ids, sorted."""

    calls: tuple[Call, ...] = ()
    steps: tuple[Step, ...] = ()
    score: float | None = None
    feedback: str = ""
    reads: tuple[str, ...] = ()


class Slot:
    """The place of one call in its case's record: held from the start of the request, filled when it has
    ended.

    A case that ends first keeps what the slot held at the time; what is put later is dropped.
    """

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call = call

    @property
    def call(self) -> Call:
        """The call as far as it is known."""
        return self._call

    def put(self, call: Call) -> None:
        """Replace what the slot holds."""
        self._call = call


class Recorder:
    """Collects for one case at a time, from any thread or task of the process.

    The current case is global, not a context variable: those are lost in thread pools and outlive their test
    in background tasks. Calls made while no case is current go to `stray`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._problems: list[str] = []
        self._stray: list[Slot] = []
        self._case: str | None = None
        self._calls: list[Slot] = self._stray
        self._steps: list[Step] = []
        self._score: float | None = None
        self._feedback = ""
        self._reads: set[str] = set()
        self._stray_ordinals: dict[str, set[int]] = {}
        self._ordinals = self._stray_ordinals

    @property
    def current(self) -> str | None:
        """The id of the running case, None between cases."""
        return self._case

    @property
    def stray(self) -> tuple[Call, ...]:
        """The calls of no case, in order of their start."""
        with self._lock:
            return tuple(slot.call for slot in self._stray)

    @property
    def problems(self) -> tuple[str, ...]:
        """What went wrong in the recording itself, which the application was not told of; the first few."""
        return tuple(self._problems)

    def begin(self, case_id: str) -> None:
        """Start a case. Raises `RuntimeError` while another is running."""
        with self._lock:
            if self._case is not None:
                raise RuntimeError(
                    f"case {self._case} is still running: {case_id} cannot begin in the same process"
                )
            self._case = case_id
            self._calls, self._steps, self._ordinals = [], [], {}
            self._score, self._feedback, self._reads = None, "", set()

    def end(self) -> Recorded:
        """End the running case and hand over its record. Raises `RuntimeError` when none is running."""
        with self._lock:
            if self._case is None:
                raise RuntimeError("no case is running")
            recorded = Recorded(
                calls=tuple(slot.call for slot in self._calls),
                steps=tuple(self._steps),
                score=self._score,
                feedback=self._feedback,
                reads=tuple(sorted(self._reads)),
            )
            self._case = None
            self._calls, self._ordinals = self._stray, self._stray_ordinals
            return recorded

    def add_call(self, call: Call) -> Slot:
        """Record a call at its place in the order; the slot takes what is known of it later."""
        slot = Slot(call)
        with self._lock:
            self._calls.append(slot)
        return slot

    def claim(self, key: str) -> Ordinal:
        """Number a request among the identical ones of the case: the lowest number that is not taken."""
        with self._lock:
            taken = self._ordinals.setdefault(key, set())
            number = next(number for number in range(len(taken) + 1) if number not in taken)
            taken.add(number)
            return Ordinal(number, taken)

    def release(self, ordinal: Ordinal) -> None:
        """Give a number back after a request that got no answer, so that its retry is the same request
        again."""
        with self._lock:
            ordinal.taken.discard(ordinal.number)

    def log(self, name: str, value: object) -> None:
        """Keep a value as a step, as text: a string as it is, else JSON, else its `repr`. No case:
        dropped."""
        step = Step(str(name), as_text(value))
        with self._lock:
            if self._case is not None:
                self._steps.append(step)

    def score(self, value: object, feedback: str = "") -> None:
        """Set the case's score and feedback; a later call replaces both. No case: dropped.

        Raises `ValueError` for what is not a number in [0, 1]; booleans count as numbers.
        """
        number = _number(value)
        if number is None or not 0.0 <= number <= 1.0:
            raise ValueError(f"a score is a number from 0 to 1, not {value!r}")
        with self._lock:
            if self._case is not None:
                self._score, self._feedback = number, str(feedback)

    def add_problem(self, text: str) -> None:
        """Note that something could not be recorded."""
        with self._lock:
            if len(self._problems) < MOST_PROBLEMS:
                self._problems.append(text)

    def add_read(self, component: str) -> None:
        """Note that a component's file was opened."""
        with self._lock:
            if self._case is not None:
                self._reads.add(component)


@dataclass(frozen=True, slots=True)
class Ordinal:
    """The number of a request among identical ones, and the set of numbers that it was taken from."""

    number: int
    taken: set[int]


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


def _number(value: object) -> float | None:
    """The value as a float. NumPy's and torch's scalars have `__float__`; strings would be parsed, so not
    them."""
    if isinstance(value, (str, bytes, bytearray)):
        return None
    try:
        number = float(value)  # type: ignore[arg-type]
    except Exception:
        return None
    return None if math.isnan(number) else number
