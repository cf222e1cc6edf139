"""Between a pytest session and an optimization: what it collected goes in, reports and the closing section come out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO

import pytest

from pytest_gepa.codec import to_json
from pytest_gepa.cost.prices import PriceList
from pytest_gepa.errors import GepaError
from pytest_gepa.evolve.tasks import Decision
from pytest_gepa.front.feed import Feeder
from pytest_gepa.front.session import (
    check_prices,
    end_steps,
    find_cases,
    find_improvable,
    print_lines,
    tell_plan,
)
from pytest_gepa.hook_calls import tell_finished
from pytest_gepa.optimize.extensions import Extensions
from pytest_gepa.optimize.optimization import Optimization, check_ancestor
from pytest_gepa.optimize.state import RunState
from pytest_gepa.prompts.components import Component, todays_texts
from pytest_gepa.redaction import without_secrets
from pytest_gepa.reflect.endpoint import ReflectionEndpoint, endpoint_from_environment
from pytest_gepa.reflect.model import ReflectionModel
from pytest_gepa.reflect.withhold import Withholder
from pytest_gepa.report.build import build_result
from pytest_gepa.report.patches import PatchBase
from pytest_gepa.report.plan_text import plan_lines
from pytest_gepa.report.result import Result
from pytest_gepa.report.rows import row
from pytest_gepa.report.spent import as_replayed
from pytest_gepa.report.terminal import Terminal, closing_lines, opening_lines, prompt_notes
from pytest_gepa.report.write import write_run
from pytest_gepa.run.base_prompts import read_base
from pytest_gepa.run.begin import BegunRun, begin_run
from pytest_gepa.run.directory import STATE_DIRECTORY
from pytest_gepa.run.history import Resumed
from pytest_gepa.run.interrupts import undisturbed
from pytest_gepa.run.last_steps import LastSteps
from pytest_gepa.run.plan import BudgetPlan, plan_budget
from pytest_gepa.run.recording import recorded_model
from pytest_gepa.run.resume import EarlierRun, find_earlier
from pytest_gepa.run.spending import check_reflection_price, reflection_reserve
from pytest_gepa.settings import NO_MODEL, Settings
from pytest_gepa.stash import closing_key, exit_status_key, verdict_key
from pytest_gepa.suite.pytest_internals import terminal_stream
from pytest_gepa.suite.rollout import Case, Rollout
from pytest_gepa.suite.sources import case_sources
from pytest_gepa.suite.usage import load_reflection, save_usage, usage_of, usage_today, with_digests
from pytest_gepa.suite.values import case_texts
from pytest_gepa.trace.redact import REDACTED, Redactor


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a run works on, found and checked before anything is sent. `judges` are left as they are. `reserve` is what
    a reflection reserves of a cap at the least, in billionths of a dollar; 0 where there is none.
    """

    cases: tuple[Case, ...]
    components: tuple[Component, ...]
    endpoint: ReflectionEndpoint
    budget: BudgetPlan
    ancestor: Mapping[str, str] = field(default_factory=dict)
    judges: tuple[str, ...] = ()
    reserve: int = 0

    @property
    def searched(self) -> int:
        """Number of search cases."""
        return sum(case.split == "search" for case in self.cases)


def run_optimize(session: pytest.Session, settings: Settings) -> None:
    """Run an optimization, resume one, or tell its plan. Raises `GepaError` for what the user can mend."""
    earlier = None
    if settings.mode == "resume":
        earlier = find_earlier(settings.rootdir, settings.resumed)
        settings = earlier.as_it_began(settings, partial(_is_typed, session.config))
    inputs = find_inputs(session, settings)
    redact = Redactor(os.environ, settings.redact).redact
    if earlier is not None:
        earlier.check(inputs.cases, inputs.components, inputs.ancestor, redact)
    if not settings.is_plan:
        _optimize(session, settings, inputs, earlier)
        return
    state = settings.rootdir / STATE_DIRECTORY
    lines = plan_lines(
        settings,
        inputs.cases,
        inputs.components,
        inputs.endpoint.model,
        inputs.budget,
        usage_today(state, inputs.cases, todays_texts(inputs.components)),
        load_reflection(state),
        redact=redact,
    )
    lines += [row("left unchanged", f"{name}: named like a judge's prompt") for name in inputs.judges]
    tell_plan(session.config, lines)


def _is_typed(config: pytest.Config, name: str) -> bool:
    """Whether a setting stands on the command line."""
    return config.getoption(f"gepa_{name}", None) is not None


