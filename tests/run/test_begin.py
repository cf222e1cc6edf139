"""Runs that do not come to begin."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_gepa.errors import RunnerError
from pytest_gepa.front import audit, check_session, optimize
from pytest_gepa.run import begin
from pytest_gepa.trace.redact import Redactor
from tests.check_world import world_settings


def test_a_run_that_cannot_begin_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_given: object) -> None:
        raise RunnerError("strict isolation cannot be had")

    (tmp_path / "temp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    monkeypatch.setattr(begin, "make_suite", refuse)
    config: Any = None
    with pytest.raises(RunnerError):
        begin.begin_run(config, world_settings(rootdir=tmp_path), (), (), Redactor({}), {})
    assert not list((tmp_path / ".gepa/runs").iterdir())
    assert not list((tmp_path / "temp").iterdir())


def prepare_optimization(session: Any, settings: Any) -> None:
    optimize._optimize(session, settings, SimpleNamespace(cases=(), components=(), **OTHER))  # type: ignore[arg-type]


def prepare_audit(session: Any, settings: Any) -> None:
    audit._run(session, settings, (), (), SimpleNamespace(limit=1))  # type: ignore[arg-type]


def prepare_check(session: Any, settings: Any) -> None:
    check_session.CheckSession(session, settings, (), (), Redactor({}), {})


def prepare_trials(session: Any, settings: Any) -> None:
    with check_session.CheckSession(session, settings, (), (), Redactor({}), {}):
        raise RuntimeError("no screen")


OTHER = {"budget": None, "ancestor": {}, "endpoint": SimpleNamespace(model="reflector")}


@pytest.mark.parametrize(
    ("module", "prepare", "has_screen"),
    [
        (optimize, prepare_optimization, False),
        (audit, prepare_audit, False),
        (check_session, prepare_check, False),
        (check_session, prepare_trials, True),
    ],
)
def test_a_run_for_which_something_cannot_be_prepared_leaves_nothing_behind(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    prepare: Callable[[Any, Any], None],
    has_screen: bool,
) -> None:
    closed: list[str] = []
    paths = [tmp_path / "run", tmp_path / "temp"]
    for path in paths:
        path.mkdir()
    journal: Any = SimpleNamespace(close=lambda: closed.append("journal"))
    answers: Any = SimpleNamespace(close=lambda: closed.append("answers"), name="r")
    suite: Any = SimpleNamespace(runner=SimpleNamespace(close=lambda: closed.append("runner")))
    run = begin.BegunRun(*paths, journal, answers, suite, "")

    def no_screen(config: object) -> None:
        if not has_screen:
            raise RuntimeError("no screen")

    monkeypatch.setattr(module, "begin_run", lambda *_given: run)
    monkeypatch.setattr(module, "terminal_stream", no_screen)
    if has_screen:
        monkeypatch.setattr(module, "CheckTerminal", lambda stream: None)
    with pytest.raises(RuntimeError, match="no screen"):
        prepare(SimpleNamespace(config=None), world_settings())
    assert closed == ["runner", "journal", "answers"]
    assert not any(path.exists() for path in paths)
