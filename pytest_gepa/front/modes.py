"""The modes by name: each has a front of its own, imported when it is asked for."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Sequence

import pytest

from pytest_gepa.errors import GepaError
from pytest_gepa.report.section import print_section
from pytest_gepa.run.interrupts import ended_as_by_ctrl_c
from pytest_gepa.settings import Settings
from pytest_gepa.stash import verdict_key
from pytest_gepa.suite.pytest_internals import terminal_stream
from pytest_gepa.trace.redact import Redactor
from pytest_gepa.wording import for_log


def run_mode(session: pytest.Session, settings: Settings) -> bool:
    """Run the mode that the settings name. Raises `pytest.UsageError` for what the user can mend."""
    try:
        # The filters are for the code under test, which does not run here.
        with ended_as_by_ctrl_c(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _run(session, settings)
    except GepaError as error:
        raise usage_error(error, settings.redact) from error
    return True


def usage_error(error: GepaError, patterns: Sequence[str]) -> pytest.UsageError:
    """The error as pytest prints it: without secrets, as it may quote what others wrote. `patterns` are the user's own,
    of which some may be no regular expression, which is then what the error is about.
    """
    redact = Redactor(os.environ, tuple(_readable(patterns))).redact
    return pytest.UsageError(for_log(redact(f"gepa: {error}")))


def _readable(patterns: Sequence[str]) -> Iterator[str]:
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error:
            continue
        yield pattern


def _run(session: pytest.Session, settings: Settings) -> None:
    if settings.mode == "audit":
        from pytest_gepa.front.audit import run_audit

        run_audit(session, settings)
    elif settings.mode in ("baseline", "save-baseline"):
        from pytest_gepa.front.baseline import run_baseline

        run_baseline(session, settings)
    elif settings.mode == "check":
        from pytest_gepa.front.check import run_check

        run_check(session, settings)
    else:
        from pytest_gepa.front.optimize import run_optimize

        run_optimize(session, settings)


def print_closing(config: pytest.Config, lines: list[str]) -> None:
    """Print the closing section below pytest's own summary."""
    verdict = config.stash.get(verdict_key, "")
    print_section(terminal_stream(config), "gepa", lines, verdict)
