"""Fixtures shared by all tests."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.harness import Project, new_project

pytest_plugins = ["pytester"]

# A second or two for a property; more where somebody has the time.
settings.register_profile("gepa", max_examples=int(os.environ.get("GEPA_EXAMPLES", "25")), deadline=None)
settings.load_profile("gepa")


TESTS = Path(__file__).parent
LONGEST = (
    "test_optimize.py",
    "test_replay.py",
    "test_check.py",
    "test_baseline.py",
    "test_cost.py",
    "test_secrets.py",
)
LONG = (TESTS / "suite", TESTS / "verdict")
MOST_SECONDS = 240
"""A test that hangs must not hold up all others. The sessions that a test runs are given half of it each."""


def pytest_configure(config: pytest.Config) -> None:
    # xdist would begin with the files of most tests: whole runs, a minute a file, would come last, one beside nothing.
    if getattr(config.option, "loadscopereorder", False):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Whole runs first, the longest files before all, so that four processes end at about the same time."""

    def rank(item: pytest.Item) -> int:
        if item.path.parent == TESTS:
            return LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST)
        return len(LONGEST) + (1 if item.path.parent in LONG else 2)

    items.sort(key=rank)
    if config.pluginmanager.hasplugin("timeout"):
        for item in items:
            item.add_marker(pytest.mark.timeout(MOST_SECONDS))


def pytest_collection_finish() -> None:
    # Sessions of pytester end in this process, each with collections of garbage: thousands of tests, and all that they
    # have imported, need no looking through again.
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _git_of_nobody() -> Iterator[None]:
    """Git as it is without a user: not the one whose hook runs these tests, with an index of his own."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("GIT_")]:
            patch.delenv(name)
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        patch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
        yield


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project with failing cases, and the model that it talks to."""
    yield from new_project(tmp_path / "project")
