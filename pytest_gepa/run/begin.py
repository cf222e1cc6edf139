"""What every run begins with, of whatever mode: its directory, journal, stored answers and child sessions."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pytest

from pytest_gepa import __version__
from pytest_gepa.cost.prices import PriceList
from pytest_gepa.prompts.components import Component, todays_texts
from pytest_gepa.run.answers import RunAnswers, answers_place
from pytest_gepa.run.directory import name_in_trials, new_run_directory
from pytest_gepa.run.journal import Journal
from pytest_gepa.run.last_steps import LastSteps
from pytest_gepa.run.plan import BudgetPlan
from pytest_gepa.run.resume import EarlierRun
from pytest_gepa.run.spending import Spending
from pytest_gepa.run.surroundings import COSTS, make_suite
from pytest_gepa.settings import Settings
from pytest_gepa.suite.evaluate import Suite
from pytest_gepa.suite.program import program_digest
from pytest_gepa.suite.rollout import Case
from pytest_gepa.trace.redact import Redactor

NO_CONFIRM = BudgetPlan(limit=0, search=0, confirm=0, probe=0, trials=0)
"""Of a run that keeps nothing for a confirm run."""


@dataclass(frozen=True, slots=True)
class BegunRun:
    """A run that has begun, before anything is sent. `temp` goes with `close`, `directory` stays. `program` is the
    digest of the code under test, as it was then.
    """

    directory: Path
    temp: Path
    journal: Journal
    answers: RunAnswers
    suite: Suite
    program: str

    def spending(
        self,
        settings: Settings,
        cases: Sequence[Case],
        plan: BudgetPlan = NO_CONFIRM,
        earlier: EarlierRun | None = None,
        reflection: int = 0,
    ) -> Spending:
        """The costs of the run. No cap stops a replay, which costs nothing; what a resumed run has cost counts.
        `reflection` is what a request to the reflection model reserves at the least, in billionths of a dollar.
        """
        cap = None if settings.replay == "only" else settings.max_cost
        if cap is not None and earlier is not None:
            cap -= earlier.usd
        return Spending(
            self.temp / COSTS,
            PriceList(settings.prices),
            cap,
            plan,
            cases,
            earlier.confirmed if earlier else (),
            shares_answers=settings.replay != "off",
            reflection=reflection,
        )

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Give the run up where what is prepared for it raises: nothing has been sent yet."""
        try:
            yield
        except BaseException:
            self.give_up()
            raise

    def give_up(self) -> None:
        """Leave nothing behind of a run of which nothing has been sent; what is wrong with that is not raised."""
        steps = LastSteps()
        steps.take(self.suite.runner.close)
        steps.take(self.close)
        shutil.rmtree(self.directory, ignore_errors=True)

    def close(self) -> None:
        """Give back what the run holds, when no job runs."""
        steps = LastSteps()
        steps.take(self.journal.close)
        steps.take(self.answers.close)
        shutil.rmtree(self.temp, ignore_errors=True)
        steps.raise_first()


def begin_run(
    config: pytest.Config,
    settings: Settings,
    cases: Sequence[Case],
    components: Sequence[Component],
    redactor: Redactor,
    about: Mapping[str, object],
    reflection_model: str = "",
    earlier: EarlierRun | None = None,
) -> BegunRun:
    """Begin a run; `about` are further fields of the journal's first record. `earlier` is one that it resumes, in
    whose trials it then is.

    Raises `GepaError` for what the user can mend, and leaves no run behind then.
    """
    with ExitStack() as undo:
        temp = Path(tempfile.mkdtemp(prefix="gepa-"))
        undo.callback(shutil.rmtree, temp, ignore_errors=True)
        directory = new_run_directory(settings.rootdir, date.today())
        undo.callback(shutil.rmtree, directory, ignore_errors=True)
        run = earlier.name if earlier else name_in_trials(directory)
        journal = Journal(directory / "journal.jsonl", redactor.redact)
        undo.callback(journal.close)
        journal.write(
            "run",
            version=1,
            pytest_gepa=__version__,
            run=run,
            settings=replace(settings, rootdir=Path(), prompts_base=Path()),
            cases=cases,
            components=todays_texts(components),
            reflection_model=reflection_model,
            resumes=earlier.directory_name if earlier else "",
            **about,
        )
        place = answers_place(settings, directory, temp)
        answers = RunAnswers(settings, run, reflection_model, place, redactor.redact_certain, earlier)
        undo.callback(answers.close)
        suite = make_suite(config, settings, cases, components, temp, answers)
        program = program_digest(settings.rootdir, components, cases)
        undo.pop_all()
    return BegunRun(directory, temp, journal, answers, suite, program)
