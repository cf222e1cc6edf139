"""A crew that hands on its results in the order of a recorded run, so that a search at any concurrency decides as that
one did."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pytest_gepa.evolve.tasks import STOPS, Evaluated, Reflected
from pytest_gepa.run.crew import Crew

_STOPS = {one.__name__: one for one in STOPS}


class RecordedCrew(Crew):
    """Holds back what comes before its turn. `order` names the results, as `pytest_gepa.run.recording` keeps them.

    What a piece of work tells meanwhile is handed on with its result in a replay (`tells_late`), and else at once, as
    it was paid for. A run that goes another way than the recorded one goes on in the order in which its results come.
    """

    def __init__(self, order: Sequence[str], *, tells_late: bool = True) -> None:
        super().__init__()
        self._tells_late = tells_late
        self._order = deque(order)
        self._thread = threading.local()
        self._arrived: dict[str, list[Any]] = {}
        self._ready: deque[Any] = deque()

    def start(self, work: Callable[[], Any]) -> None:
        """See `Crew`."""
        super().start(partial(self._bundle, work))

    def tell(self, message: Any) -> None:
        """See `Crew`."""
        told: list[Any] | None = getattr(self._thread, "told", None)
        if told is None:
            super().tell(message)
        else:
            told.append(message)

    def stop_due(self) -> str:
        """See `Crew`."""
        kind, _, reason = (self._order[0] if self._order else "").partition(" ")
        if kind not in _STOPS:
            return ""
        self._order.popleft()
        return reason

    def drain(self) -> list[Any]:
        """See `Crew`."""
        held = [message for bundle in self._arrived.values() for message in bundle]
        come = [message for bundle in super().drain() for message in _messages(bundle)]
        found = [*self._ready, *held, *come]
        self._ready.clear()
        self._arrived.clear()
        return found

    def next(self, timeout: float | None = None) -> Any:
        """See `Crew`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._ready and not self._release():
            arrived = super().next(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if not isinstance(arrived, _Bundle):
                return arrived
            # It counts as busy until it is handed on.
            self.busy += 1
            self._arrived[_name(arrived[-1])] = list(arrived)
        message = self._ready.popleft()
        self.busy -= isinstance(message, (Evaluated, Reflected))
        return message

    def _bundle(self, work: Callable[[], Any]) -> Any:
        told = _Bundle()
        self._thread.told = told if self._tells_late else None
        try:
            told.append(work())
        except BaseException:
            # Its failure is raised where the queue is read; what it has told comes before.
            for message in told:
                super().tell(message)
            raise
        return told

    def _release(self) -> bool:
        """Make ready what comes next; False when that is still to come."""
        while self._order:
            name = self._order[0]
            kind, _, reason = name.partition(" ")
            is_stop = kind in _STOPS
            if not is_stop and name not in self._arrived and len(self._arrived) < self.busy:
                return False
            self._order.popleft()
            if is_stop:
                self._ready.append(_STOPS[kind](reason))
                return True
            if name in self._arrived:
                self._ready.extend(self._arrived.pop(name))
                return True
        if not self._arrived:
            return False
        self._ready.extend(self._arrived.pop(next(iter(self._arrived))))
        return True


class _Bundle(list[Any]):
    """What a piece of work has told, and its result."""


def _messages(message: Any) -> list[Any]:
    return list(message) if isinstance(message, _Bundle) else [message]


def _name(result: Any) -> str:
    if isinstance(result, Evaluated):
        return f"{Evaluated.__name__} {result.candidate}"
    return f"{Reflected.__name__} {result.proposal}"
