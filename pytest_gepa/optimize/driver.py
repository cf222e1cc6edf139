"""Drives the search: hands its tasks to threads, tells it their results, keeps the journal. One thread decides."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from pytest_gepa.cost.prices import usd
from pytest_gepa.errors import OutOfMoney, ReflectionError, ReflectionOver, SetupError
from pytest_gepa.evolve.tasks import (
    Closing,
    Decision,
    Evaluate,
    Evaluated,
    Event,
    GivenUp,
    Reflect,
    Reflected,
    Stopped,
    Task,
)
from pytest_gepa.optimize.evaluator import Evaluator
from pytest_gepa.optimize.extensions import Extensions
from pytest_gepa.optimize.menu_record import MenuRecord
from pytest_gepa.optimize.opening import Opening
from pytest_gepa.optimize.proposer import Proposer
from pytest_gepa.optimize.reflecting import RepliesInOrder, Turns, reply_of
from pytest_gepa.optimize.retries import Retries
from pytest_gepa.optimize.state import RunState, Screen
from pytest_gepa.prompts.edits import KINDS
from pytest_gepa.prompts.guards import Guard
from pytest_gepa.reflect.menu import MenuChoice
from pytest_gepa.reflect.model import ReflectionModel
from pytest_gepa.reflect.propose import ProposedEdit
from pytest_gepa.reflect.withhold import Withholder
from pytest_gepa.run.clock import RunClock, finite
from pytest_gepa.run.crew import Crew
from pytest_gepa.run.journal import Journal, as_fields
from pytest_gepa.run.unreached import why_played, why_too_little, why_unreached
from pytest_gepa.settings import DEFAULT_CONCURRENCY
from pytest_gepa.suite.evaluate import Suite
from pytest_gepa.suite.rollout import Case, Rollout

T = TypeVar("T")

NOTHING_LEFT = "nothing left: the checks of these cases state no rule that was not tried, and no example is left"

GIVEN_UP = "{} requests in a row to the reflection model brought no edit that could be used; it was asked no more"


def is_of_one_round(one: Reflect, other: Reflect) -> bool:
    """Whether two reflections were asked for together, for one child."""
    return (one.parent.id, one.attempt, one.other) == (other.parent.id, other.attempt, other.other)


class SearchDriver:
    """Runs one search to its end.

    `clock` bounds it; `kinds` are the kinds of edit allowed; at most `concurrency` reflections are
    under way at once, and one may be about all prompts of a task where it `is_joint`. What it decides does not hang on
    the order in which their replies come.
    """

    def __init__(
        self,
        state: RunState,
        cases: Mapping[str, Case],
        suite: Suite,
        model: ReflectionModel,
        journal: Journal,
        screen: Screen,
        clock: RunClock,
        guard: Guard,
        extensions: Extensions,
        kinds: tuple[str, ...] = KINDS,
        crew: Crew | None = None,
        withholder: Withholder | None = None,
        concurrency: int = DEFAULT_CONCURRENCY,
        *,
        is_joint: bool = False,
    ) -> None:
        self._state = state
        self._search = state.search
        self._cases = cases
        self._journal = journal
        self._screen = screen
        self._clock = clock
        self._crew = crew or Crew()
        withholder = withholder or Withholder(list(cases.values()))
        # Retries are reserved by the threads that wait for rollouts.
        self._lock = threading.Lock()
        retries = Retries(state.search.budget, self._lock, self._crew, self._journal_event)
        self._evaluator = Evaluator(state, cases, suite, journal, screen, self._crew, retries, withholder)
        self._menus = MenuRecord(state, kinds)
        self._turns = Turns(concurrency)
        self._replies = RepliesInOrder()
        self._asks_no_more = False
        self._useless = 0
        self._has_given_up = False
        self._extensions = extensions
        self._proposer = Proposer(
            cases,
            state.standing,
            model,
            extensions,
            guard,
            kinds,
            withholder,
            journal.redact,
            is_joint=is_joint,
        )
        self._opening = Opening(state, self._proposer)

    def run(self) -> None:
        """Ask, start, wait, tell, until the search has ended. Raises what the work raises, and `KeyboardInterrupt`."""
        with self._crew.interruptible():
            self._decide()
        self._proposer.end()
        self._state.search_ended = self._search.done

    def _decide(self) -> None:
        is_closed = False
        while True:
            if not self._crew.busy:  # else what is under way would be lost, and it is paid for
                self._extensions.check()
            with self._lock:
                tasks = () if self._extensions.has_trouble else self._search.ask()
                self._opening.make(tasks, is_weak=not self._menus.choice.has_gained)
                if any(isinstance(task, Reflect) for task in tasks):
                    self._proposer.begin_round()
                for task in tasks:
                    self._begin(task)
            # A reply that is still to come can change nothing then, and may take minutes.
            if not self._crew.busy or (self._search.done and not self._search.is_evaluating):
                break
            # What evaluations take moves the end of the search.
            deadline = None if is_closed else finite(self._clock.end_of_search)
            if deadline is not None and time.monotonic() >= deadline:
                is_closed = True
                self._state.stopped = self._clock.what_is_over(time.monotonic())
                self._tell(Closing(self._state.stopped))
                continue
            try:
                message = self._crew.next(None if deadline is None else max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                continue
            if isinstance(message, (Stopped, Closing)):
                self._note_stop(message)
            if isinstance(message, Reflected):
                for reply in self._replies.take(message):
                    self._heed_reply(reply)
            elif isinstance(message, (Evaluated, Stopped, Closing)):
                self._tell(message)
            else:
                message()

    def _note_stop(self, stop: Stopped | Closing) -> None:
        """Know in a replay, too, that money or time ended the search: no shrinking is begun then."""
        if not isinstance(stop, GivenUp):
            self._state.stopped = self._state.stopped or stop.reason

    def keep_waiting(self) -> None:
        """Note the rollouts and replies that had come when the run was interrupted: they are paid for."""
        self._crew.keep_waiting()

    def _tell(self, event: Event) -> tuple[Decision, ...]:
        with self._lock:
            decisions = self._search.tell(event)
        self._journal_event(event)
        for decision in decisions:
            self._heed(decision)
        return decisions

    def _journal_event(self, event: Event) -> None:
        self._journal.write("event", type=type(event).__name__, event=event)

    def _heed(self, decision: Decision) -> None:
        self._state.decisions.append(decision)
        candidate = self._search.candidates.get(decision.candidate)
        record = {}
        if decision.kind in ("accepted", "rejected", "step", "merge", "duplicate", "not in effect") and candidate:
            record = {
                "changed": candidate.changed,
                "origin": candidate.origin,
                "proposal": candidate.proposal,
            }
        self._journal.write("decision", **as_fields(decision), **record)
        if decision.kind == "baseline":
            self._proposer.learn_baseline(self._search.seed.id)
            if self._state.spending is not None and (share := self._state.spending.keep_confirm_share()):
                self._journal.write("set aside", usd=usd(share))
        if decision.kind in ("accepted", "rejected") and candidate is not None:
            self._menus.heed_child(candidate, gained=decision.kind == "accepted")
        self._screen.decision(decision, self._state)
        if decision.kind == "baseline":
            self._heed_baseline(self._state.baseline(self._cases))

    def _heed_baseline(self, rollouts: Sequence[Rollout]) -> None:
        """End what is in vain, before a reflection is paid for. Raises `SetupError` where a server was down, say, and
        the search would go by what is left of the suite.
        """
        if reason := why_too_little(rollouts) or why_played(rollouts):
            raise SetupError(reason)
        if reason := why_unreached(rollouts):
            self._tell(GivenUp(reason))

    def _begin(self, task: Task) -> None:
        if isinstance(task, Evaluate):
            self._evaluator.announce(task)
            self._crew.start(partial(self._evaluate, task))
        else:
            self._replies.expect(task.proposal)
            self._state.asked[task.proposal] = task
            self._menus.hand_out(task)
            self._journal.write(
                "reflect",
                proposal=task.proposal,
                parent=task.parent.id,
                parent_mean=self._search.mean(task.parent),
                best_mean=max((standing.mean for standing in self._search.frontier()), default=None),
                components=task.components,
                failing=task.failing,
                neighbours=task.neighbours,
                other=task.other and task.other.candidate.id,
            )
            made = self._opening.of(task.proposal)
            if made is not None:
                if made:
                    self._keep_proposals(task, made)
                self._crew.start(partial(reply_of, task, made, asked=bool(made)))
            elif not self._proposer.is_asked or self._has_given_up:
                self._crew.start(partial(reply_of, task, self._stated(task), (NOTHING_LEFT,)))
            elif self._proposer.asks_jointly(task, self._menus.choice):
                turn = self._turns.draw()
                self._crew.start(partial(self._reflect_jointly, self._opening.as_asked(task), self._menus.choice, turn))
            else:
                turns = {component: self._turns.draw() for component in task.components}
                self._crew.start(partial(self._reflect, self._opening.as_asked(task), self._menus.choice, turns))

    def _evaluate(self, task: Evaluate) -> Evaluated:
        began = time.monotonic()
        found = self._evaluator.run(task)
        if task.purpose != "repeat":
            # Told behind the rollouts, so that they are known when it is heard.
            self._crew.tell(partial(self._learn, task, time.monotonic() - began))
        return found

    def _learn(self, task: Evaluate, seconds: float) -> None:
        """Note how long an evaluation took; runs in the deciding thread."""
        known = self._state.rollouts
        places = ((task.candidate.id, case) for case in task.cases)
        self._clock.learn(seconds, [known[place] for place in places if place in known])

    def _heed_reply(self, reply: Reflected) -> None:
        """Tell the search of a reply, or of what stands in for it, in the order in which replies were asked for."""
        task = self._state.asked[reply.proposal]
        self._menus.heed_reply(task)
        if self._opening.of(reply.proposal) is None:
            self._heed_use(task, is_usable=bool(reply.texts))
            reply = reply if reply.texts else self._instead_of(reply)
        if any(decision.kind == "duplicate" for decision in self._tell(reply)):
            asked = self._state.asked.values()
            self._menus.heed_duplicate([one for one in asked if is_of_one_round(one, task)])

    def _heed_use(self, task: Reflect, *, is_usable: bool) -> None:
        """Ask the model no more when too many of its replies in a row were of no use: what stands in for them may still
        be a gain, and would keep the search going for ever.
        """
        if not any(one.replies for one in self._state.proposals.get(task.proposal, {}).values()):
            return
        self._useless = 0 if is_usable else self._useless + 1
        if self._useless == self._search.settings.invalid and not self._extensions.has_proposer:
            self._has_given_up = True
            self._state.warnings.append(GIVEN_UP.format(self._useless))

    def _instead_of(self, reply: Reflected) -> Reflected:
        """A proposal that needs no model where the replies held no edit, else these as they are."""
        if self._search.done or not self._proposer.is_asked:
            return reply
        task = self._state.asked[reply.proposal]
        otherwise = reply.rejections or (() if self._proposer.has_model else (NOTHING_LEFT,))
        return reply_of(task, self._stated(task), otherwise)

    def _stated(self, task: Reflect) -> list[ProposedEdit]:
        """What the checks of the failing cases state themselves, as a proposal; runs in the deciding thread."""
        proposal = self._proposer.stated(task)
        if proposal is None:
            return []
        self._keep_proposals(task, [proposal])
        return [proposal]

    def _reflect(self, task: Reflect, menus: MenuChoice, turns: Mapping[str, int]) -> Reflected:
        inner = Crew()
        for component, turn in turns.items():
            inner.start(partial(self._propose, task, component, menus, turn))
        proposals = sorted((inner.next() for _ in task.components), key=lambda proposal: proposal.component)
        self._crew.tell(partial(self._keep_proposals, task, proposals))
        return reply_of(task, proposals)

    def _reflect_jointly(self, task: Reflect, menus: MenuChoice, turn: int) -> Reflected:
        ask = partial(self._proposer.propose_jointly, task, menus)
        proposals = self._take_turn(turn, ask) or [ProposedEdit(component, None) for component in task.components]
        self._crew.tell(partial(self._keep_proposals, task, proposals))
        return reply_of(task, proposals)

    def _propose(self, task: Reflect, component: str, menus: MenuChoice, turn: int) -> ProposedEdit:
        ask = partial(self._proposer.propose, task, component, menus)
        return self._take_turn(turn, ask) or ProposedEdit(component, None)

    def _take_turn(self, turn: int, ask: Callable[[], T]) -> T | None:
        """What comes of asking when its turn has come; None where nothing may be sent any more."""
        with self._turns.take(turn):
            if self._asks_no_more:
                return None
            try:
                return ask()
            except ReflectionOver:
                return None
            except OutOfMoney as error:
                self._asks_no_more = True
                self._state.stopped = self._state.stopped or str(error)
                self._crew.tell(Stopped(str(error)))
            except ReflectionError as error:
                self._asks_no_more = True
                # What has been found so far is worth a confirm run, so the search ends here and not the session.
                self._crew.tell(partial(self._reflection_failed, str(error)))
            return None

    def _reflection_failed(self, reason: str) -> None:
        if not self._state.reflection_failed:
            self._state.reflection_failed = reason
            self._tell(GivenUp(f"the reflection model cannot be used: {reason}"))

    def _keep_proposals(self, task: Reflect, proposals: Sequence[ProposedEdit]) -> None:
        """Keep what the model said; runs in the deciding thread."""
        self._state.proposals[task.proposal] = {proposal.component: proposal for proposal in proposals}
        for proposal in proposals:
            self._state.reflections += proposal.calls
            self._state.rejections.update(proposal.rejections)
            self._journal.write("proposal", id=task.proposal, parent=task.parent.id, **as_fields(proposal))
