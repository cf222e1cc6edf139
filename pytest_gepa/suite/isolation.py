"""How child sessions are kept apart: the choice of the runner that makes them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_gepa.suite import bind_mounts
from pytest_gepa.suite.fallback import FallbackRunner
from pytest_gepa.suite.fork import ForkRunner
from pytest_gepa.suite.runner import Runner
from pytest_gepa.suite.spawn import SpawnRunner


def choose_runner(isolation: str, temp: Path, preload: Sequence[str], prompts: Sequence[str]) -> Runner:
    """The runner for this platform.

    `isolation` is "auto", "fork", "spawn" or "strict", which forks as well (see `bind_mounts`). Forking is the default
    on Linux only, and there only while it breaks nothing: macOS libraries break after it, Windows has none. `preload`
    names modules for the fork server, `prompts` the files that none of them may read. Raises `RunnerError` where strict
    isolation cannot be had.
    """
    if isolation == "strict":
        bind_mounts.check()
    if isolation in ("fork", "strict"):
        return ForkRunner(temp, preload, prompts)
    if isolation == "auto" and sys.platform == "linux":
        return FallbackRunner(ForkRunner(temp, preload, prompts), SpawnRunner(temp))
    return SpawnRunner(temp)
