"""Drives the shrinking of the winner, between search and confirm run. One thread decides."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.changes import changes, fair_share
from pytest_gepa.evolve.children import Guard
from pytest_gepa.evolve.shrink import Shrink
from pytest_gepa.evolve.tasks import Decision, Evaluate, Evaluated, Event, Stopped
from pytest_gepa.optimize.evaluator import Evaluator
from pytest_gepa.optimize.retries import Retries
from pytest_gepa.optimize.state import RunState, Screen
from pytest_gepa.run.clock import RunClock, finite
from pytest_gepa.run.crew import Crew
from pytest_gepa.run.journal import Journal, as_fields
from pytest_gepa.suite.evaluate import Suite
from pytest_gepa.suite.rollout import Case


class ShrinkRun:
    """Shrinks the winner; `state.winner` is the smallest so far at any time, whatever ends it.

    It may take `kept` rollouts, which were kept for it, and what the search has left of its own. `clock` bounds the
    run as it bounds the search; `crew` is that of the search, which knows a recorded order.
    """

    def __init__(
        self,
        state: RunState,
        cases: Mapping[str, Case],
        suite: Suite,
        journal: Journal,
        screen: Screen,
        guard: Guard,
        kept: int,
        clock: RunClock,
        crew: Crew,
    ) -> None:
        self._state = state
        self._journal = journal
        self._screen = screen
        self._guard = guard
        self._kept = kept
        self._clock = clock
        self._crew = crew
        self._lock = threading.Lock()  # retries are reserved by the threads that wait for rollouts
        retries = Retries(state.search.budget, self._lock, crew, self._journal_event)
        self._evaluator = Evaluator(state, cases, suite, journal, screen, crew, retries)

    def run(self, winner: Candidate) -> None:
        """Run it to its end. Raises what the work raises, and `KeyboardInterrupt`."""
        state, search = self._state, self._state.search
        share = fair_share(len(search.pool.ledger.cases), len(changes(search.seed, winner)))
        search.budget.grant(self._kept)
        most = min(search.budget.remaining, share)
        self._journal.write("shrink", winner=winner.id, most=most)
        state.shrink = Shrink(search.pool, winner, search.budget, most, self._guard)
        try:
            with self._crew.interruptible():
                self._heed(state.shrink, state.shrink.decided())
                # Of a replay the record knows it, also where what stopped the run came when its search had ended.
                if reason := state.stopped or self._crew.stop_due():
                    self._tell(state.shrink, Stopped(reason))
                self._measure(state.shrink)
        except BaseException:
            self._crew.keep_waiting()
            raise

    def _measure(self, shrink: Shrink) -> None:
        deadline = finite(self._clock.end_of_shrinking)
        while task := self._ask(shrink):
            self._crew.start(partial(self._evaluator.run, task))
            message = None
            while not isinstance(message, Evaluated):
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    deadline, message = None, Stopped(self._clock.what_is_over(time.monotonic()))
                else:
                    try:
                        message = self._crew.next(left)
                    except queue.Empty:
                        continue
                if isinstance(message, (Evaluated, Stopped)):
                    self._tell(shrink, message)
                elif callable(message):
                    message()
                # Else it is a reply for which the search did not wait.

    def _ask(self, shrink: Shrink) -> Evaluate | None:
        with self._lock:
            task = shrink.ask()
        if task is not None:
            self._evaluator.announce(task)
        return task

    def _tell(self, shrink: Shrink, event: Evaluated | Stopped) -> None:
        with self._lock:
            decisions = shrink.tell(event)
        self._journal_event(event)
        self._heed(shrink, decisions)

    def _heed(self, shrink: Shrink, decisions: Sequence[Decision]) -> None:
        state = self._state
        for decision in decisions:
            self._inherit(state.winner or shrink.before, decision.candidate)
            state.winner = state.search.candidates[decision.candidate]
            state.decisions.append(decision)
            self._journal.write("decision", **as_fields(decision))
            self._screen.decision(decision, state)

    def _inherit(self, winner: Candidate, child: str) -> None:
        """On the cases that were not run again the smaller winner is what the one before was."""
        rollouts, standing = self._state.rollouts, self._state.standing
        known = {case: rollout for (name, case), rollout in standing.items() if name == winner.id}
        spared = {case: rollout for case, rollout in known.items() if (child, case) not in rollouts}
        for case, rollout in spared.items():
            rollouts[child, case] = replace(rollout, candidate=child, charged=False)
        self._journal.write("inherited", candidate=child, cases=list(spared))

    def _journal_event(self, event: Event) -> None:
        self._journal.write("event", type=type(event).__name__, event=event, phase="shrink")
