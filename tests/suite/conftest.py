"""Runners shared by the tests of child sessions, and the building of projects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pytest_gepa.suite.fork import ForkRunner
from pytest_gepa.suite.isolation import choose_runner
from pytest_gepa.suite.job import Job
from pytest_gepa.suite.places import Limit
from pytest_gepa.suite.runner import Emit, Runner
from tests.suite.world import PRELOAD, Build, Project


@pytest.fixture
def pytester(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    return pytester


class SharedForkRunner(ForkRunner):
    """Serves many projects: that a session of one could not fork says nothing about the next."""

    def run(self, job: Job, emit: Emit, limit: Limit) -> None:
        self._collect_each = False
        super().run(job, emit, limit)


@pytest.fixture(scope="session")
def fork_runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    runner = SharedForkRunner(tmp_path_factory.mktemp("fork"), PRELOAD, [])
    yield runner
    runner.close()


@pytest.fixture(scope="session")
def spawn_runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    runner = choose_runner("spawn", tmp_path_factory.mktemp("spawn"), (), [])
    yield runner
    runner.close()


@pytest.fixture(scope="session", params=["fork_runner", "spawn_runner"])
def runner(request: pytest.FixtureRequest) -> Runner:
    """Either runner."""
    chosen: Runner = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture(scope="session", params=["fork_runner", pytest.param("spawn_runner", marks=pytest.mark.thorough)])
def usual_runner(request: pytest.FixtureRequest) -> Runner:
    """Forks; new interpreters among the thorough tests, for what hardly hangs on how a process begins."""
    chosen: Runner = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Builds a project of the given files."""

    def build(files: Mapping[str, str]) -> Project:
        top: Path = tmp_path_factory.mktemp("world")
        return Project(top / "project", top / "temp", files)

    return build
