"""Between a pytest session and a check: which prompts have changed.

Where none has changed nothing more is imported: the check then costs hardly more than pytest's own collection.
"""

from __future__ import annotations

import os
from datetime import date

import pytest

from pytest_gepa.codec import to_json
from pytest_gepa.front.check_conclusion import conclude
from pytest_gepa.front.session import find_cases, find_prompts
from pytest_gepa.hook_calls import tell_finished
from pytest_gepa.report.check_unchanged import nothing_to_compare
from pytest_gepa.run.base_prompts import read_base
from pytest_gepa.run.directory import STATE_DIRECTORY, new_run_directory
from pytest_gepa.settings import Settings
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
    base.check_settable()
    if base.changed:
        from pytest_gepa.front.check_run import compare

        compare(session, settings, components, base, redactor)
        return
    cases = find_cases(session, settings) if base.deleted else []  # raises before there is a run
    directory = new_run_directory(settings.rootdir, date.today())
    result = nothing_to_compare(directory.name, base, settings)
    if base.deleted:
        from pytest_gepa.report.check_deleted import with_users_of_deleted
        from pytest_gepa.suite.usage import load_usage

        known = load_usage(settings.rootdir / STATE_DIRECTORY)
        result = with_users_of_deleted(result, base, cases, known)
    result = conclude(session.config, result, directory, redactor)
    tell_finished(session.config.hook, to_json(result), str(directory), "check", redactor.redact)
