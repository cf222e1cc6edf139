"""The sources that cases are made from: their test files, and the conftest files above them."""

from __future__ import annotations

import tokenize
from collections.abc import Iterable
from pathlib import Path

from pytest_gepa.suite.rollout import Case


def case_sources(rootdir: Path, cases: Iterable[Case]) -> list[str]:
    """The texts of these files, each once, in the order of the cases; none of a file that cannot be read."""
    files: dict[Path, None] = {}
    for name in dict.fromkeys(case.id.partition("::")[0] for case in cases):
        files[rootdir / name] = None
        directories = Path(name).parents
        files.update(dict.fromkeys(rootdir / directory / "conftest.py" for directory in directories))
    return [text for path in files if (text := _read(path)) is not None]


def _read(path: Path) -> str | None:
    try:
        with tokenize.open(path) as stream:
            return stream.read()
    except (OSError, SyntaxError, UnicodeDecodeError):
        return None
