"""The pytest plugin: options, ini keys, hooks and the `gepa` fixture.

Loaded with every pytest session, so it imports the standard library and pytest only; all else when asked for.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsFloat

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_gepa.settings import Settings
    from pytest_gepa.trace.recorder import Recorder

# Child sessions start with the import path as it was before pytest and the project's conftest files added to it.
INITIAL_SYS_PATH = tuple(sys.path)

recorder_key: pytest.StashKey[Recorder] = pytest.StashKey()
settings_key: pytest.StashKey[Settings] = pytest.StashKey()
closing_key: pytest.StashKey[list[str]] = pytest.StashKey()
exit_status_key: pytest.StashKey[int] = pytest.StashKey()


class Setting(NamedTuple):
    """One setting: an option `--gepa-<name>` and, unless it is a mode, an ini key `gepa_<name>`.

    A mode with a `metavar` may have a value, behind `=` only; those of `BASELINES` must have one, as any option.
    """

    name: str
    metavar: str
    help: str


BASELINES = (
    Setting(
        "baseline",
        "NAME",
        "is any case worse than when the baseline NAME was saved? Exits with 1 on a regression; models change under "
        "unchanged prompts",
    ),
    Setting(
        "save-baseline",
        "NAME",
        "run every case many times, and save how often it passed as .gepa/baselines/NAME.json for --gepa-baseline",
    ),
)
MODES = (
    Setting(
        "optimize",
        "",
        "improve the prompts with the collected cases; writes patches, touches no file of yours",
    ),
    Setting(
        "check",
        "REV",
        "--gepa-check[=REV]: is any case worse than under the prompts of REV (default: where this branch left the "
        "default branch)? Exits with 1 on a regression",
    ),
    Setting(
        "resume",
        "RUN",
        "--gepa-resume[=RUN]: go on with an optimization that was cut off (default: the newest); what was paid for is "
        "not paid for again",
    ),
    Setting(
        "audit", "", "find out how much of each prompt the cases notice, by leaving out a piece at a time"
    ),
    *BASELINES,
    Setting(
        "plan",
        "",
        "print what --gepa-optimize (or --gepa-audit, --gepa-baseline, --gepa-save-baseline) would run, and spend "
        "nothing",
    ),
)
SETTINGS = (
    Setting(
        "reflection-model",
        "NAME",
        "model that reads failures and edits prompts, or none (also GEPA_REFLECTION_MODEL)",
    ),
    Setting(
        "budget", "ROLLOUTS", "most rollouts to pay for, all phases together (default: 20 x cases + confirm)"
    ),
    Setting(
        "max-cost", "USD", "most that the run may cost, all calls together, never passed (default: no cap)"
    ),
    Setting(
        "max-minutes", "M", "start nothing new in the search after this many minutes (default: no limit)"
    ),
    Setting("concurrency", "N", "cases in flight at once, and reflections (default: 8, or the number of -n)"),
    Setting(
        "trials",
        "N",
        "repetitions of each case in the confirm run (default: 3, 1 if answers repeat exactly); with --gepa-check and "
        "--gepa-baseline the most on either side, with --gepa-save-baseline those that are saved (default: 32)",
    ),
    Setting(
        "holdout",
        "SHARE",
        "share of the cases kept out of the search, run with the confirm only (default: 0)",
    ),
    Setting("seed", "N", "seed of every random choice (default: 0)"),
    Setting("timeout", "S", "seconds that one case may take (default: 120)"),
    Setting("max-broken", "N", "most cases that pass today and may fail under the winner (default: 0)"),
    Setting(
        "fail-on",
        "RULE",
        "when to exit with 1. --gepa-check and --gepa-baseline: regressed (default), suspect, score:X (the mean score "
        "fell by more than X, proven), none; --gepa-optimize: not-proven (no gain is proven)",
    ),
    Setting(
        "ancestor",
        "REV",
        "with --gepa-optimize: take the prompts of this commit into the search beside today's",
    ),
    Setting(
        "replay",
        "MODE",
        "stored answers: auto (use them, ask for the rest), only (never use the network), off (default: auto)",
    ),
)
INI_ONLY = (
    Setting(
        "isolation",
        "",
        "how child sessions are made: auto, fork, spawn, or strict (Linux: programs of any kind see the candidate)",
    ),
    Setting(
        "confirm",
        "",
        "how many of the frontier's best the confirm run judges, the winner first (default: 1, it alone)",
    ),
    Setting("shrink", "", "on or off: drop changes of the winner that no case needs (default: on)"),
    Setting(
        "joint",
        "",
        "on or off: ask a strong reflection model for all prompts to blame at once (default: off)",
    ),
    Setting("edits", "", "kinds of edit that the reflection model may make (default: all)"),
    Setting("cache_size", "", "most megabytes of stored answers; the oldest go first (default: 1000)"),
)


class BehindEqualsSign(argparse.Action):
    """An option with a value behind `=`, or none: with `nargs="?"` argparse would take the next word for it.

    To argparse each spelling, `--gepa-check` and `--gepa-check=main`, is an option of its own without a value.
    """

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None, **_: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, default=None, help=help)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        """Note the value, "" where there is none."""
        setattr(namespace, self.dest, (option_string or "").partition("=")[2])


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
        name = f"--gepa-{mode.name}"
        if mode in BASELINES:
            group.addoption(name, metavar=mode.metavar, help=mode.help)
        elif mode.metavar:
            spellings = dict.fromkeys([name, *(word for word in words if word.startswith(f"{name}="))])
            group.addoption(*spellings, action=BehindEqualsSign, dest=f"gepa_{mode.name}", help=mode.help)
        else:
            group.addoption(name, action="store_true", default=False, help=mode.help)
    group.addoption(
        "--gepa-prompts",
        action="append",
        metavar="GLOB",
        help="prompts to improve: globs of files, or file::place for a text inside one; may be repeated "
        "(default: prompts/**/* with the usual suffixes)",
    )
    group.addoption(
        "--gepa-fail-on-trouble",
        action="store_true",
        default=False,
        help="--gepa-check, --gepa-baseline: exit with 1 also when a case gave no evidence (an error, a timeout)",
    )
    parser.addini("gepa_fail_on_trouble", "on or off: the same (default: off)", type="bool")
    parser.addini("gepa_prompts", "prompts to improve: globs, or file::place, one a line", type="linelist")
    parser.addini(
        "gepa_redact",
        "regular expressions of secrets that no file and no model may see, one a line",
        type="linelist",
    )
    parser.addini(
        "gepa_prices",
        "prices of models, one a line: gpt-5 input=1.25 output=10 cached=0.125 max_output=128000 (USD per million)",
        type="linelist",
    )
    for setting in SETTINGS:
        group.addoption(f"--gepa-{setting.name}", metavar=setting.metavar, help=setting.help)
    for setting in (*SETTINGS, *INI_ONLY):
        parser.addini(f"gepa_{setting.name.replace('-', '_')}", setting.help)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register the extension points."""
    from pytest_gepa import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def asked_modes(options: argparse.Namespace) -> list[str]:
    """The modes that were asked for, the last of `MODES` first; the first is the one that goes."""
    given = {mode.name: getattr(options, f"gepa_{mode.name.replace('-', '_')}", None) for mode in MODES}
    return [name for name in reversed(given) if given[name] not in (None, False)]


