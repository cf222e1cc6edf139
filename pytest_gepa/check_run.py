"""Between a pytest session and the comparison of a check: its cases go in, reports and the result come out."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from pytest_gepa.answers import RunAnswers
from pytest_gepa.base_prompts import BasePrompts
from pytest_gepa.check import Check
from pytest_gepa.check_front import conclude
from pytest_gepa.check_state import TODAY, CheckState
from pytest_gepa.codec import to_json
from pytest_gepa.cost.prices import PriceList
from pytest_gepa.deleted_prompts import with_users_of_deleted
from pytest_gepa.errors import GepaError
from pytest_gepa.feed import Feeder
from pytest_gepa.front import find_cases, print_lines, undisturbed
from pytest_gepa.hook_calls import tell_finished
from pytest_gepa.journal import Journal
from pytest_gepa.plan import BudgetPlan
from pytest_gepa.prompts.components import Component, compose
from pytest_gepa.report.check_build import build_check
from pytest_gepa.report.check_formats import OF_A_SIMULATED_MODEL, junit_properties
from pytest_gepa.report.check_result import CheckResult
from pytest_gepa.report.check_screen import CheckTerminal
from pytest_gepa.report.check_terminal import opening_line
from pytest_gepa.report.run_directory import STATE_DIRECTORY, new_run_directory
from pytest_gepa.report.spent import as_replayed
from pytest_gepa.settings import Settings
from pytest_gepa.spending import Spending
from pytest_gepa.suite.pytest_internals import terminal_stream
from pytest_gepa.suite.rollout import Case, Rollout
from pytest_gepa.suite.usage import load_usage, save_usage, still_true, usage_of, with_digests
from pytest_gepa.surroundings import make_suite
from pytest_gepa.trace.redact import Redactor

NO_PLAN = BudgetPlan(limit=0, search=0, confirm=0, probe=0, trials=0)


def compare(
    session: pytest.Session,
    settings: Settings,
    components: Sequence[Component],
    base: BasePrompts,
    redactor: Redactor,
) -> None:
    """Run a check of prompts that have changed. Raises `GepaError` for what the user can mend."""
    config = session.config
    compose(components, base.texts)  # raises for a text that today's file cannot hold
    cases = find_cases(session, settings)
    directory = new_run_directory(settings.rootdir, date.today())
    # A run's name is free again when its directory is deleted; what is in the cache must not be taken for its own.
    run = f"{directory.name}.{secrets.token_hex(4)}"
    temp = Path(tempfile.mkdtemp(prefix="gepa-"))
    journal = Journal(directory / "journal.jsonl", redactor.redact)
    journal.write(
        "run",
        version=1,
        run=run,
        settings={**to_json(settings), "rootdir": ".", "prompts_base": "."},
        cases=cases,
        components={component.id: component.text for component in components},
        base=base,
        reflection_model="",
    )
    stream = terminal_stream(config)
    answers = RunAnswers(settings, run, "", temp, redactor.redact_certain)
    suite = make_suite(config, settings, cases, components, temp, answers)
    known = still_true(load_usage(settings.rootdir / STATE_DIRECTORY), cases)
    terminal = CheckTerminal(stream)
    check = Check(settings, answers.name, cases, components, base, suite, known, journal, terminal)
    feeder = Feeder(session, cases, check.first_cases)
    # A JUnit file takes a case's properties with its last report, so that the reports have to wait for the tiers.
    held: list[Rollout] | None = [] if config.getoption("xmlpath", None) else None
    terminal.feed = feeder.feed if held is None else held.append
    print_lines(stream, [opening_line(base, len(check.first_cases), len(cases)), *answers.notes])
    cap = None if settings.replay == "only" else settings.max_cost
    check.state.spending = Spending(temp / "costs", PriceList(settings.prices), cap, NO_PLAN, cases)
    try:
        check.run()
        if not check.state.is_out_of_time:  # else a replay would go on where there are no answers any more
            answers.keep(directory)
    finally:
        # Whatever ended the check: what was paid for is written down.
        with undisturbed():
            terminal.close()
            if held is None:
                feeder.flush()
            suite.runner.close()
            check.state.problems = suite.problems
            try:
                result = _finish(config, settings, cases, base, directory, check.state, journal, redactor)
                if held is not None:
                    also = [OF_A_SIMULATED_MODEL] if result.simulated else []
                    found = {case.case: [*junit_properties(case), *also] for case in result.cases}
                    feeder.properties = {case.id: found.get(case.nodeid, []) for case in cases}
                    for rollout in held:
                        feeder.feed(rollout)
                    feeder.flush()
                tell_finished(config.hook, to_json(result), str(directory), "check")
                if check.state.spending.has_met_the_unpriced:
                    raise GepaError(check.state.spending.stopped)
            finally:
                journal.close()
                answers.close()
                shutil.rmtree(temp, ignore_errors=True)


def _finish(
    config: pytest.Config,
    settings: Settings,
    cases: Sequence[Case],
    base: BasePrompts,
    directory: Path,
    state: CheckState,
    journal: Journal,
    redactor: Redactor,
) -> CheckResult:
    """Write down what the check has found, and return it without secrets."""

    def command(nodeids: Sequence[str]) -> str:
        return mending_command(config, settings, base.name, nodeids)

    result = build_check(directory.name, state, cases, base, settings, command)
    result = with_users_of_deleted(result, base, cases, load_usage(directory.parents[1]))
    if settings.replay == "only":
        result = replace(result, spent=as_replayed(result.spent))
    journal.write("result", result=result)
    learned = usage_of(directory.name, state.today.texts, state.every_rollout(TODAY))
    save_usage(directory.parents[1], with_digests(learned, cases))
    return conclude(config, result, directory, redactor)


def mending_command(config: pytest.Config, settings: Settings, base: str, nodeids: Sequence[str]) -> str:
    """The line that optimizes these cases, with the prompts of the base as an ancestor, as typed where the user is."""
    words = ["pytest", "--gepa-optimize", f"--gepa-ancestor={base}"]
    words += [f"--gepa-prompts={pattern}" for pattern in config.getoption("gepa_prompts") or ()]
    for nodeid in nodeids:
        file, separator, rest = nodeid.partition("::")
        place = os.path.relpath(settings.rootdir / file, config.invocation_params.dir)
        words.append(place + separator + rest)
    return shlex.join(words)
