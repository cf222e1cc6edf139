"""Between a pytest session and a run: what the session collected goes in, reports and the closing section come out."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import IO

import pytest

from pytest_gepa.answers import RunAnswers
from pytest_gepa.codec import to_json
from pytest_gepa.cost.prices import PriceList
from pytest_gepa.errors import GepaError
from pytest_gepa.evolve.tasks import Decision
from pytest_gepa.extensions import Extensions
from pytest_gepa.feed import Feeder
from pytest_gepa.journal import Journal
from pytest_gepa.optimize import Optimization
from pytest_gepa.plan import BudgetPlan, plan_budget
from pytest_gepa.plugin import INITIAL_SYS_PATH, closing_key, exit_status_key
from pytest_gepa.prompts.components import Component, compose
from pytest_gepa.prompts.finding import DEFAULT_PATTERNS, find_components
from pytest_gepa.prompts.guards import check_markers
from pytest_gepa.recording import recorded_model
from pytest_gepa.reflect.model import ReflectionEndpoint, ReflectionModel, endpoint_from_environment
from pytest_gepa.reflect.modelfree import NO_MODEL
from pytest_gepa.report.build import build_result
from pytest_gepa.report.patches import PatchBase
from pytest_gepa.report.plan_text import plan_lines
from pytest_gepa.report.spent import as_replayed
from pytest_gepa.report.terminal import Terminal, closing_lines, opening_lines, print_section
from pytest_gepa.report.write import STATE_DIRECTORY, new_run_directory, write_run
from pytest_gepa.run_state import RunState
from pytest_gepa.settings import Settings
from pytest_gepa.spending import Spending, check_reflection_price
from pytest_gepa.suite.collect import collect_cases
from pytest_gepa.suite.evaluate import Suite, Surroundings
from pytest_gepa.suite.modules import environment_modules, project_packages
from pytest_gepa.suite.pytest_internals import terminal_stream
from pytest_gepa.suite.rollout import Case, Rollout
from pytest_gepa.suite.runner import choose_runner
from pytest_gepa.suite.split import hold_out
from pytest_gepa.suite.usage import load_reflection, load_usage, save_usage, usage_of, with_digests
from pytest_gepa.trace.redact import Redactor

verdict_key = pytest.StashKey[str]()


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a run works on, found and checked before anything is sent."""

    cases: tuple[Case, ...]
    components: tuple[Component, ...]
    endpoint: ReflectionEndpoint
    budget: BudgetPlan
    ancestor: Mapping[str, str] = field(default_factory=dict)

    @property
    def searched(self) -> int:
        """Number of search cases."""
        return sum(case.split == "search" for case in self.cases)


def run_mode(session: pytest.Session, settings: Settings) -> bool:
    """Run the mode that the settings name. Raises `pytest.UsageError` for what the user can mend."""
    try:
        if session.config.getoption("gepa_audit"):
            from pytest_gepa.audit_front import run_audit

            run_audit(session, settings)
            return True
        if settings.mode == "check":
            from pytest_gepa.front_check import run_check

            run_check(session, settings)
            return True
        inputs = find_inputs(session, settings)
        if settings.mode == "plan":
            lines = plan_lines(
                settings,
                inputs.cases,
                inputs.components,
                inputs.endpoint.model,
                inputs.budget,
                load_usage(settings.rootdir / STATE_DIRECTORY),
                load_reflection(settings.rootdir / STATE_DIRECTORY),
            )
            session.config.stash[closing_key] = lines
            session.config.stash[verdict_key] = "plan"
            session.config.stash[exit_status_key] = 0
            return True
        _optimize(session, settings, inputs)
    except GepaError as error:
        raise pytest.UsageError(f"gepa: {error}") from error
    return True


def find_prompts(settings: Settings) -> Sequence[Component]:
    """The prompts, found and checked. Raises `GepaError` where there are none."""
    components = find_components(
        settings.rootdir, settings.prompts_base, settings.prompts or DEFAULT_PATTERNS
    )
    if not components:
        looked = ", ".join(settings.prompts or DEFAULT_PATTERNS)
        raise GepaError(
            f"no prompt file found for {looked} in {settings.prompts_base}; name yours with --gepa-prompts GLOB "
            "or gepa_prompts in the ini file"
        )
    check_markers({component.id: component.text for component in components})
    return components


def find_cases(session: pytest.Session, settings: Settings) -> tuple[Case, ...]:
    """The cases of the session, divided, as others may see them."""
    redact = Redactor(os.environ, settings.redact).redact
    return tuple(_redacted(case, redact) for case in hold_out(collect_cases(session.items), settings.holdout))


