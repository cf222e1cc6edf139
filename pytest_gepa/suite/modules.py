"""Which loaded modules belong to the interpreter and its environment, so that a fork server may import them first."""

from __future__ import annotations

import importlib.metadata
import os
import re
import site
import sys
import sysconfig
from collections.abc import Mapping
from functools import cache
from pathlib import Path

# Enough of TOML for one key: Python 3.10 has no parser, and a miss costs a preload, not a wrong result.
_REWRITTEN = "@pytest_ar"
"""A name in each module whose asserts pytest has rewritten, so that they tell both sides of what they compare."""

_WITHOUT_CHECKS = (
    "_pytest",
    "anyio",
    "deepeval",
    "faker",
    "hypothesis",
    "langsmith",
    "logfire",
    "pytest_",
    "typeguard",
    "xdist",
)
"""How the names of plugins begin whose asserts are no checks of a case, and which are too large to be imported by each
session. (pytest rewrites all of a distribution that has a plugin.)"""

_DRAWN_AT_IMPORT = ("pytest_randomly",)
"""Modules that draw what is to be another number in each session when they are imported."""

PROJECT_NAME = re.compile(r"^\s*\[project\][^\[]*?^\s*name\s*=\s*[\"']([^\"']+)[\"']", re.MULTILINE)


class PreloadedLater:
    """Which modules of a session the fork server may load before later ones: those that a case or a fixture imports
    after it has set a variable of the environment must find it set, in each session."""

    def __init__(self) -> None:
        self._environ = _environment()
        self._names = set(sys.modules)
        self._has_changed = False

    def look(self) -> None:
        """Take in what has been loaded by now, unless the environment has changed."""
        self._has_changed = self._has_changed or _environment() != self._environ
        if not self._has_changed:
            self._names = set(sys.modules)

    @property
    def names(self) -> list[str]:
        """The modules of the environment among them."""
        self.look()
        return [name for name in environment_modules() if name in self._names]


def _environment() -> dict[str, str]:
    """The variables, without the one that pytest sets for each phase of a test."""
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


def environment_modules() -> list[str]:
    """The names of loaded modules from the standard library and site-packages, in the order of their import.

    The project's own modules are left out, for they may read a prompt at import; a virtual environment inside the
    project's directory is not the project. So are shared checks that are installed: only where pytest imports them
    itself do their asserts say more than that they failed.
    """
    roots = tuple(environment_roots())
    names = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or name.startswith(("__", "conftest", "test_")) or ".tests." in name:
            continue
        if os.path.realpath(file).startswith(roots) and not _must_be_imported_anew(name, vars(module)):
            names.append(name)
    return names


def _must_be_imported_anew(name: str, module: Mapping[str, object]) -> bool:
    is_check = _REWRITTEN in module and not name.startswith(_WITHOUT_CHECKS)
    return is_check or name.startswith(_DRAWN_AT_IMPORT)


@cache
def environment_roots() -> frozenset[str]:
    """The directories of the standard library and of what is installed, each with a separator at its end."""
    paths = sysconfig.get_paths()
    found = {paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    found.update(site.getsitepackages())
    found.add(site.getusersitepackages())
    # An environment that lies over another one (`uv run --with`) has that one's packages on its path and nowhere else.
    found.update(path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages"))
    return frozenset(os.path.realpath(path) + os.sep for path in found)


def project_packages(rootdir: Path) -> set[str]:
    """Top-level modules of the distribution that the project itself is, should it be installed in the environment.

    A non-editable install puts the project's own code into site-packages, where it would pass for a third party's.
    """
    for directory in (rootdir, *rootdir.parents):
        file = directory / "pyproject.toml"
        if not file.is_file():
            continue
        match = PROJECT_NAME.search(file.read_text(encoding="utf-8", errors="replace"))
        if match:
            return _top_level(match.group(1))
    return set()


def _top_level(distribution: str) -> set[str]:
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return set()
    return {file.parts[0].removesuffix(".py") for file in files if file.suffix == ".py"}
