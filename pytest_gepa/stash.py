"""What the plugin keeps of a pytest session for those that come later. Loaded with every session."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_gepa.settings import Settings
    from pytest_gepa.trace.recorder import Recorder

# Child sessions start with the import path as it was before pytest and the project's conftest files added to it.
INITIAL_SYS_PATH = tuple(sys.path)

recorder_key: pytest.StashKey[Recorder] = pytest.StashKey()
settings_key: pytest.StashKey[Settings] = pytest.StashKey()
closing_key: pytest.StashKey[list[str]] = pytest.StashKey()
exit_status_key: pytest.StashKey[int] = pytest.StashKey()
is_partly_collected_key: pytest.StashKey[bool] = pytest.StashKey()
verdict_key: pytest.StashKey[str] = pytest.StashKey()
