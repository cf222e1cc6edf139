"""Fixtures shared by all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Project, new_project

pytest_plugins = ["pytester"]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project with failing cases, and the model that it talks to."""
    yield from new_project(tmp_path / "project")