def _mode(config: pytest.Config) -> str:
    """The mode that was asked for, "" if none; xdist workers and child sessions have none."""
    return "" if hasattr(config, "workerinput") else next(iter(asked_modes(config.option)), "")


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
    mode = _mode(config)
    if not mode:
        return
    from pytest_gepa.settings import resolve

    config.stash[settings_key] = resolve(config, mode)


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """For a replay, let the clients of test modules start without a key; conftest files have had their say."""
    settings = session.config.stash.get(settings_key, None)
    if settings is not None and settings.replay == "only":
        from pytest_gepa.recording import stand_in

        stand_in(settings.rootdir, os.environ, "optimize" if settings.mode == "plan" else settings.mode)


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
    from pytest_gepa.front import run_mode

    return run_mode(session, settings)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Set the mode's exit status, and print its closing lines below pytest's own summary."""
    config = session.config
    if exit_status_key in config.stash and session.exitstatus in (
        pytest.ExitCode.OK,
        pytest.ExitCode.TESTS_FAILED,  # of today's prompts, which is no failure of the run
    ):
        session.exitstatus = config.stash[exit_status_key]
    result = yield
    if closing_key in config.stash:
        from pytest_gepa.front import print_closing

        print_closing(config, config.stash[closing_key])
    return result


@pytest.fixture
def gepa(request: pytest.FixtureRequest) -> Gepa:
    """Score a case by degrees and log what its trajectory should show; does nothing unless pytest-gepa runs."""
    return Gepa(request.config.stash.get(recorder_key, None))


class Gepa:
    """What the `gepa` fixture gives to a test. What it is given is checked in every session, also in one without us."""

    def __init__(self, recorder: Recorder | None) -> None:
        self._recorder = recorder
        self._names: set[str] = set()

    def score(self, value: SupportsFloat, *, feedback: str | None = None, name: str = "") -> None:
        """Give the case a score in [0, 1] in place of 1 for passed and 0 for failed.

        With a `name` it is the score of one objective, and the case's score is the mean of all of them. A later call
        of the same name replaces the earlier one. `feedback` is read by the reflecting model. Numbers of any type
        will do; True is 1. Raises `ValueError` for anything else, and where scores with and without a name meet.
        """
        number = _in_unit_interval(value)
        if number is None:
            raise ValueError(f"gepa.score takes a number from 0 to 1, not {value!r}")
        if not isinstance(name, str):
            raise ValueError(f"gepa.score: the name of an objective is text, not {name!r}")
        if self._names and ("" in self._names) != (name == ""):
            raise ValueError(
                "gepa.score: a score without a name is that of the whole case, so it cannot stand beside those of "
                "objectives; give every score of the case a name, or only one and no name"
            )
        self._names.add(name)
        if self._recorder is not None:
            self._recorder.score(number, "" if feedback is None else str(feedback), name)

    def log(self, name: str, value: Any) -> None:
        """Add a step to the trajectory: an intermediate result that the reflecting model should see."""
        if self._recorder is not None:
            self._recorder.log(name, value)


def _in_unit_interval(value: Any) -> float | None:
    """The value as a float in [0, 1]: also of NumPy's and torch's scalars. Text would be parsed, so not that."""
    if isinstance(value, (str, bytes, bytearray)):
        return None
    try:
        number = float(value)
    except Exception:  # whatever a type may raise in its `__float__`
        return None
    return number if 0 <= number <= 1 else None
