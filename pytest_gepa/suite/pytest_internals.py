"""The only module that touches pytest's private names; everything else speaks to pytest through its hooks."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import pytest
from _pytest._io import TerminalWriter
from _pytest.capture import FDCaptureBase
from _pytest.runner import call_and_report

# What a user may have asked of his own session and what must not happen in a child: stopping early, choosing by what
# has failed before, writing files, debuggers, distribution, order, reruns, snapshots. Only options that exist are set,
# so plugins that are not installed cost nothing. `-k`, `-m` and `--deselect` stay as they were typed: a conftest may
# ask for them, as many do that skip the cases of a real model unless `-m` names them. The cases are the job's anyway.
CHILD_OPTIONS: Mapping[str, Any] = {
    "basetemp": None,
    "cacheclear": False,
    "collectonly": False,
    "dist": "no",
    "durations": None,
    "failedfirst": False,
    "htmlpath": None,
    "inline_snapshot": "disable",
    "lf": False,
    "log_file": os.devnull,
    "loadscopereorder": False,
    "looponfail": False,
    "maxfail": 0,
    "maxprocesses": None,
    "newfirst": False,
    "no_summary": True,
    "no_cov": True,
    "numprocesses": None,
    "pastebin": None,
    "px": [],
    "randomly_reorganize": False,
    "record_mode": "none",
    "report_log": None,
    "reruns": 0,
    "setuponly": False,
    "setupplan": False,
    "setupshow": False,
    "stepwise": False,
    "stepwise_reset": False,
    "stepwise_skip": False,
    "tbstyle": "auto",
    "testmon": False,
    "trace": False,
    "tx": [],
    "update_snapshots": False,
    "usepdb": False,
    "vcr_record": "none",
    "verbose": 2,
    "xmlpath": None,
    # Files that other plugins write, or rewrite: reports, durations, expected results.
    "allure_report_dir": None,
    "benchmark_autosave": None,
    "benchmark_save": None,
    "clean_alluredir": False,
    "cucumber_json_path": None,
    "force_regen": False,
    "forked": False,
    "json_report": False,
    "md_report": False,
    "regen_all": False,
    "replay_record_dir": None,
    "snapshot_update": False,
    "store_durations": False,
}

LEFT_OUT = ("pytest-retry", "pytest_retry.retry_plugin", "pytest_forked")
"""pytest-retry, by either name: it runs a failing test again from within the making of its report, also by a mark.
pytest-forked, for the same: it runs a test in a process that nobody hears."""

# Plugins were imported before pytest could rewrite their asserts; under `-W error` its warning would end the session.
CHILD_ARGUMENTS = ("--capture=fd", "-W", "ignore::pytest.PytestAssertRewriteWarning")


def child_arguments(args: Sequence[str]) -> list[str]:
    """The command line of a child session: the user's own, and what must be known before options are changed."""
    end = args.index("--") if "--" in args else len(args)
    return [*args[:end], *CHILD_ARGUMENTS, *args[end:]]


def adapt_early_options(config: pytest.Config) -> None:
    """The same for plugins that begin their work before the configuration is complete, as pytest-cov does."""
    _set_child_options(config.known_args_namespace)


def adapt_child_config(config: pytest.Config, files: Sequence[str]) -> None:
    """Make a child session collect `files` and do nothing else that its user asked of his own session."""
    _set_child_options(config.option)
    _keep_single_threaded(config)
    watch_parameters(config)
    for name in vars(config.option):
        if name.startswith("gepa_"):
            setattr(config.option, name, None)
    config.args = list(files)


def _set_child_options(options: argparse.Namespace) -> None:
    for name, value in CHILD_OPTIONS.items():
        if hasattr(options, name):
            setattr(options, name, value)


def leave_out_plugins(config: pytest.Config) -> None:
    """Take plugins out of a child that no option switches off. They have been configured: their marks are known."""
    for name in LEFT_OUT:
        plugin = config.pluginmanager.getplugin(name)
        if plugin is not None:
            config.pluginmanager.unregister(plugin)


def _keep_single_threaded(config: pytest.Config) -> None:
    """Keep pytest-rerunfailures from serving workers of xdist by a thread: with one a session cannot fork its own."""
    plugin = config.pluginmanager.getplugin("rerunfailures")
    if hasattr(plugin, "HAS_PYTEST_HANDLECRASHITEM"):
        plugin.HAS_PYTEST_HANDLECRASHITEM = False


def switch_off_distribution(config: pytest.Config) -> int | None:
    """Keep xdist from starting workers; the number that was asked for (`-n 4`, `--tx 4*popen`), None without any.

    `-n 0` asks for one case at a time. `--maxprocesses` bounds the number of `-n`, as it does in xdist.
    """
    wanted = getattr(config.option, "numprocesses", None)
    if wanted is None and getattr(config.option, "dist", "no") == "no":
        return None
    tx = getattr(config.option, "tx", None) or []
    for name in ("numprocesses", "dist", "tx"):
        setattr(config.option, name, CHILD_OPTIONS[name])
    if isinstance(wanted, int):
        most = getattr(config.option, "maxprocesses", None) or wanted
        return max(1, min(wanted, most))
    counts = (spec.partition("*")[0] for spec in tx)
    return sum(int(count) if count.isdecimal() else 1 for count in counts) or os.cpu_count() or 1


def keep_order(config: pytest.Config) -> None:
    """Keep pytest-randomly from shuffling the cases: their order is that of the report, and of what a budget holds."""
    if hasattr(config.option, "randomly_reorganize"):
        config.option.randomly_reorganize = False


def redirect_cache(config: pytest.Config, directory: Path) -> None:
    """Give the session a cache directory of its own, in place of the user's `.pytest_cache`.

    To be called before the session is configured: plugins may write into the cache then, as pytest-randomly does.
    """
    config._inicache["cache_dir"] = str(directory)