def find_inputs(session: pytest.Session, settings: Settings) -> Inputs:
    """Cases, prompts, reflection model and budget. Raises `GepaError` for what the user can mend."""
    components = find_prompts(settings)
    endpoint = endpoint_from_environment(settings.reflection_model, os.environ)
    if settings.replay == "only":
        recorded = recorded_model(settings.rootdir)  # raises before anything is begun
        endpoint = endpoint or ReflectionEndpoint(recorded)
    if endpoint is None:
        raise GepaError(
            "no reflection model; name one with --gepa-reflection-model NAME, gepa_reflection_model in the ini file, "
            "or the environment variable GEPA_REFLECTION_MODEL; with none as its name the cases alone are read"
        )
    is_asked = endpoint.model != NO_MODEL and settings.replay != "only"
    if settings.max_cost is not None and is_asked:
        check_reflection_price(PriceList(settings.prices), endpoint.model)
    cases = find_cases(session, settings)
    if not any(case.split == "search" for case in cases):
        raise GepaError("every case is held out; leave some to search with (--gepa-holdout, split='search')")
    ancestor = _ancestor(settings, components) if settings.ancestor else {}
    return Inputs(cases, tuple(components), endpoint, plan_budget(settings, cases), ancestor)


def _ancestor(settings: Settings, components: Sequence[Component]) -> Mapping[str, str]:
    """The texts of the commit that the search is to begin with as well. Raises `GepaError` for an unknown one."""
    from pytest_gepa.base_prompts import read_base

    found = read_base(
        settings.rootdir, components, settings.prompts_base, settings.prompts, settings.ancestor
    )
    compose(components, found.texts)  # raises for a text that today's file cannot hold
    return found.texts


def _redacted(case: Case, redact: Callable[[str], str]) -> Case:
    """The case as others may see it: a key may be among the parameters of a test."""
    return replace(
        case,
        nodeid=redact(case.nodeid),
        source=redact(case.source),
        parameters=tuple((name, redact(value)) for name, value in case.parameters),
    )


def _optimize(session: pytest.Session, settings: Settings, inputs: Inputs) -> None:
    config = session.config
    temp = Path(tempfile.mkdtemp(prefix="gepa-"))
    directory = new_run_directory(settings.rootdir, date.today())
    redactor = Redactor(os.environ, settings.redact)
    journal = Journal(directory / "journal.jsonl", redactor.redact)
    journal.write(
        "run",
        version=1,
        run=directory.name,
        settings={**to_json(settings), "rootdir": ".", "prompts_base": "."},
        cases=inputs.cases,
        components={component.id: component.text for component in inputs.components},
        budget=inputs.budget,
        reflection_model=inputs.endpoint.model,
        ancestor=inputs.ancestor,
    )
    stream = terminal_stream(config)
    print_lines(
        stream,
        opening_lines(
            len(inputs.components),
            inputs.searched,
            len(inputs.cases) - inputs.searched,
            inputs.endpoint.model,
            inputs.budget.limit,
            inputs.budget.confirm,
            settings.seed,
            settings.max_cost,
        ),
    )
    feeder = Feeder(session, inputs.cases)
    extensions = Extensions(config.hook)
    terminal = HookedTerminal(extensions, stream, inputs.budget.limit, feeder.feed)
    answers = RunAnswers(settings, directory.name, inputs.endpoint.model, temp, redactor.redact_certain)
    print_lines(stream, answers.notes)
    cap = None if settings.replay == "only" else settings.max_cost
    spending = Spending(temp / "costs", PriceList(settings.prices), cap, inputs.budget, inputs.cases)
    suite = make_suite(config, settings, inputs.cases, inputs.components, temp, answers)
    model = ReflectionModel(
        inputs.endpoint, answers.stores(), f"reflect/{settings.seed}", spending.reflection()
    )
    optimization = Optimization(
        settings,
        answers.name,
        inputs.cases,
        inputs.components,
        inputs.budget,
        suite,
        model,
        journal,
        terminal,
        extensions,
        answers.crew(),
        inputs.ancestor,
    )
    optimization.state.spending = spending
    try:
        optimization.run()
        answers.keep(directory)
    finally:
        # Whatever ended the run: what was paid for is written down.
        with undisturbed():
            terminal.close()
            feeder.flush()
            suite.runner.close()
            model.close()
            optimization.state.stray, optimization.state.problems = suite.stray, suite.problems
            try:
                _finish(config, settings, inputs, directory, optimization.state, journal, extensions)
            finally:
                journal.close()
                answers.close()
                shutil.rmtree(temp, ignore_errors=True)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let no second Ctrl-C cut short the second or so in which results are written."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _finish(
    config: pytest.Config,
    settings: Settings,
    inputs: Inputs,
    directory: Path,
    state: RunState,
    journal: Journal,
    extensions: Extensions,
) -> None:
    result = build_result(directory.name, state, inputs.cases, settings.seed, inputs.endpoint.model)
    if settings.replay == "only":
        result = replace(result, spent=as_replayed(result.spent))
    components = {component.id: component for component in inputs.components}
    base = PatchBase.of(settings.rootdir)
    labels = {case.id: case.nodeid for case in inputs.cases}
    result = write_run(directory, result, state, components, labels, base, journal.redact)
    if state.stray:
        journal.write("stray", calls=state.stray)
    journal.write("result", result=result)
    _keep_usage(directory, state, inputs.cases)
    changed = [components[change.component].path.resolve() for change in result.changes]
    command = base.command(settings.rootdir / result.patch, config.invocation_params.dir, changed)
    lines = closing_lines(result, os.path.relpath(directory, config.invocation_params.dir), command)
    config.stash[closing_key] = [journal.redact(line) for line in lines]
    config.stash[verdict_key] = result.verdict
    failed = settings.fail_on == "not-proven" and result.verdict != "proven"
    config.stash[exit_status_key] = 1 if failed else 0
    extensions.finished(to_json(result), str(directory))
    if state.spending is not None and state.spending.has_met_the_unpriced:
        raise GepaError(state.spending.stopped)
    if state.reflection_failed and not state.reflections:
        raise GepaError(state.reflection_failed)


