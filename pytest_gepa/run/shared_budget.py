"""A budget that several threads draw on: the one that hands out work, and the suite's, which pay for retries."""

from __future__ import annotations

import threading

from pytest_gepa.evolve.budget import Budget


class SharedBudget(Budget):
    """A budget of which one thread at a time takes or gives back."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._lock = threading.Lock()

    def reserve(self, rollouts: int) -> bool:
        """Set `rollouts` aside and return True, or change nothing and return False when fewer remain."""
        with self._lock:
            return super().reserve(rollouts)

    def settle(self, reserved: int, charged: int) -> None:
        """Close a reservation: `charged` of it are spent and the rest is given back."""
        with self._lock:
            super().settle(reserved, charged)
