"""Between a pytest session and an audit: the session's cases go in, reports, listing and closing section come out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pytest

from pytest_gepa.audit.audit import Ablation, Audit, AuditState, runs_of
from pytest_gepa.audit.findings import evidence, notices
from pytest_gepa.audit.plan import AuditPlan, plan_audit
from pytest_gepa.codec import to_json
from pytest_gepa.front.feed import Feeder
from pytest_gepa.front.session import (
    check_prices,
    end_steps,
    find_cases,
    find_prompts,
    keep_answers,
    print_lines,
    tell_plan,
)
from pytest_gepa.hook_calls import tell_finished
from pytest_gepa.prompts.components import Component, todays_texts
from pytest_gepa.prompts.file_lines import file_lines
from pytest_gepa.redaction import without_secrets
from pytest_gepa.report.audit_build import build_audit_result
from pytest_gepa.report.audit_listing import audit_markdown
from pytest_gepa.report.audit_result import AuditResult
from pytest_gepa.report.audit_text import ablation_words, audit_closing, audit_opening, audit_plan_lines
from pytest_gepa.report.spent import as_replayed
from pytest_gepa.run.begin import BegunRun, begin_run
from pytest_gepa.run.directory import STATE_DIRECTORY, write_text
from pytest_gepa.run.interrupts import undisturbed
from pytest_gepa.run.last_steps import LastSteps
from pytest_gepa.settings import Settings
from pytest_gepa.stash import closing_key, exit_status_key, verdict_key
from pytest_gepa.suite.pytest_internals import terminal_stream
from pytest_gepa.suite.rollout import Case
from pytest_gepa.suite.usage import save_usage, usage_of, usage_today, with_digests
from pytest_gepa.trace.redact import Redactor
from pytest_gepa.trace.redact_lines import redact_by_line


def run_audit(session: pytest.Session, settings: Settings) -> None:
    """Run an audit, or tell its plan. Raises `GepaError` for what the user can mend."""
    components = find_prompts(settings)
    cases = find_cases(session, settings)
    texts = todays_texts(components)
    usage = usage_today(settings.rootdir / STATE_DIRECTORY, cases, texts)
    plan = plan_audit(settings, cases, components, usage)
    if settings.is_plan:
        tell_plan(session.config, audit_plan_lines(settings, plan, cases, usage))
        return
    _run(session, settings, cases, components, plan)


def _run(
    session: pytest.Session,
    settings: Settings,
    cases: Sequence[Case],
    components: Sequence[Component],
    plan: AuditPlan,
) -> None:
    config = session.config
    redactor = Redactor(os.environ, settings.redact)
    run = begin_run(config, settings, cases, components, redactor, {"plan": plan})
    directory, journal, answers, suite = run.directory, run.journal, run.answers, run.suite
    with run.preparing():
        texts = todays_texts(components)
        stream = terminal_stream(config)
        feeder = Feeder(session, cases)
        print_lines(stream, [audit_opening(settings, plan), *answers.notes])
        spending = run.spending(settings, cases)
        lines = _Progress(components, config)
        minutes = None if settings.replay == "only" else settings.minutes
        audit = Audit(plan, texts, suite, journal, settings.concurrency, minutes, feeder.feed, lines.ablated)
        audit.state.spending = spending
    steps = LastSteps()
    if steps.take(audit.run):
        keep_answers(steps, answers, directory, audit.state, spending)
    # Whatever ended the audit: what was paid for is written down.
    with undisturbed():
        steps.take(feeder.flush)
        steps.take(suite.runner.close)
        audit.state.problems = (*answers.problems, *suite.problems, *feeder.problems)
        steps.take(partial(_finish, steps, config, settings, run, audit.state, cases, components))
        steps.take(run.close)
    end_steps(steps, stream, journal.redact)


class _Progress:
    """A line for each text that has been tried."""

    def __init__(self, components: Sequence[Component], config: pytest.Config) -> None:
        self._stream = terminal_stream(config)
        self._numbers = {component.id: file_lines(component) for component in components}
        self._has_begun = False

    def ablated(self, made: Ablation, state: AuditState) -> None:
        """Say who noticed it."""
        runs = [(state.today[case], runs_of(state, made, case)) for case in made.cases]
        noticing = sum(notices(today, ablated) for today, ablated in runs)
        measured = sum(bool(evidence(ablated)) for _, ablated in runs)
        cuts = next(prompt.cuts for prompt in state.plan.prompts if prompt.component == made.component)
        cut = next(cut for cut in cuts if cut.text == made.texts[made.component])
        numbers = self._numbers[made.component]
        lines = None if made.is_whole else (numbers[cut.first - 1], numbers[cut.last - 1])
        words = ablation_words(made.component, lines, noticing, measured)
        line = f"gepa: [{state.tried}/{state.planned}] {words}"
        print_lines(self._stream, [*([] if self._has_begun else [""]), line])
        self._has_begun = True


def _finish(
    steps: LastSteps,
    config: pytest.Config,
    settings: Settings,
    run: BegunRun,
    state: AuditState,
    cases: Sequence[Case],
    components: Sequence[Component],
) -> None:
    """Write down what was found, and say it; each part of it is one of the last `steps`."""
    directory, journal = run.directory, run.journal
    found = build_audit_result(directory.name, state, cases, components)
    if settings.replay == "only":
        found = replace(found, spent=as_replayed(found.spent))
    result = _clean(found, journal.redact)
    text = json.dumps(to_json(result), indent=1, ensure_ascii=False) + "\n"
    steps.take(partial(write_text, directory / "audit.json", text))
    steps.take(lambda: write_text(directory / "audit.md", audit_markdown(result)))
    steps.take(partial(journal.write_clean, "result", result=result))
    steps.take(partial(_keep_usage, run, state, cases, components))
    shown = os.path.relpath(directory, config.invocation_params.dir)
    config.stash[closing_key] = audit_closing(result, shown)
    config.stash[verdict_key] = "audit"
    config.stash[exit_status_key] = 0
    told = to_json(result)
    steps.take(partial(tell_finished, config.hook, told, str(directory), "audit", journal.redact))
    check_prices(state.spending)


def _keep_usage(run: BegunRun, state: AuditState, cases: Sequence[Case], components: Sequence[Component]) -> None:
    """Note which prompt reached which cases, for the next plan."""
    texts = todays_texts(components)
    learned = usage_of(run.directory.name, texts, [*state.baseline.values(), *state.repeats])
    save_usage(run.directory.parents[1], with_digests(learned, cases, run.program))


def _clean(found: AuditResult, redact: Callable[[str], str]) -> AuditResult:
    """The result without secrets; the texts of the prompts keep their lines, which marks stand beside."""
    prompts = tuple(replace(one, text=redact_by_line(one.text, redact)) for one in found.prompts)
    return without_secrets(replace(found, prompts=prompts), redact)
