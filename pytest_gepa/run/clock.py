"""How long an optimization may go on: `--gepa-max-minutes`, and what of it is kept for the confirm run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pytest_gepa.suite.rollout import Rollout

MARGIN = 1.3
"""By so much the confirm run may take longer than what was measured shows: the winner's prompts are longer."""

CONFIRM_PART = 0.5
"""Of all of the time, the confirm run is kept so much at most."""


@dataclass(frozen=True, slots=True)
class ConfirmCut:
    """What the time has left of a confirm run: so many whole `trials`, and why there are no more."""

    trials: int
    reason: str


class RunClock:
    """The time of one run, measured by what evaluations take. Where there is no bound, nothing is ever over.

    `confirm` tells how many rollouts the confirm run takes, as far as that is known by then; `searched` is the number
    of search cases, `concurrency` how many cases run at once. What evaluations of the search asked anew tells how long
    a case takes; what was answered from a store tells nothing.
    """

    def __init__(
        self,
        minutes: float | None,
        started: float,
        confirm: Callable[[], int],
        searched: int,
        concurrency: int,
    ) -> None:
        self._minutes = minutes
        self._started = started
        self._confirm = confirm
        self._searched = searched
        self._concurrency = concurrency
        self._asked = 0
        self._seconds_of_a_case = 0.0

    @property
    def end(self) -> float:
        """When the time is over, as `time.monotonic` counts; infinite without a bound."""
        return math.inf if self._minutes is None else self._started + 60 * self._minutes

    @property
    def end_of_shrinking(self) -> float:
        """When shrinking has to end, so that the confirm run has its share."""
        return self.end - self._kept(self._confirm())

    @property
    def end_of_search(self) -> float:
        """When the search has to close: what has passed its gate by then is still run on all cases."""
        return self.end - self._kept(self._confirm(), self._searched)

    def what_is_over(self, now: float) -> str:
        """Why nothing new is begun any more at this time, in words."""
        minutes = f"the {self._minutes:g} minutes are over" if self._minutes is not None else ""
        if now >= self.end:
            return minutes
        return f"{minutes}, but for those that are kept for the confirm run"

    def what_is_too_short(self) -> str:
        """Why no further trial of the confirm run is begun, in words."""
        return f"the {self._minutes:g} minutes have no room for another trial of the confirm run"

    def learn(self, seconds: float, rollouts: Iterable[Rollout]) -> None:
        """Take in how long an evaluation took. The one that asked the models in most cases tells most."""
        asked = sum(map(_has_asked, rollouts))
        if asked > self._asked:
            self._asked, self._seconds_of_a_case = asked, seconds / self._turns(asked)

    def _kept(self, *evaluations: int) -> float:
        """Seconds that evaluations of so many cases will take, no more than the confirm run may be kept."""
        if self._minutes is None:
            return 0.0
        wanted = MARGIN * self._seconds_of_a_case * sum(map(self._turns, evaluations))
        return min(wanted, CONFIRM_PART * 60 * self._minutes)

    def _turns(self, cases: int) -> int:
        """How often as many cases as run at once have to be run."""
        return math.ceil(cases / self._concurrency)


def finite(end: float) -> float | None:
    """A point in time, None for one that never comes."""
    return None if math.isinf(end) else end


def _has_asked(rollout: Rollout) -> bool:
    return rollout.charged and any(call.sent and not call.cached for call in rollout.trajectory.calls)
