"""The collector of the running case: calls, logged steps, scores, and which prompt files were opened. No I/O."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

from pytest_gepa.trace.fork_lock import ForkLock
from pytest_gepa.trace.mailbox import Mailbox
from pytest_gepa.trace.naps import clock
from pytest_gepa.trace.record import (
    Held,
    Ordinal,
    PostedSlot,
    Recorded,
    Score,
    Slot,
    StrayCall,
    as_text,
    with_all_below,
)
from pytest_gepa.trace.started_for import context_tells, started_for
from pytest_gepa.trace.trajectory import Call, Step

T = TypeVar("T")

MOST_PROBLEMS = 20

FIRST_OF_FIXTURE = 1_000_000
"""The number of the first of identical requests in a fixture of a wider scope; those of a case count from 0."""


class Recorder:
    """Collects for one case at a time, from any thread or task of the process.

    The current case is global, since context variables are lost in thread pools. A context variable beside it tells
    background work that outlives its test from the running test. What is seen while a wider fixture is set up goes to
    its hold (`hold`, `let_go`). Calls of such late work, those made while no case is current, and those in the teardown
    of wider fixtures (`leave`, `return_to`) go to `stray`.
    """

    def __init__(self) -> None:
        self.mailbox: Mailbox | None = None
        """Where forks of this process, and Pythons that a case starts, tell of their calls."""
        self.hear_reads: Callable[[], None] | None = None
        """Hands on, by `add_read`, what such processes have reported that they read."""
        self.answers = 0
        """How many calls of this process have been answered with text."""
        self.answered = -math.inf
        """When the last of them was, by `naps.clock`."""
        self.answered_from = -math.inf
        """When that one had begun."""
        self._lock = ForkLock()
        self._shared: dict[Any, Any] = {}
        self._problems: list[str] = []
        self._numbers = itertools.count()
        self._case: str | None = None
        self._had_case = False
        self._late: dict[int, tuple[str, str]] = {}
        self._stray = Held()
        self._own = Held()
        self._made: list[Held] = []
        # Where calls and reads go: to the last of these.
        self._places: list[Held] = [self._stray]
        self._steps: list[Step] = []
        self._scores: dict[str, Score] = {}
        self._imported: set[str] = set()
        self._read: set[str] = set()
        self._known: frozenset[str] = frozenset()
        self._refused: list[str] = []
        self._cases = 0

    @property
    def stray(self) -> tuple[StrayCall, ...]:
        """The calls of no case, in order of their start."""
        with self._lock:
            late, slots = self._late, self._stray.slots
            return tuple(StrayCall(slot.call, *late.get(slot.number, ("", ""))) for slot in slots)

    @property
    def problems(self) -> tuple[str, ...]:
        """What went wrong in the recording itself, which the application was not told of; the first few."""
        return tuple(self._problems)

    def begin(self, case_id: str) -> None:
        """Start a case. Raises `RuntimeError` while another is running."""
        self.hear_children()
        if self.mailbox is not None and self.mailbox.is_ours:
            self.mailbox.begin_case()
        with self._lock:
            if self._case is not None:
                raise RuntimeError(f"case {self._case} is still running: {case_id} cannot begin in the same process")
            self._case = case_id
            self._shared = {}
            self._had_case = True
            # What the process has kept of a prompt (a constant, a cache, a module) is there for every case after.
            self._known = frozenset(self._read)
            self._own = Held(case_id)
            self._made = []
            self._places = [self._stray, self._own]
            self._steps, self._scores, self._refused = [], {}, []
            self._mark_context()

    def end(self, uses: Iterable[Held] = ()) -> Recorded:
        """End the running case and hand over its record, that of the holds which it `uses` included.

        Raises `RuntimeError` when none is running.
        """
        self.hear_children()
        with self._lock:
            if self._case is None:
                raise RuntimeError("no case is running")
            open_slots = [slot for held in (self._own, *self._made) for slot in held.slots]
        for slot in open_slots:
            slot.settle()
        with self._lock:
            wider = with_all_below((*uses, *self._made))
            shared = {slot.number: slot for held in wider for slot in held.slots}
            own = tuple(slot.call for slot in self._own.slots)
            paid = {slot.number: slot.call for held in self._made for slot in held.slots}
            recorded = Recorded(
                calls=(*(replace(shared[number].call, shared=True) for number in sorted(shared)), *own),
                made=(*paid.values(), *own),
                steps=tuple(self._steps),
                scores=tuple(self._scores.values()),
                reads=tuple(sorted(self._own.reads.union(*(held.reads for held in wider)))),
                imported=tuple(sorted(self._known)),
                carried=tuple(sorted(self._known - self._imported)),
                refused=tuple(self._refused),
            )
            self._case = None
            self._own.ended = True
            self._places = [self._stray]
            self._mark_context()
            return recorded

    def hold(self, below: Iterable[Held] = ()) -> Held:
        """Begin to keep what is seen for a wider fixture, until `let_go`. Holds may be nested."""
        self.hear_children()
        held = Held(below=tuple(below))
        with self._lock:
            self._places.append(held)
            self._made.append(held)
            self._mark_context()
        return held

    def let_go(self, held: Held) -> None:
        """End a hold. One that was opened within another belongs to that, too.

        Background work that it has started serves whoever runs when it makes its calls: they are that case's.
        """
        self.hear_children()
        with self._lock:
            held.ended = True
            if held not in self._places:
                return  # the case has ended meanwhile
            del self._places[self._places.index(held) :]
            outer = self._places[-1]
            if outer not in (self._stray, self._own):
                outer.below = (*outer.below, held)
            self._mark_context()

    def leave(self) -> None:
        """Let calls belong to no case for a while: a wider fixture is torn down, and any case may be the last."""
        self.hear_children()
        with self._lock:
            self._places.append(self._stray)
            self._mark_context()

    def return_to(self) -> None:
        """End what `leave` began."""
        self.hear_children()
        with self._lock:
            if len(self._places) > 1 and self._places[-1] is self._stray:
                self._places.pop()
            self._mark_context()

    def hear_children(self) -> None:
        """Take in what child processes have told since the last time, which is done wherever the place changes."""
        if self.hear_reads is not None:
            self.hear_reads()
        if self.mailbox is None:
            return
        with self._lock:
            news = self.mailbox.collect()
            self._places[-1].slots += [Slot(call, next(self._numbers)) for call in news.calls]
            self._refused += news.refusals
        for text in news.problems:
            if text not in self._problems:
                self.add_problem(text)

    def share(self, items: tuple[T, ...]) -> tuple[T, ...]:
        """The same items, as the objects that stand for them already: agents send their history again and again."""
        with self._lock:
            return tuple(self._shared.setdefault(item, item) for item in items)

    def add_call(self, call: Call) -> Slot:
        """Record a call at its place in the order; the slot takes what is known of it later."""
        if outbox := self._outbox:
            return PostedSlot(call, outbox)
        with self._lock:
            slot = Slot(call, next(self._numbers))
            place = self._place()
            if place.ended:
                self._late[slot.number] = (place.case, self._case or "")
                place = self._stray
            place.slots.append(slot)
        return slot

    def count_answer(self, began: float) -> None:
        """Count a call that has been answered with text, just now; it `began` then, by `naps.clock`."""
        with self._lock:
            self.answers += 1
            self.answered, self.answered_from = clock(), began

    def drop(self, slot: Slot) -> None:
        """Take a call out of the record of the running case again: it was to no model."""
        with self._lock:
            for place in (self._stray, self._own, *self._made):
                if slot in place.slots:
                    place.slots.remove(slot)

    def claim(self, key: str) -> Ordinal:
        """Number a request among the identical ones of the case: the lowest number that is not taken.

        Those of wider fixtures are numbered apart, so that a case's own request never gets the answer of one. A child
        that lives longer than a case, a server say, begins anew with each: which cases came before is chance.
        """
        outbox = self._outbox
        cases = 0 if outbox is None else outbox.cases
        with self._lock:
            place = self._place()
            if cases != self._cases:
                self._cases = cases
                place.ordinals.clear()
            taken = place.ordinals.setdefault(key, set())
            numbers = itertools.count(0 if place.case or place is self._stray else FIRST_OF_FIXTURE)
            number = next(number for number in numbers if number not in taken)
            taken.add(number)
            return Ordinal(number, taken)

    def release(self, ordinal: Ordinal) -> None:
        """Give a number back after a request that got no answer, so that its retry is the same request again."""
        with self._lock:
            ordinal.taken.discard(ordinal.number)

    def log(self, name: str, value: object) -> None:
        """Keep a value as a step, as text: a string as it is, else JSON, else its `repr`. No case: dropped."""
        step = Step(str(name), as_text(value))
        with self._lock:
            if self._case is not None:
                self._steps.append(step)

    def score(self, value: float, feedback: str = "", name: str = "") -> None:
        """Set the case's score, or that of an objective by name; a later call replaces both. No case: dropped."""
        with self._lock:
            if self._case is not None:
                self._scores[name] = Score(name, value, feedback)

    def add_problem(self, text: str) -> None:
        """Note that something could not be recorded; it never raises."""
        if outbox := self._outbox:
            with contextlib.suppress(Exception):
                outbox.post_problem(text)
            return
        with self._lock:
            if len(self._problems) < MOST_PROBLEMS:
                self._problems.append(text)

    def add_refusal(self, text: str) -> None:
        """Note a request that is not sent, as no answer to it is stored; the application may not have let it show."""
        if outbox := self._outbox:
            outbox.post_refusal(text)
            return
        with self._lock:
            self._refused.append(text)

    def add_read(self, component: str) -> None:
        """Note that a component's file was opened: for the case or fixture; later cases may know it by then."""
        with self._lock:
            self._read.add(component)
            if self._case is None and not self._had_case:
                self._imported.add(component)
            self._place().reads.add(component)

    @property
    def _outbox(self) -> Mailbox | None:
        """Where this process tells what it would record; None for one that runs cases itself."""
        return None if self.mailbox is None or self.mailbox.is_ours else self.mailbox

    def _place(self) -> Held:
        """Where what the present code does is kept. The caller holds the lock.

        That is the place for which this context was started, while it is open. Afterwards a case's work is late, as its
        ended place tells; a fixture's is a service to the case that is running.
        """
        current = self._places[-1]
        told = started_for.get() if context_tells() else None
        if told is None or told[0] is not self:
            return current
        place = told[1]
        return current if place.ended and not place.case else place

    def _mark_context(self) -> None:
        """Let what is started from here on be known as for the present place. The caller holds the lock."""
        current = self._places[-1]
        started_for.set(None if current is self._stray else (self, current))
