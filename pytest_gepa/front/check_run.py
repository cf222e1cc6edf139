"""Between a pytest session and the comparison of a check: its cases go in, reports and the result come out."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import pytest

from pytest_gepa.check.check import Check
from pytest_gepa.front.check_conclusion import conclude
from pytest_gepa.front.check_session import CheckSession
from pytest_gepa.front.session import find_cases
from pytest_gepa.prompts.addresses import SEPARATOR
from pytest_gepa.prompts.components import Component
from pytest_gepa.report.check_build import build_check
from pytest_gepa.report.check_deleted import with_users_of_deleted
from pytest_gepa.report.check_result import CheckResult
from pytest_gepa.report.check_terminal import opening_line
from pytest_gepa.report.spent import as_replayed
from pytest_gepa.run.base_prompts import BasePrompts
from pytest_gepa.run.directory import STATE_DIRECTORY
from pytest_gepa.settings import Settings
from pytest_gepa.suite.usage import CaseUsage, load_usage, still_true, under_program
from pytest_gepa.trace.redact import Redactor


def compare(
    session: pytest.Session,
    settings: Settings,
    components: Sequence[Component],
    base: BasePrompts,
    redactor: Redactor,
) -> None:
    """Run a check of prompts that have changed. Raises `GepaError` for what the user can mend."""
    base.check_held(components)
    cases = find_cases(session, settings)
    known = still_true(load_usage(settings.rootdir / STATE_DIRECTORY), cases)
    known = known_by_these_names(known, components, base.changed)
    with CheckSession(session, settings, cases, components, redactor, {"base": base}) as run:
        check = Check(run.bench, base, under_program(run.program, known))

        def finish() -> CheckResult:
            def command(nodeids: Sequence[str]) -> str:
                return mending_command(session.config, settings, base.name, nodeids)

            result = build_check(run.directory.name, check.state, cases, base, settings, command)
            result = with_users_of_deleted(result, base, cases, load_usage(run.directory.parents[1]))
            return conclude_trials(session.config, settings, run, result, redactor)

        opening = opening_line(base, len(check.first_cases), len(cases), settings.concurrency)
        run.conduct(check, [opening], finish)


def known_by_these_names(
    known: Mapping[str, CaseUsage], components: Sequence[Component], changed: Collection[str]
) -> dict[str, CaseUsage]:
    """What is known of cases, less those that have used a file which has changed under another name than it has today.

    A run with a whole file as a prompt (`all.yaml::`) tells nothing of the texts in it, and the other way round.
    Taken for the whole truth it would leave out cases that use what has changed.
    """
    names = {component.id for component in components}
    files = {name.partition(SEPARATOR)[0] for name in changed}
    return {
        case: usage
        for case, usage in known.items()
        if not any(name.partition(SEPARATOR)[0] in files for name in usage.goes_by - names)
    }


def conclude_trials(
    config: pytest.Config, settings: Settings, run: CheckSession, result: CheckResult, redactor: Redactor
) -> CheckResult:
    """Write down what a check has found, and say it; it comes back without secrets."""
    if settings.replay == "only":
        result = replace(result, spent=as_replayed(result.spent))
    run.journal.write("result", result=result)
    return conclude(config, result, run.directory, redactor)


def mending_command(config: pytest.Config, settings: Settings, base: str, nodeids: Sequence[str]) -> str:
    """The line that optimizes these cases, as typed where the user is, with the prompts of the base as an ancestor ("":
    without)."""
    words = ["pytest", "--gepa-optimize", *([f"--gepa-ancestor={base}"] if base else [])]
    words += [f"--gepa-prompts={pattern}" for pattern in config.getoption("gepa_prompts") or ()]
    for nodeid in nodeids:
        file, separator, rest = nodeid.partition("::")
        place = os.path.relpath(settings.rootdir / file, config.invocation_params.dir)
        words.append(place + separator + rest)
    return shlex.join(words)
