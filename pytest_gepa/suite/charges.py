"""What a run knew of its rollouts that stored answers do not tell: for one that replays or resumes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from pytest_gepa.suite.rollout import Outcome, Rollout
from pytest_gepa.trace.trajectory import Trajectory


class Allowance(Protocol):
    """Where retries are paid from."""

    def reserve(self, rollouts: int) -> bool:
        """Set rollouts aside; False when they cannot be afforded."""

    def settle(self, reserved: int, charged: int) -> None:
        """Close a reservation."""


def reserve_up_to(allowance: Allowance, rollouts: int) -> int:
    """Set rollouts aside, all of them or as many as there is room for; how many these are."""
    while rollouts > 0 and not allowance.reserve(rollouts):
        rollouts -= 1
    return rollouts


def charge(allowance: Allowance, rollouts: int) -> None:
    """Count rollouts that were paid for: all of them, or as many as there is room for."""
    if (number := reserve_up_to(allowance, rollouts)) > 0:
        allowance.settle(number, number)


@dataclass(frozen=True, slots=True)
class Charge:
    """`charged` says whether a rollout was paid for, `in_vain` how many attempts before it were, `stopped` whether the
    cost cap had stopped it. `seconds` is how long its calls took, None where that is not known. One in `trouble` may
    have no answer to some of its calls.
    """

    charged: bool = False
    stopped: bool = False
    seconds: float | None = None
    trouble: bool = False
    in_vain: int = 0

    @property
    def paid(self) -> int:
        """How many rollouts were paid for in all."""
        return self.charged + self.in_vain

    @property
    def is_lost(self) -> bool:
        """Whether it was paid for and is paid for again by a run that resumes."""
        return self.charged and (self.trouble or self.stopped)


Charges: TypeAlias = Mapping[tuple[str, str, str], Charge]
"""By candidate, case and trial."""

NO_ROOM = "it ended in trouble in the run that is resumed, and the budget has no room to pay for it again"


class Before:
    """The run that is replayed or resumed; `charges` is None where there is none."""

    def __init__(self, charges: Charges | None, *, is_replay: bool) -> None:
        self._charges = charges or {}
        self._is_replay = is_replay and charges is not None

    def known(self, candidate: str, case: str, trial: str) -> Charge:
        """What it knew of a rollout."""
        return self._charges.get((candidate, case, trial), Charge())

    def known_of(self, rollout: Rollout) -> Charge:
        """The same of one that was run again."""
        return self.known(rollout.candidate, rollout.case, rollout.trial)

    def paid(self, rollout: Rollout) -> int:
        """How many of the attempts that a rollout was charged for it had paid for; 0 in a replay, where nothing is."""
        return 0 if self._is_replay else self.known_of(rollout).paid

    def lost(self, candidate: str, case: str, trial: str) -> int:
        """What is counted of a rollout beside the one that is paid for again; 0 where that need not be."""
        known = self.known(candidate, case, trial)
        return known.paid if known.is_lost and not self._is_replay else 0

    def spared(self, candidate: str, case: str, trial: str) -> Rollout:
        """What stands for a rollout that is not paid for again."""
        known = self.known(candidate, case, trial)
        trajectory = Trajectory(failure=NO_ROOM)
        rollout = Rollout(candidate, case, trial, Outcome.error, None, trajectory)
        return replace(rollout, charged=known.charged, in_vain=known.in_vain)

    def counted(self, rollout: Rollout, last: Rollout | None) -> Rollout:
        """A rollout with all that it was charged for, here and there; `last` is the attempt that it replaces."""
        known = self.known_of(rollout)
        if known.stopped and rollout.outcome is Outcome.unrecorded:
            rollout = replace(rollout, outcome=Outcome.stopped)
        is_paid = rollout.charged and not self._is_replay
        if last is not None:
            return replace(rollout, charged=is_paid, in_vain=last.in_vain + last.charged)
        if is_paid:
            # Paid for again, as it had ended in trouble, or an answer is stored nowhere: both times count.
            return replace(rollout, in_vain=known.paid)
        # What was paid for it then is counted with the first attempt, and those in vain with it.
        return replace(rollout, charged=known.charged, in_vain=known.in_vain)
