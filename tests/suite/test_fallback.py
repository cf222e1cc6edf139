"""Cases that crash where processes are forked, and not in new interpreters."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_gepa.suite import evaluate as evaluate_module
from pytest_gepa.suite.isolation import choose_runner
from pytest_gepa.suite.runner import Runner
from tests.suite.world import PRELOAD, Build, Purse, evaluate, logged, outcomes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forking is the default on Linux alone")
TESTS = """
    import os, signal, sys

    FORKED = sys.modules["__main__"].__spec__.name.endswith("forkserver")

    def test_breaks():
        if FORKED or {always}:
            os.kill(os.getpid(), signal.SIGSEGV)

    def test_tells(gepa):
        gepa.log("text", "forked" if FORKED else "new")
"""
BREAKS, TELLS = "test_it.py::test_breaks", "test_it.py::test_tells"


@pytest.fixture
def auto_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runner]:
    monkeypatch.setattr(evaluate_module, "BACKOFF_SECONDS", (0.0, 0.0))
    temp = tmp_path / "runner"
    temp.mkdir()
    runner = choose_runner("auto", temp, PRELOAD, [])
    yield runner
    runner.close()


def test_a_case_that_does_not_stand_forking_is_run_in_a_new_interpreter_and_so_are_all_behind_it(
    build: Build, auto_runner: Runner
) -> None:
    suite = build({"test_it.py": TESTS.format(always=False)}).suite(auto_runner, [BREAKS, TELLS])
    first = evaluate(suite, allowance=Purse(rollouts=2))
    assert outcomes(first) == {"test_breaks": "passed", "test_tells": "passed"}
    assert logged(first.rollouts[TELLS]) == "forked"
    second = evaluate(suite, trial="search/1")
    assert outcomes(second) == {"test_breaks": "passed", "test_tells": "passed"}
    assert logged(second.rollouts[TELLS]) == "new"
    (told,) = suite.problems
    assert "gepa_isolation = spawn" in told


@pytest.mark.thorough
def test_a_case_that_crashes_anywhere_changes_nothing_for_the_others(build: Build, auto_runner: Runner) -> None:
    suite = build({"test_it.py": TESTS.format(always=True)}).suite(auto_runner, [BREAKS, TELLS])
    for trial in ("search/0", "search/1"):
        found = evaluate(suite, trial=trial, allowance=Purse(rollouts=2))
        assert outcomes(found) == {"test_breaks": "crashed", "test_tells": "passed"}
        assert logged(found.rollouts[TELLS]) == "forked"
    assert suite.problems == ()
