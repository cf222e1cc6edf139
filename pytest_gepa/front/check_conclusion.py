"""What a check leaves when it ends: its files, its closing section and its exit status."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_gepa.front.session import print_lines
from pytest_gepa.report.check_formats import annotation_lines
from pytest_gepa.report.check_result import CheckResult
from pytest_gepa.report.check_terminal import check_lines
from pytest_gepa.report.check_write import write_check
from pytest_gepa.stash import closing_key, exit_status_key, verdict_key
from pytest_gepa.suite.pytest_internals import terminal_stream
from pytest_gepa.trace.redact import Redactor


def conclude(config: pytest.Config, result: CheckResult, directory: Path, redactor: Redactor) -> CheckResult:
    """Write the result down, and say it; it comes back without secrets."""
    result = write_check(directory, result, redactor.redact)
    if os.environ.get("GITHUB_ACTIONS") == "true" and (lines := annotation_lines(result)):
        # A command is one only at the start of a line.
        print_lines(terminal_stream(config), ["", *lines], are_commands=True)
    where = os.path.relpath(directory, config.invocation_params.dir)
    config.stash[closing_key] = check_lines(result, where)
    config.stash[verdict_key] = result.verdict
    unmade = int(pytest.ExitCode.USAGE_ERROR)
    config.stash[exit_status_key] = unmade if result.is_unmade else 1 if result.failed else 0
    return result
