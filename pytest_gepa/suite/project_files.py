"""Files of the project that cases may have their data from: modules that tests import, and files of data."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pytest_gepa.prompts.python_source import parse_module
from pytest_gepa.suite.modules import environment_roots

TABLE_SUFFIXES = (".json", ".jsonl", ".ndjson", ".yaml", ".yml", ".toml", ".csv", ".tsv", ".txt")
"""Files whose rows may belong to cases."""

TEXT_SUFFIXES = (".md", ".markdown", ".html", ".xml", ".eml")
"""Files that belong to a case only if they are called like it."""

MOST_MODULES = 500
MOST_FILES = 2_000
MOST_BYTES = 20_000_000
LARGEST = 10_000_000
_MOST_SEEN = 50_000
_SLOW = {".yaml": 10, ".yml": 10, ".toml": 50}
"""How many bytes of another format take the time of one."""

_NO_DATA = frozenset({"__pycache__", "node_modules", "site-packages", "build", "dist"})


def imported_modules(rootdir: Path, sources: Mapping[Path, str]) -> Iterator[Path]:
    """The project's modules that these sources import, those that they import in turn, and all that are loaded.

    Imports inside functions count too: they are made when a case runs.
    """
    root = os.path.realpath(rootdir)
    places = [rootdir, *(Path(entry) for entry in sys.path if os.path.realpath(entry).startswith(root))]
    loaded = [path for path in _loaded_files() if _is_of_project(path, root)]
    known = dict.fromkeys(sources)
    waiting = [*((path, text) for path, text in sources.items()), *((path, "") for path in loaded)]
    found = 0
    while waiting and found < MOST_MODULES:
        path, text = waiting.pop(0)
        if path not in known:
            known[path] = None
            found += 1
            yield path
            text = text or _text(path)
        for name in _imports(text, path):
            near = [path.parent, *places] if isinstance(name, str) else []
            for file in _module_files(name, near):
                if file not in known and _is_of_project(file, root):
                    waiting.append((file, ""))


def _loaded_files() -> list[Path]:
    files = (
        getattr(module, "__file__", None)
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] != "pytest_gepa"
    )
    return [Path(file) for file in files if isinstance(file, str) and file.endswith(".py")]


def _is_of_project(path: Path, root: str) -> bool:
    real = os.path.realpath(path)
    return real.startswith(root + os.sep) and not real.startswith(tuple(environment_roots()))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") if path.stat().st_size <= LARGEST else ""
    except (OSError, UnicodeDecodeError):
        return ""


def _imports(text: str, path: Path) -> Iterator[str | Path]:
    """The dotted names that a source imports; relative ones as paths."""
    tree = parse_module(text)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = [module, *(f"{module}.{alias.name}".strip(".") for alias in node.names)]
            if not node.level:
                yield from names
            elif node.level <= len(path.parents):
                above = path.parents[node.level - 1]
                yield from (above.joinpath(*name.split(".")) for name in names if name)


def _module_files(name: str | Path, places: Iterable[Path]) -> Iterator[Path]:
    """The files that a module and its packages are in, where they exist."""
    if isinstance(name, Path):
        stems = [name]
    else:
        parts = name.split(".")
        stems = [place.joinpath(*parts[:count]) for place in places for count in range(1, len(parts) + 1)]
    for stem in stems:
        for file in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py"):
            if stem.name and file.is_file():
                yield file


def data_files(rootdir: Path, tests: Sequence[Path], code: str) -> Iterator[Path]:
    """The project's files of data: first those that are named in `code`, then those close to the tests.

    There are bounds, to their number and to the time that reading them takes.
    """
    found = {file: size for file, size in _seen(rootdir, tests) if size <= LARGEST}
    near = dict.fromkeys(test.parent for test in tests)

    def rank(file: Path) -> tuple[bool, int, str]:
        distance = min((_distance(file.parent, directory) for directory in near), default=0)
        return file.name not in code, distance, str(file)

    room = MOST_BYTES
    for file in sorted(found, key=rank)[:MOST_FILES]:
        cost = found[file] * _SLOW.get(file.suffix.lower(), 1)
        if cost <= room:
            room -= cost
            yield file


def _distance(one: Path, other: Path) -> int:
    common = sum(a == b for a, b in zip(one.parts, other.parts, strict=False))
    return len(one.parts) + len(other.parts) - 2 * common


def _seen(rootdir: Path, tests: Sequence[Path]) -> Iterator[tuple[Path, int]]:
    """Files of data with their sizes, those below the tests' directories first."""
    environment = {os.path.realpath(entry) for entry in (sys.prefix, sys.base_prefix)}
    seen = 0
    done: set[str] = set()
    for top in dict.fromkeys([*(test.parent for test in tests), rootdir]):
        if str(top) in done:
            continue
        for directory, below, files in os.walk(top):
            below[:] = sorted(
                name
                for name in below
                if not name.startswith(".")
                and name not in _NO_DATA
                and os.path.join(directory, name) not in done
                and os.path.realpath(os.path.join(directory, name)) not in environment
                and not os.path.exists(os.path.join(directory, name, "pyvenv.cfg"))
            )
            done.add(directory)
            seen += len(files) + 1
            for name in sorted(files):
                if name.lower().endswith(TABLE_SUFFIXES + TEXT_SUFFIXES):
                    try:
                        yield Path(directory, name), os.stat(os.path.join(directory, name)).st_size
                    except OSError:
                        continue
            if seen > _MOST_SEEN:
                return
