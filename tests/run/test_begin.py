"""Runs that do not come to begin."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from pytest_gepa.errors import RunnerError
from pytest_gepa.run import begin
from pytest_gepa.trace.redact import Redactor
from tests.check_world import world_settings


def test_a_run_that_cannot_begin_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
