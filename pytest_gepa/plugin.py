"""The pytest plugin: options, ini keys, hooks and the `gepa` fixture.

Loaded with every pytest session, so it imports the standard library and pytest only; all else when asked for.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Final, Literal

import pytest

from pytest_gepa.fixture import Gepa
from pytest_gepa.options import BASELINES, INI_ONLY, MODES, SETTINGS, BehindEqualsSign, Setting, asked_modes
from pytest_gepa.stash import (
    closing_key,
    exit_status_key,
    is_partly_collected_key,
    recorder_key,
    settings_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_INI_TYPES: Final[dict[str, Literal["linelist", "bool"] | None]] = {
    "text": None,
    "list": "linelist",
    "flag": "bool",
}


def _command_line(pluginmanager: pytest.PytestPluginManager) -> list[str]:
    """Every word that argparse will see."""
    config = pluginmanager.get_plugin("pytestconfig")
    if config is None:
        return []
    words = [str(word) for word in config.invocation_params.args]
    try:
        words += config.getini("addopts")
        words += shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))
    except (ValueError, pytest.UsageError):
        pass  # pytest says so itself, in its own words
    return words


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the options and their ini twins."""
    group = parser.getgroup("gepa", "prompt optimization (pytest-gepa)")
    words = _command_line(pluginmanager)
    for mode in MODES:
        if mode.metavar and mode not in BASELINES:
            name = f"--gepa-{mode.name}"
            spellings = dict.fromkeys([name, *(word for word in words if word.startswith(f"{name}="))])
            group.addoption(*spellings, action=BehindEqualsSign, dest=mode.key, help=mode.help)
        else:
            _add_option(group, mode)
    for setting in SETTINGS:
        _add_option(group, setting)
    for setting in (*SETTINGS, *INI_ONLY):
        parser.addini(setting.key, setting.help, type=_INI_TYPES[setting.kind])


def _add_option(group: pytest.OptionGroup, setting: Setting) -> None:
    name = f"--gepa-{setting.name}"
    if setting.kind == "flag":
        group.addoption(name, action="store_true", default=False, help=setting.help)
    else:
        action = "append" if setting.kind == "list" else "store"
        group.addoption(name, action=action, metavar=setting.metavar, help=setting.help)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register the extension points."""
    from pytest_gepa import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def _has_mode(config: pytest.Config) -> bool:
    """Whether a mode was asked for; xdist workers and child sessions have none."""
    return not hasattr(config, "workerinput") and bool(asked_modes(config.option))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    """Let pytest-cov measure nothing when a mode is on: the code under test runs elsewhere, and what is seen here would
    fail `--cov-fail-under` and take the place of the coverage that the user's tests have."""
    options = early_config.known_args_namespace
    if hasattr(options, "no_cov") and asked_modes(options):
        options.no_cov = early_config.option.no_cov = True
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker; when a mode is on, check every setting before anything else happens."""
    config.addinivalue_line(
        "markers",
        "gepa(trials=None, threshold=None, split='search', weight=1): how pytest-gepa runs and counts this case",
    )
    if not _has_mode(config):
        return
    from pytest_gepa.errors import GepaError
    from pytest_gepa.resolve import resolve

    try:
        config.stash[settings_key] = resolve(config)
    except GepaError as error:
        from pytest_gepa.front.modes import usage_error

        raise usage_error(error, config.getini("gepa_redact")) from error


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """For a replay, let the clients of test modules start without a key; conftest files have had their say."""
    settings = session.config.stash.get(settings_key, None)
    if settings is not None and settings.replay == "only":
        from pytest_gepa.run.recording import stand_in

        stand_in(settings.rootdir, os.environ, settings.mode)


def pytest_report_header(config: pytest.Config) -> str | None:
    """One line when a mode is on."""
    settings = config.stash.get(settings_key, None)
    return settings.headline if settings else None


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the mode in place of the ordinary loop."""
    settings = session.config.stash.get(settings_key, None)
    if settings is None or not session.items:
        return None
    if session.testsfailed and not session.config.option.continue_on_collection_errors:
        return None  # pytest's own loop says so
    session.config.stash[is_partly_collected_key] = session.testsfailed > 0
    from pytest_gepa.front.modes import run_mode

    return run_mode(session, settings)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Set the mode's exit status, and print its closing lines below pytest's own summary."""
    config = session.config
    has_status = exit_status_key in config.stash
    if has_status and session.exitstatus in (
        pytest.ExitCode.OK,
        pytest.ExitCode.TESTS_FAILED,  # of today's prompts, which is no failure of the run
    ):
        # What could not be collected was not looked at: that is no pass, whatever the rest has come to.
        is_partly_collected = config.stash.get(is_partly_collected_key, False)
        session.exitstatus = max(config.stash[exit_status_key], int(is_partly_collected))
    status = session.exitstatus if has_status else None
    try:
        return (yield)
    finally:  # also where a conftest's own hook has failed, in want of results that are in other processes
        if status is not None:
            session.exitstatus = status  # others make theirs of the cases that failed, as syrupy does
        if closing_key in config.stash:
            from pytest_gepa.front.modes import print_closing

            print_closing(config, config.stash[closing_key])


@pytest.fixture
def gepa(request: pytest.FixtureRequest) -> Gepa:
    """Score a case by degrees and log what its trajectory should show; does nothing unless pytest-gepa runs."""
    return Gepa(request.config.stash.get(recorder_key, None))
