"""The sources that cases are made from: test files, conftest files, modules of the project and its files of data."""

from __future__ import annotations

import tokenize
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pytest_gepa.suite.project_files import LARGEST, data_files, imported_modules
from pytest_gepa.suite.rollout import Case, file_of


@dataclass(frozen=True, slots=True)
class Source:
    """One file. `path` is relative to the project, with slashes; `names` are what a case may call it.

    `is_test` says that the file is there for the tests: a test file or a conftest.
    """

    path: str
    text: str
    names: tuple[str, ...] = ()
    is_test: bool = False

    @property
    def suffix(self) -> str:
        """The suffix of the file in lower case."""
        return Path(self.path).suffix.lower()


def case_sources(rootdir: Path, cases: Iterable[Case]) -> list[Source]:
    """These files, each once: the cases' own in their order, then what they import, then data. None of a file that
    cannot be read.
    """
    tests: dict[Path, None] = {}
    for name in dict.fromkeys(file_of(case.id) for case in cases):
        tests[rootdir / name] = None
        directories = Path(name).parents
        tests.update(dict.fromkeys(rootdir / directory / "conftest.py" for directory in directories))
    code = {path: text for path in tests if (text := _read(path)) is not None}
    for path in list(imported_modules(rootdir, code)):
        if (text := _read(path)) is not None:
            code.setdefault(path, text)
    data = data_files(rootdir, [path for path in tests if path in code], "\n".join(code.values()))
    return [
        *(Source(_relative(path, rootdir), text, is_test=path in tests) for path, text in code.items()),
        *(
            Source(_relative(path, rootdir), text, _names(path, rootdir))
            for path in data
            if (text := _read_data(path)) is not None
        ),
    ]


def _relative(path: Path, rootdir: Path) -> str:
    return path.relative_to(rootdir).as_posix() if path.is_relative_to(rootdir) else path.as_posix()


def _names(path: Path, rootdir: Path) -> tuple[str, ...]:
    """What a file of data may be called by: paths, its name, and the directory that may be a case's own."""
    parts = Path(_relative(path, rootdir)).parts
    ends = ("/".join(parts[at:]) for at in range(len(parts)))
    return (str(path), *ends, path.stem, path.name.partition(".")[0], *parts[-2:-1])


def _read(path: Path) -> str | None:
    try:
        if path.stat().st_size > LARGEST:
            return None
        with tokenize.open(path) as stream:
            return stream.read()
    except (OSError, SyntaxError, UnicodeDecodeError):
        return None


def _read_data(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
