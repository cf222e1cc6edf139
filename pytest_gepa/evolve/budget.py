"""The budget of rollouts: nothing is handed out that has not been reserved, so that it is never exceeded."""

from __future__ import annotations


class Budget:
    """Rollouts that may still be charged. `spent` are charged, `reserved` are handed out and not yet
    settled.
    """

    def __init__(self, limit: int) -> None:
        if limit < 0:
            raise ValueError("a budget cannot be negative")
        self.limit = limit
        self.spent = 0
        self.reserved = 0

    @property
    def remaining(self) -> int:
        """Rollouts that are neither charged nor reserved."""
        return self.limit - self.spent - self.reserved

    def grant(self, rollouts: int) -> None:
        """Let so many more be charged."""
        if rollouts < 0:
            raise ValueError("cannot take back what was granted")
        self.limit += rollouts

    def reserve(self, rollouts: int) -> bool:
        """Set `rollouts` aside and return True, or change nothing and return False when fewer remain."""
        if rollouts < 0:
            raise ValueError("cannot reserve a negative number of rollouts")
        if rollouts > self.remaining:
            return False
        self.reserved += rollouts
        return True

    def settle(self, reserved: int, charged: int) -> None:
        """Close a reservation: `charged` of it are spent and the rest is given back.

        Raises `ValueError` when more is charged than was reserved, or more settled than is out.
        """
        if not 0 <= charged <= reserved <= self.reserved:
            raise ValueError(f"cannot settle {charged} of {reserved} rollouts with {self.reserved} reserved")
        self.reserved -= reserved
        self.spent += charged