def find_inputs(session: pytest.Session, settings: Settings) -> Inputs:
    """Cases, prompts, reflection model and budget. Raises `GepaError` for what the user can mend."""
    components, judges = find_improvable(settings)
    endpoint = endpoint_from_environment(settings.reflection_model, os.environ, settings.reflection_timeout)
    if settings.replay == "only":
        recorded = recorded_model(settings.rootdir)  # raises before anything is begun
        endpoint = endpoint or _recorded_endpoint(recorded)
    if endpoint is None:
        raise GepaError(
            "no reflection model; name one with --gepa-reflection-model NAME, gepa_reflection_model in the ini file, "
            "or the environment variable GEPA_REFLECTION_MODEL; or give none to derive edits from the failing "
            "checks alone"
        )
    is_asked = endpoint.model != NO_MODEL and settings.replay != "only"
    if is_asked and not settings.is_plan:
        endpoint.check_key()  # else it were missed only when the baseline is paid for
    reserve = 0
    if settings.max_cost is not None and is_asked:
        prices = PriceList(settings.prices)
        check_reflection_price(prices, endpoint.model, settings.max_cost)
        reserve = reflection_reserve(prices, endpoint.model)
    cases = find_cases(session, settings)
    if not any(case.split == "search" for case in cases):
        raise GepaError("every case is held out; leave some to search with (--gepa-holdout, split='search')")
    ancestor = _ancestor(settings, components) if settings.ancestor else {}
    return Inputs(cases, tuple(components), endpoint, plan_budget(settings, cases), ancestor, judges, reserve)


def _recorded_endpoint(model: str) -> ReflectionEndpoint:
    """The model that a replay makes do with, as none is named. Raises `GepaError` where the recording has no name."""
    if REDACTED in model:
        raise GepaError(
            f"the recorded run names its reflection model {model}, as the name holds a secret; name it with "
            "--gepa-reflection-model NAME"
        )
    return ReflectionEndpoint(model)


def _ancestor(settings: Settings, components: Sequence[Component]) -> Mapping[str, str]:
    """The texts of the commit that the search is to begin with as well. Raises `GepaError` for an unknown one, and for
    texts that lack what is protected today.
    """
    found = read_base(settings.rootdir, components, settings.prompts_base, settings.prompts, settings.ancestor)
    found.check_held(components)
    check_ancestor(components, found.texts)
    return found.texts


def _optimize(session: pytest.Session, settings: Settings, inputs: Inputs, earlier: EarlierRun | None = None) -> None:
    config = session.config
    run = begin_run(
        config,
        settings,
        inputs.cases,
        inputs.components,
        Redactor(os.environ, settings.redact),
        {"budget": inputs.budget, "ancestor": inputs.ancestor},
        inputs.endpoint.model,
        earlier,
    )
    directory, journal, answers, suite = run.directory, run.journal, run.answers, run.suite
    with run.preparing():
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
                inputs.budget.shrink,
                settings.concurrency,
                redact=journal.redact,
            ),
        )
        print_lines(stream, prompt_notes(inputs.components, inputs.judges))
        feeder = Feeder(session, inputs.cases)
        extensions = Extensions(config.hook, journal.redact)
        terminal = HookedTerminal(
            extensions, stream, inputs.budget.limit, feeder.feed, journal.redact, settings.minutes
        )
        print_lines(stream, answers.notes)
        spending = run.spending(settings, inputs.cases, inputs.budget, earlier, inputs.reserve)
        model = ReflectionModel(
            inputs.endpoint,
            answers.stores(),
            f"reflect/{settings.seed}",
            spending.reflection(),
            journal.redact,
        )
        optimization = Optimization(
            settings,
            answers.name,
            inputs.cases,
            inputs.components,
            answers.as_recorded(inputs.budget, inputs.cases),
            suite,
            model,
            journal,
            terminal,
            extensions,
            _withholder(session, settings, inputs),
            answers.crew(),
            inputs.ancestor,
            answers.confirm_cut,
        )
        optimization.state.spending = spending
        if earlier is not None:
            optimization.state.resumed = Resumed(
                earlier.directory_name, earlier.paid, earlier.usd, earlier.usd_is_least
            )
    steps = LastSteps()
    if steps.take(optimization.run):
        steps.take(partial(answers.keep, directory))
    # Whatever ended the run: what was paid for is written down.
    with undisturbed():
        for close in (terminal.close, feeder.flush, suite.runner.close, model.close):
            steps.take(close)
        optimization.state.stray = suite.stray
        optimization.state.problems = (*answers.problems, *suite.problems, *feeder.problems)
        steps.take(partial(_finish, steps, config, settings, inputs, run, optimization.state))
        steps.take(run.close)
    end_steps(steps, stream, journal.redact)