def _keep_usage(directory: Path, state: RunState, cases: Sequence[Case]) -> None:
    """Note which prompt reached which cases, and how they fared, for the next plan."""
    learned = usage_of(directory.name, state.search.seed.texts, state.under_todays_prompts())
    save_usage(directory.parents[1], with_digests(learned, cases), state.reflection_usage())


def make_suite(
    config: pytest.Config,
    settings: Settings,
    cases: Sequence[Case],
    components: Sequence[Component],
    temp: Path,
    answers: RunAnswers,
) -> Suite:
    """The suite of a run, with what its child sessions share of this one."""
    prompts = [str(component.path) for component in components]
    own = project_packages(settings.rootdir)
    preload = [name for name in environment_modules() if name.split(".", 1)[0] not in own]
    around = Surroundings(
        args=tuple(str(argument) for argument in config.invocation_params.args),
        cwd=str(config.invocation_params.dir),
        rootdir=str(settings.rootdir),
        sys_path=INITIAL_SYS_PATH,
        temp=temp,
        cache=answers.cache,
        concurrency=settings.concurrency,
        timeout=settings.timeout,
        replay=settings.replay,
        recording=answers.recording,
        charges=answers.charges,
        redact=settings.redact,
        isolation=settings.isolation,
        costs=str(temp / "costs"),
    )
    return Suite(cases, components, around, choose_runner(settings.isolation, temp, preload, prompts))


class HookedTerminal(Terminal):
    """The terminal, which also calls the hook for candidates that have been run on every search case."""

    def __init__(
        self, extensions: Extensions, stream: IO[str], budget: int, feed: Callable[[Rollout], None]
    ) -> None:
        super().__init__(stream, budget, feed)
        self._extensions = extensions

    def decision(self, decision: Decision, state: RunState) -> None:
        """Print what the search has decided, and tell the plugins."""
        super().decision(decision, state)
        if decision.kind in ("baseline", "frontier", "dominated"):
            candidate = state.search.candidates[decision.candidate]
            results = state.search.results[candidate.id]
            scores = {case: result.score for case, result in results.items() if result.score is not None}
            self._extensions.evaluated(candidate, scores, state.search.mean(candidate))


def print_closing(config: pytest.Config, lines: list[str]) -> None:
    """Print the closing section below pytest's own summary."""
    verdict = config.stash.get(verdict_key, "")
    print_section(terminal_stream(config), "gepa", lines, verdict)


def print_lines(stream: IO[str], lines: Sequence[str]) -> None:
    """Print lines as they are, at once."""
    for line in lines:
        stream.write(f"{line}\n")
    stream.flush()