def part_capture(config: pytest.Config) -> None:
    """Give a forked process capture files of its own: those it inherits are shared with its siblings.

    The objects stay, with another file below: loggers that were set up during collection hold on to them.
    """
    manager = config.pluginmanager.getplugin("capturemanager")
    capturing = getattr(manager, "_global_capturing", None)
    for capture in (getattr(capturing, "out", None), getattr(capturing, "err", None)):
        if isinstance(capture, FDCaptureBase):
            with tempfile.TemporaryFile() as own:
                os.dup2(own.fileno(), capture.tmpfile.fileno())


def run_phases(item: pytest.Item, next_item: Callable[[], pytest.Item | None]) -> None:
    """Run one item: setup, call, teardown, with reports logged.

    `next_item` is asked only before the teardown, so that a process which takes its cases one by one keeps the
    fixtures that its next case shares. Plugins that rerun failing items are passed over on purpose: a rerun would be
    a second rollout. An item that raises `pytest.exit` is torn down too, for others come after it.
    """
    if hasattr(item, "_request") and not item._request:
        item._initrequest()  # type: ignore[attr-defined]
    try:
        setup = call_and_report(item, "setup", log=True)
        if setup.passed:
            call_and_report(item, "call", log=True)
    finally:
        call_and_report(item, "teardown", log=True, nextitem=next_item())
    if hasattr(item, "_request"):
        item._request = False
        item.funcargs = None  # type: ignore[attr-defined]


def active_fixtures(request: object) -> dict[str, pytest.FixtureDef[Any]]:
    """The fixtures that the item of a request has in use by now, by name; {} for an item that takes none."""
    return dict(getattr(request, "_fixture_defs", {}))


def fixtures_of(item: pytest.Item) -> dict[str, pytest.FixtureDef[Any]]:
    """The fixtures that an item has in use by now, by name."""
    return active_fixtures(getattr(item, "_request", None))


def raised(item: pytest.Item, call: pytest.CallInfo[None]) -> BaseException | None:
    """What a phase or subtest has raised, asked before any plugin makes a report of it.

    An item of unittest keeps what was raised in a list, of which pytest takes the first for the report.
    """
    kept = getattr(item, "_excinfo", None)
    excinfo = kept[0] if kept else call.excinfo
    return None if excinfo is None else excinfo.value


class _ParameterWatch:
    """Notes the position in each parameter set before pytest replaces it by the number of the whole combination."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> Iterator[None]:
        yield
        positions = metafunc.config.stash[_positions_key]
        for callspec in metafunc._calls:
            positions[id(callspec)] = callspec, _in_order(callspec.indices)


_Positions = tuple[int, ...]
# By the id of the call specification, which is kept so that no other can have that id.
_positions_key: pytest.StashKey[dict[int, tuple[object, _Positions]]] = pytest.StashKey()


def watch_parameters(config: pytest.Config) -> None:
    """Have `parameter_positions` know the positions of the items that are collected from now on."""
    config.stash[_positions_key] = {}
    config.pluginmanager.register(_ParameterWatch(), "gepa-parameters")


def parameter_positions(item: pytest.Item) -> _Positions:
    """The item's position in each of its parameter sets, by argument name; () when it has none."""
    callspec = getattr(item, "callspec", None)
    if callspec is None:
        return ()
    noted = item.config.stash.get(_positions_key, {}).get(id(callspec))
    return noted[1] if noted else _in_order(callspec.indices)


def _in_order(indices: Mapping[str, int]) -> _Positions:
    return tuple(position for _, position in sorted(indices.items()))


def parameters(item: pytest.Item) -> dict[str, object]:
    """The item's own parameter values by name."""
    callspec = getattr(item, "callspec", None)
    return dict(callspec.params) if callspec is not None else {}


def is_subtest(report: pytest.TestReport) -> bool:
    """Whether the report is of one subtest inside an item."""
    return type(report).__name__ in ("SubtestReport", "SubTestReport")


def unknown_ini_keys(config: pytest.Config, known: Sequence[str]) -> list[str]:
    """The ini keys of the user's configuration file that start with `gepa_` and are not `known`."""
    values = getattr(config, "_inicfg", None)
    if values is None:
        values = config.inicfg
    return sorted(key for key in values if key.startswith("gepa_") and key not in known)


def quieten(config: pytest.Config) -> None:
    """Leave out the tracebacks and the list of failures of today's prompts, unless the user asked for a style.

    They are the material of the search, by the dozen, and the closing section tells what became of them.
    """
    for name, default, quiet in (("tbstyle", "auto", "no"), ("reportchars", "fE", "")):
        if getattr(config.option, name, None) == default:
            setattr(config.option, name, quiet)
    config.option.maxfail = 0


def finish_progress(config: pytest.Config) -> None:
    """Let the terminal reporter end its line of dots now: pytest does so only when the whole loop is over."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    write = getattr(reporter, "_write_progress_information_filling_space", None)
    if write is None or not getattr(reporter, "_show_progress_info", False) or config.get_verbosity() > 0:
        return
    if getattr(reporter, "_is_last_item", False) and hasattr(reporter, "reported_progress"):
        write()
        reporter._show_progress_info = False


def terminal_writer(stream: TextIO) -> TerminalWriter:
    """What writes to a stream in colours, where pytest itself would."""
    return TerminalWriter(stream)


def terminal_stream(config: pytest.Config) -> TextIO:
    """Where the terminal reporter writes, so that our lines and pytest's come out in order; nowhere without one."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is None:
        return open(os.devnull, "w", encoding="utf-8")
    stream: TextIO = reporter._tw._file
    return stream
