"""The seam between a job and the processes that run it."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from pytest_gepa.suite.job import Job
from pytest_gepa.suite.places import Limit

Emit = Callable[[Mapping[str, Any]], None]

SCRUBBED = ("PYTEST_CURRENT_TEST", "PYTEST_XDIST_", "PYTEST_VERSION", "COV_CORE_")

# The empty path is the working directory; `python -P` would leave it out, but only from 3.11 on.
RUN_MODULE = (
    "import sys; sys.path[:] = filter(None, sys.path); "
    "import runpy; runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


class Runner(Protocol):
    """Runs jobs in child sessions with a fresh interpreter state for each candidate."""

    def run(self, job: Job, emit: Emit, limit: Limit) -> None:
        """Run a job to its end, handing on the events of its sessions. Every process of cases takes a place of `limit`.

        Events are `rollout`, `lost` (a case whose process gave no result, with `outcome` and `reason`, and with `begun`
        as false where no process had come to it), `broken` (a session that could not collect), `stray` (calls to a
        model that belong to no case) and `problems` (what could not be recorded, in words). Blocks; several jobs may
        run at once, each in a thread of its own.
        """

    def stop(self) -> None:
        """End every child at once and start none any more; jobs then return at once, with cases missing."""

    def close(self) -> None:
        """Give back what the runner holds, when no job runs."""


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment as it is now, after every conftest, less what tells of the session that is running."""
    return {key: value for key, value in environ.items() if not key.startswith(SCRUBBED)}


def with_package(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment in which a new Python finds this package, whatever its `sys.path` will be later.

    An installed one is found as it is. Before the standard library, a backport beside it (`argparse`, `dataclasses`)
    would be taken for a module of Python's own.
    """
    home, installed = str(Path(__file__).parents[2]), sysconfig.get_paths()
    places = (installed["purelib"], installed["platlib"], *site.getsitepackages())
    if os.path.realpath(home) in map(os.path.realpath, places):
        return dict(environ)
    paths = [home, *filter(None, [environ.get("PYTHONPATH")])]
    return {**environ, "PYTHONPATH": os.pathsep.join(paths)}


def with_fixed_order(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment in which a new Python orders its sets as in every run before, unless the user has chosen how.

    What pytest prints of two dicts or sets that differ has that order, and so may what an application asks: requests
    would be others in each run, and no stored answer be found. The sessions themselves have the user's variables.
    """
    return {"PYTHONHASHSEED": "0", **environ}


def new_python(module: str, *arguments: str) -> list[str]:
    """The command of a new Python that runs a module as `-m` does, without the working directory on `sys.path`.

    A file of the project by the name of a module (`secrets.py`, `queue.py`) would be taken for that one.
    """
    return [sys.executable, "-c", RUN_MODULE, module, *arguments]