def _withholder(session: pytest.Session, settings: Settings, inputs: Inputs) -> Withholder:
    """What keeps the held-out cases from the reflection model. Without any, no file is read for it."""
    if inputs.searched == len(inputs.cases):
        return Withholder(inputs.cases)
    prompts = [component.text for component in inputs.components]
    sources = case_sources(settings.rootdir, inputs.cases)
    held_out = {case.id for case in inputs.cases if case.split == "holdout"}
    redact = Redactor(os.environ, settings.redact).redact
    return Withholder(inputs.cases, sources, prompts, case_texts(session.items, held_out), redact)


def _finish(
    steps: LastSteps,
    config: pytest.Config,
    settings: Settings,
    inputs: Inputs,
    run: BegunRun,
    state: RunState,
) -> None:
    """Write down what was found, and say it; each part of it is one of the last `steps`."""
    directory, journal = run.directory, run.journal
    result = build_result(
        directory.name,
        state,
        inputs.cases,
        settings.seed,
        inputs.endpoint.model,
        inputs.budget.candidates,
    )
    if settings.replay == "only":
        result = replace(result, spent=as_replayed(result.spent))
    components = {component.id: component for component in inputs.components}
    base = PatchBase.of(settings.rootdir)
    result = write_run(directory, result, state, components, inputs.cases, base, journal.redact)
    if state.stray:
        steps.take(partial(journal.write, "stray", calls=state.stray))
    steps.take(partial(journal.write_clean, "result", result=result))
    steps.take(partial(_keep_usage, run, state, inputs.cases))
    steps.take(partial(_conclude, config, settings, result, state, directory, base, components))
    told = to_json(result)
    steps.take(partial(tell_finished, config.hook, told, str(directory), "optimize", journal.redact))
    check_prices(state.spending)
    has_winner = state.winner is not None and state.winner.id != state.search.seed.id
    if state.reflection_failed and not (state.has_replies or has_winner):
        raise GepaError(state.reflection_failed)


def _conclude(
    config: pytest.Config,
    settings: Settings,
    result: Result,
    state: RunState,
    directory: Path,
    base: PatchBase,
    components: Mapping[str, Component],
) -> None:
    """Hand verdict, exit status and closing section to the session."""
    changed = [components[change.component].path.resolve() for change in result.changes]
    here = config.invocation_params.dir
    command = base.command(settings.rootdir / result.patch, here, changed) if result.patch else ""
    # The result has no secrets any more, and the rest is ours.
    was_cut_short = (
        result.verdict == "not proven" and not state.trials and bool(state.stopped or state.reflection_failed)
    )
    resumable = settings.replay == "auto" and (result.verdict == "not confirmed" or was_cut_short)
    config.stash[closing_key] = closing_lines(result, os.path.relpath(directory, here), command, resumable=resumable)
    config.stash[verdict_key] = result.verdict
    failed = settings.fail_on == "not-proven" and result.verdict != "proven"
    config.stash[exit_status_key] = 1 if failed else 0


def _keep_usage(run: BegunRun, state: RunState, cases: Sequence[Case]) -> None:
    """Note which prompt reached which cases, and how they fared, for the next plan."""
    learned = usage_of(run.directory.name, state.search.seed.texts, state.under_todays_prompts())
    # Rollouts come without secrets; the reflection model has its name of the settings.
    reflection = without_secrets(state.reflection_usage(), run.journal.redact)
    save_usage(run.directory.parents[1], with_digests(learned, cases, run.program), reflection)


class HookedTerminal(Terminal):
    """The terminal, which also calls the hook for candidates whose score is known on every search case, once each."""

    def __init__(
        self,
        extensions: Extensions,
        stream: IO[str],
        budget: int,
        feed: Callable[[Rollout], None],
        redact: Callable[[str], str],
        minutes: float | None,
    ) -> None:
        super().__init__(stream, budget, feed, redact, minutes)
        self._extensions = extensions
        self._told: set[str] = set()

    def decision(self, decision: Decision, state: RunState) -> None:
        """Print what the search has decided, and tell the plugins."""
        super().decision(decision, state)
        is_whole = decision.kind in ("baseline", "frontier", "dominated", "shrunk")
        if is_whole and decision.candidate not in self._told:
            self._told.add(decision.candidate)
            candidate = state.search.candidates[decision.candidate]
            results = state.search.results[candidate.id]
            scores = {case: result.score for case, result in results.items() if result.score is not None}
            self._extensions.evaluated(candidate, scores, state.search.mean(candidate))
