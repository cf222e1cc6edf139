"""What runs the trials of a check: run directory, journal, answers and child sessions, tied to the user's session."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

import pytest

from pytest_gepa.check.rounds import Bench
from pytest_gepa.check.state import TODAY, CheckState
from pytest_gepa.codec import to_json
from pytest_gepa.front.feed import MOST_WAITING, Feeder
from pytest_gepa.front.session import check_prices, end_steps, keep_answers, print_lines
from pytest_gepa.hook_calls import tell_finished
from pytest_gepa.prompts.components import Component
from pytest_gepa.report.check_formats import OF_A_SIMULATED_MODEL, junit_properties
from pytest_gepa.report.check_result import CheckResult
from pytest_gepa.report.check_screen import CheckTerminal
from pytest_gepa.report.rows import row
from pytest_gepa.run.begin import begin_run
from pytest_gepa.run.interrupts import undisturbed
from pytest_gepa.run.last_steps import LastSteps
from pytest_gepa.settings import Settings
from pytest_gepa.suite.pytest_internals import terminal_stream
from pytest_gepa.suite.rollout import Case, Rollout
from pytest_gepa.suite.usage import save_usage, usage_of, with_digests
from pytest_gepa.trace.redact import Redactor


class Story(Protocol):
    """What is run: a check, a comparison with a baseline, or one that is saved."""

    state: CheckState

    @property
    def first_cases(self) -> tuple[str, ...]:
        """The cases that are run at least once under today's prompts."""

    def run(self) -> None:
        """Run it to its end."""


class CheckSession:
    """Opened before anything is sent; `conduct` closes it. Where its `with` raises before that nothing is left of it.
    `about` are further fields of the journal's first record.
    """

    def __init__(
        self,
        session: pytest.Session,
        settings: Settings,
        cases: Sequence[Case],
        components: Sequence[Component],
        redactor: Redactor,
        about: Mapping[str, object],
    ) -> None:
        self._session = session
        self._settings = settings
        self._cases = cases
        run = begin_run(session.config, settings, cases, components, redactor, about)
        self._run = run
        self.directory, self.journal = run.directory, run.journal
        self._answers, self._suite, self.program = run.answers, run.suite, run.program
        self._is_conducted = False
        with run.preparing():
            self._screen = CheckTerminal(terminal_stream(session.config))
        self.bench = Bench(settings, self._answers.name, cases, components, self._suite, self.journal, self._screen)

    def __enter__(self) -> CheckSession:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_how: object) -> None:
        if kind is not None and not self._is_conducted:
            self._run.give_up()

    def conduct(self, story: Story, opening: Sequence[str], finish: Callable[[], CheckResult | None]) -> None:
        """Run a story to its end, show its first trials as pytest's own, and call `finish` however it has ended.

        `finish` writes down what was found, and returns it without secrets, if it is a result. Raises `GepaError` when
        a request came whose price has no bound.
        """
        config, settings = self._session.config, self._settings
        # A JUnit file takes a case's properties with its last report, so that the reports have to wait for the tiers.
        held: list[Rollout] | None = [] if config.getoption("xmlpath", None) else None
        most_waiting = MOST_WAITING if held is None else math.inf  # all will be there
        feeder = Feeder(self._session, self._cases, story.first_cases, most_waiting)
        self._screen.feed = feeder.feed if held is None else held.append
        print_lines(terminal_stream(config), [*opening, *self._answers.notes])
        spending = self._run.spending(settings, self._cases)
        story.state.spending = spending
        self._is_conducted = True
        steps = LastSteps()
        if steps.take(story.run):
            keep_answers(steps, self._answers, self.directory, story.state, spending)
        # Whatever ended it: what was paid for is written down.
        with undisturbed():
            steps.take(self._screen.close)
            if held is None:
                steps.take(feeder.flush)
            steps.take(self._suite.runner.close)
            story.state.problems = (*self._answers.problems, *self._suite.problems, *feeder.problems)
            found: list[CheckResult | None] = []
            steps.take(lambda: found.append(finish()))
            steps.take(partial(self._keep_usage, story.state))
            result = found[0] if found else None
            if held is not None:
                feeder.properties = self._properties(result)
                for rollout in held:
                    steps.take(partial(feeder.feed, rollout))
                steps.take(feeder.flush)
                told = map(self.journal.redact, feeder.problems)
                print_lines(terminal_stream(config), [row("trouble in recording", problem) for problem in told])
            if result is not None:
                tell = partial(tell_finished, config.hook, to_json(result), str(self.directory))
                steps.take(partial(tell, settings.mode, self.journal.redact))
            steps.take(partial(check_prices, spending))
            steps.take(self._run.close)
        end_steps(steps, terminal_stream(config), self.journal.redact)

    def _properties(self, result: CheckResult | None) -> dict[str, list[tuple[str, str]]]:
        """What a JUnit file is to say of cases, by their ids."""
        if result is None:
            return {}
        also = [OF_A_SIMULATED_MODEL] if result.simulated else []
        found = {case.case: [*junit_properties(case), *also] for case in result.cases}
        return {case.id: found.get(case.nodeid, []) for case in self._cases}

    def _keep_usage(self, state: CheckState) -> None:
        learned = usage_of(self.directory.name, state.today.texts, state.every_rollout(TODAY))
        save_usage(self.directory.parents[1], with_digests(learned, self._cases, self.program))
