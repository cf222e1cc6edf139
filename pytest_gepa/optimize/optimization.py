"""The story of one optimization: baseline and search, shrinking, confirm run. Each part has its own module."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import islice

from pytest_gepa.errors import GepaError, SettingsError
from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.problem import TIE, SearchCase
from pytest_gepa.evolve.search import Search
from pytest_gepa.optimize.confirm import ConfirmRun
from pytest_gepa.optimize.driver import SearchDriver
from pytest_gepa.optimize.extensions import Extensions
from pytest_gepa.optimize.shrink_run import ShrinkRun
from pytest_gepa.optimize.state import RunState, Screen
from pytest_gepa.prompts.components import Component, format_problem, todays_texts
from pytest_gepa.prompts.guards import Guard
from pytest_gepa.prompts.leaks import CaseText, Leaks, case_values
from pytest_gepa.prompts.pairs import json_pair, no_answers
from pytest_gepa.prompts.protected import protection_problem
from pytest_gepa.reflect.model import ReflectionModel
from pytest_gepa.reflect.withhold import Withholder
from pytest_gepa.run.clock import ConfirmCut, RunClock
from pytest_gepa.run.crew import Crew
from pytest_gepa.run.interrupts import undisturbed
from pytest_gepa.run.journal import Journal
from pytest_gepa.run.plan import BudgetPlan, confirm_rollouts, search_settings
from pytest_gepa.run.replaced import filled_in_by_replace, project_sources
from pytest_gepa.settings import NO_MODEL, Settings
from pytest_gepa.suite.evaluate import Suite
from pytest_gepa.suite.rollout import Case


class Optimization:
    """One run. `run` may be interrupted at any time; `state` then holds what was found.

    `ancestor` are texts of an earlier day by component, with which the search begins as well as with today's.
    `confirm_cut` is what the time has left of the confirm run that is replayed.
    """

    def __init__(
        self,
        settings: Settings,
        run: str,
        cases: Sequence[Case],
        components: Sequence[Component],
        plan: BudgetPlan,
        suite: Suite,
        model: ReflectionModel,
        journal: Journal,
        screen: Screen,
        extensions: Extensions,
        withholder: Withholder,
        crew: Crew | None = None,
        ancestor: Mapping[str, str] | None = None,
        confirm_cut: ConfirmCut | None = None,
    ) -> None:
        texts = todays_texts(components)
        guard = make_guard(components, cases, (ancestor or {}).values())
        search = Search(
            [_search_case(case) for case in cases if case.split == "search"],
            texts,
            search_settings(
                settings.seed,
                plan,
                has_model=model.settings.model != NO_MODEL,
                max_broken=settings.max_broken,
            ),
            guard=guard.check,
            decisions=extensions.decisions,
            ancestor=ancestor,
        )
        by_id = {case.id: case for case in cases}
        self.state = RunState(search, planned_trials=plan.trials)
        self._max_broken = settings.max_broken
        self._confirmed = settings.confirm
        self._suite = suite
        self._model = model
        self._extensions = extensions
        crew = crew or Crew()
        clock = RunClock(
            None if settings.replay == "only" else settings.minutes,
            self.state.started,
            partial(self._confirm_rollouts, plan, cases),
            len(search.pool.ledger.cases),
            settings.concurrency,
        )
        self._driver = SearchDriver(
            self.state,
            by_id,
            suite,
            model,
            journal,
            screen,
            clock,
            guard,
            extensions,
            settings.edits,
            crew,
            withholder,
            settings.concurrency,
            is_joint=settings.is_joint,
        )
        self._shrink_run = (
            ShrinkRun(self.state, by_id, suite, journal, screen, guard.check, plan.shrink, clock, crew)
            if settings.shrinks
            else None
        )
        # The budget that the search leaves is known only when it has ended, so the confirm run is made then.
        self._confirm_run = partial(
            ConfirmRun, run, self.state, by_id, plan, suite, journal, screen, clock, confirm_cut
        )

    def _confirm_rollouts(self, plan: BudgetPlan, cases: Sequence[Case]) -> int:
        """What the confirm run takes by what is known so far."""
        if plan.is_adaptive and self.state.has_repeated_exactly:
            return confirm_rollouts(cases, 1, plan.candidates)
        return plan.confirm

    def run(self) -> None:
        """Search, choose, shrink, confirm. When it is interrupted every child is ended, and the interrupt goes on."""
        state, search = self.state, self.state.search
        try:
            self._driver.run()
            # Chosen before the confirm run is looked at, and never again.
            state.winner = search.choose_winner(self._max_broken)
            self._extensions.check()
            if state.winner.id != search.seed.id:
                if self._shrink_run:
                    self._shrink_run.run(state.winner)
                    self._extensions.check()
                state.rivals = self._rivals(state.winner)
                self._confirm_run().run(state.winner, state.rivals)
        except BaseException as error:
            if isinstance(error, GepaError) and state.search_ended:
                state.confirm_stopped = state.confirm_stopped or error.brief
            elif isinstance(error, GepaError):
                state.stopped = state.stopped or error.brief
            # A second Ctrl-C comes easily while children end; what was found must not be lost by it.
            with undisturbed():
                self._stop()
            raise
        finally:
            if warning := self._model.warning:
                state.warnings.append(warning)

    def _stop(self) -> None:
        """End every child, take in what had come, and name the best so far where none was chosen."""
        try:
            self._suite.stop()
            if self.state.winner is None:
                self._driver.keep_waiting()
        finally:
            self.state.winner = self.state.winner or self._best_so_far()

    def _rivals(self, winner: Candidate) -> tuple[Candidate, ...]:
        """The best others of the frontier that are better than the seed, as many as are confirmed beside the winner:
        each costs trials, and makes the others harder to prove.
        """
        search = self.state.search
        least = search.mean(search.seed) + TIE
        known = [search.candidates[standing.candidate] for standing in search.frontier()]
        others = [one for one in known if one.id not in (winner.id, search.seed.id, self.state.unshrunk)]
        allowed = (one for one in others if search.mean(one) > least and len(search.broken(one)) <= self._max_broken)
        return tuple(islice(allowed, self._confirmed - 1))

    def _best_so_far(self) -> Candidate:
        """What an interrupted run has to show: at worst a candidate that breaks a case, or has run on a few only."""
        search = self.state.search
        for most_broken in (self._max_broken, sys.maxsize):
            best = search.best(most_broken)
            if best.id != search.seed.id:
                return best
        accepted = [decision.candidate for decision in self.state.decisions if decision.kind == "accepted"]
        return search.candidates[accepted[-1]] if accepted else search.seed


def _search_case(case: Case) -> SearchCase:
    """Without a threshold of its own a case has something left to mend until it has full marks."""
    return SearchCase(case.id, case.weight, 1.0 if case.threshold is None else case.threshold)


def make_guard(components: Sequence[Component], cases: Sequence[Case], earlier: Iterable[str] = ()) -> Guard:
    """The guard of a run. What stands in `earlier` texts, with which the search begins as well, is no leak either.
    Raises `PromptError` for malformed markers of protected regions.
    """
    by_id = {component.id: component for component in components}
    texts = {id: component.text for id, component in by_id.items()}
    strings = [
        CaseText(
            case.id,
            case_values(case.parameters, case.source),
            is_held_out=case.split == "holdout",
            pair=json_pair(case.parameters, case.source),
            no_answers=no_answers(case.parameters, case.source),
        )
        for case in cases
    ]

    def problem(component: str, text: str) -> str | None:
        reason = format_problem(by_id[component], text)
        return None if reason is None else f"not for this format: {reason}"

    replaced = filled_in_by_replace(texts, project_sources())
    return Guard(texts, Leaks(strings, [*texts.values(), *earlier]), problem, replaced)


def check_ancestor(components: Sequence[Component], ancestor: Mapping[str, str]) -> None:
    """Raise `SettingsError` for earlier texts with which no search can begin, as a passage that is protected today is
    another there: it would be lost with them, and every edit of them refused.
    """
    for component in components:
        if protection_problem(component.text, ancestor.get(component.id, component.text)) is not None:
            raise SettingsError(
                f"{component.id}: the text of --gepa-ancestor has not the protected passages (gepa: keep) of today; "
                "name a commit that has them, leave the prompt out with --gepa-prompts, or do without an ancestor"
            )
