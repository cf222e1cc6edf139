"""Fixtures shared by all tests."""

from __future__ import annotations

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


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project with failing cases, and the model that it talks to."""
    yield from new_project(tmp_path / "project")
