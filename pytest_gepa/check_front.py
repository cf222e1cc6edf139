"""Between a pytest session and a check: which prompts have changed, and what the check says and leaves when it ends.

Where none has changed nothing more is imported: the check then costs hardly more than pytest's own collection.
"""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

from pytest_gepa.base_prompts import read_base
from pytest_gepa.codec import to_json
from pytest_gepa.front import find_cases, find_prompts, print_lines, verdict_key
from pytest_gepa.hook_calls import tell_finished
from pytest_gepa.plugin import closing_key, exit_status_key
from pytest_gepa.report.check_result import CheckResult
from pytest_gepa.report.check_terminal import check_lines
from pytest_gepa.report.check_unchanged import nothing_to_compare
from pytest_gepa.report.check_write import annotation_lines, write_check
from pytest_gepa.report.run_directory import STATE_DIRECTORY, new_run_directory
from pytest_gepa.settings import Settings
from pytest_gepa.suite.pytest_internals import terminal_stream
from pytest_gepa.trace.redact import Redactor


def run_check(session: pytest.Session, settings: Settings) -> None:
    """Run a check. Raises `GepaError` for what the user can mend."""
    components = find_prompts(settings)
    redactor = Redactor(os.environ, settings.redact)
    base = read_base(
        settings.rootdir,
        components,
        settings.prompts_base,
        settings.prompts,
        settings.revision,
        redactor.redact,
    )
    if base.changed:
        from pytest_gepa.check_run import compare

        compare(session, settings, components, base, redactor)
        return
    directory = new_run_directory(settings.rootdir, date.today())
    result = nothing_to_compare(directory.name, base, settings)
    if base.deleted:
        from pytest_gepa.deleted_prompts import with_users_of_deleted
        from pytest_gepa.suite.usage import load_usage

        known = load_usage(settings.rootdir / STATE_DIRECTORY)
        result = with_users_of_deleted(result, base, find_cases(session, settings), known)
    result = conclude(session.config, result, directory, redactor)
    tell_finished(session.config.hook, to_json(result), str(directory), "check")


def conclude(config: pytest.Config, result: CheckResult, directory: Path, redactor: Redactor) -> CheckResult:
    """Write the result down, and say it; it comes back without secrets."""
    result = write_check(directory, result, redactor.redact)
    if os.environ.get("GITHUB_ACTIONS") == "true" and (lines := annotation_lines(result)):
        print_lines(terminal_stream(config), ["", *lines])  # a command is one only at the start of a line
    where = os.path.relpath(directory, config.invocation_params.dir)
    config.stash[closing_key] = check_lines(result, where)
    config.stash[verdict_key] = result.verdict
    unmade = int(pytest.ExitCode.USAGE_ERROR)
    config.stash[exit_status_key] = unmade if result.is_unmade else 1 if result.failed else 0
    return result
