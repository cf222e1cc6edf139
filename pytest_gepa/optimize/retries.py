"""What retries of an evaluation are paid from: the budget of the search, each of them noted in the journal."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from pytest_gepa.evolve.budget import Budget
from pytest_gepa.evolve.tasks import Event, Retried, Retrying
from pytest_gepa.run.crew import Crew


class Retries:
    """An `Allowance` for the suite's threads. `lock` guards the budget; `note` is called in the deciding thread."""

    def __init__(self, budget: Budget, lock: threading.Lock, crew: Crew, note: Callable[[Event], None]) -> None:
        self._budget = budget
        self._lock = lock
        self._crew = crew
        self._note = note

    def reserve(self, rollouts: int) -> bool:
        """Set rollouts aside for a retry; False when they cannot be afforded."""
        with self._lock:
            granted = self._budget.reserve(rollouts)
        if granted:
            self._crew.tell(partial(self._note, Retrying(rollouts)))
        return granted

    def settle(self, reserved: int, charged: int) -> None:
        """Close such a reservation."""
        with self._lock:
            self._budget.settle(reserved, charged)
        self._crew.tell(partial(self._note, Retried(reserved, charged)))
