"""A check on the terminal while it goes on: a status line below pytest's own."""

from __future__ import annotations

import time
from collections.abc import Callable
from operator import is_not
from typing import IO

from pytest_gepa.check.state import CheckState
from pytest_gepa.report.status_line import StatusLine
from pytest_gepa.suite.rollout import Rollout
from pytest_gepa.verdict.sequential import Trials
from pytest_gepa.wording import count, duration


class CheckTerminal:
    """Shows a check while it goes on. `feed` hands the first trials of today's prompts to pytest."""

    def __init__(self, stream: IO[str]) -> None:
        self._judged: tuple[Trials, ...] = ()
        self._undecided = 0
        self.feed: Callable[[Rollout], None] = lambda rollout: None
        self._line = StatusLine(stream)
        self._is_begun = False

    def first_trial(self, rollout: Rollout) -> None:
        """A case has been run under today's prompts: pytest shows it in its own way."""
        self.feed(rollout)

    def progress(self, state: CheckState) -> None:
        """Refresh the status line, once the first trials are over."""
        if not self._line.is_live or not (state.trials or state.planned):
            return
        if not self._is_begun:
            self._line.console.print()
            self._is_begun = True
        elapsed = duration(time.monotonic() - state.started)
        self._line.show(f"gepa: {self._standing(state)}, {count(state.charged, 'rollout')}, {elapsed}")

    def _standing(self, state: CheckState) -> str:
        if state.planned:
            return f"{sum(map(len, state.rollouts.values())):,} of {count(state.planned, 'trial')}"
        trials = tuple(state.trials.values())
        if len(trials) != len(self._judged) or any(map(is_not, trials, self._judged)):
            # To judge every case takes longer than a rollout that is read from the store.
            self._judged = trials
            self._undecided = sum(not tier.decided for tier in state.tiers())
        return f"{count(self._undecided, 'case')} of {len(trials)} undecided"

    def close(self) -> None:
        """Take the status line away."""
        self._line.close()
