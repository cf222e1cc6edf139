"""What a case is made of: the source of its test function, and what stands for it where there is none."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_gepa.codec import short_digest

_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")
_NAMED_FUNCTION = re.compile(r"<function [\w.]+ at 0x[0-9A-Fa-f]+>")
"""What a function says of itself, less a lambda and one that was made within another: its name tells which it is."""


class FileTexts:
    """Digests of whole files, each read once: a file may hold a thousand cases."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def digest(self, path: str | os.PathLike[str]) -> str:
        """Names the bytes of a file, whatever newlines git has given to it; "" for one that cannot be read."""
        name = os.fspath(path)
        if name not in self._known:
            try:
                data = Path(name).read_bytes().replace(b"\r\n", b"\n")
            except (OSError, ValueError):
                self._known[name] = ""
            else:
                self._known[name] = hashlib.sha256(data).hexdigest()
        return self._known[name]


def case_source(item: pytest.Item) -> str:
    """The source of an item as others may see it: its function's without decorators, the docstring of a doctest."""
    docstring = _docstring(item)
    return function_source(getattr(item, "function", None)) if docstring is None else docstring


def case_basis(
    item: pytest.Item,
    source: str,
    values: Mapping[str, object],
    told: Iterable[tuple[str, str]],
    files: FileTexts,
) -> str:
    """Names what an item does besides what its source and the texts of its values (`told`) say; "" where they say all.

    An item of a YAML file has no function, a scenario of pytest-bdd has that of the plugin, and a lazy value of
    pytest-cases names its function only; an object that tells nothing of itself but its address stands in a decorator,
    which the source leaves out. Edited, such a case must not pass for the one that it was.
    """
    parts: list[str] = []
    if _docstring(item) is None and not (source and _is_own(item)):
        parts += _scenario(item, files) or [files.digest(item.path)]
    for value in values.values():
        if type(value).__module__.partition(".")[0] == "pytest_cases":
            parts.append(_lazy_source(value) or files.digest(item.path))
    if any(_ADDRESS.search(_NAMED_FUNCTION.sub("", text)) for _, text in told):
        parts.append(files.digest(item.path))
    return short_digest("\0".join(parts)) if parts else ""


def _docstring(item: pytest.Item) -> str | None:
    docstring = getattr(getattr(item, "dtest", None), "docstring", None)
    return docstring if isinstance(docstring, str) else None


def _is_own(item: pytest.Item) -> bool:
    """Whether the item's function stands in its file."""
    function: Any = getattr(item, "function", None)
    try:
        file: str = inspect.unwrap(function).__code__.co_filename
    except (AttributeError, ValueError):
        return False
    return os.path.realpath(file) == os.path.realpath(item.path)


def _scenario(item: pytest.Item, files: FileTexts) -> list[str]:
    """What a scenario of pytest-bdd is made of: its feature file and the body below it; [] for anything else."""
    function: Any = getattr(item, "function", None)
    try:
        around = inspect.getclosurevars(function).nonlocals
    except (TypeError, ValueError):
        around = {}
    feature = getattr(getattr(function, "__scenario__", None), "feature", None) or around.get("feature")
    filename = getattr(feature, "filename", None)
    digest = files.digest(filename) if isinstance(filename, str) else ""
    return [digest, function_source(around.get("fn"))] if digest else []


def _lazy_source(value: Any) -> str:
    """The source of the case function that a value of pytest-cases, or a part of one, is taken from."""
    host = getattr(value, "host", value)
    function = getattr(getattr(host, "_lazyvalue", host), "valuegetter", None)
    while isinstance(function, functools.partial):
        function = function.func
    return function_source(function)


def function_source(function: object) -> str:
    """The source of a test function without its decorators, "" if Python cannot find it.

    Decorators go because parametrize lists hold the inputs and the expected values of every other case.
    """
    try:
        return _own_source(inspect.unwrap(function))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return ""


# All rows of a table have one function, and its decorators hold them all: read once for each, that would take minutes.
@functools.lru_cache(maxsize=256)
def _own_source(function: Callable[..., Any]) -> str:
    try:
        lines, _ = inspect.getsourcelines(function)
        margin = lines[0][: -len(lines[0].lstrip())]
        # A method is parsed inside a block: text at the left margin in it would keep it from being dedented.
        head = ["if True:\n"] if margin else []
        node: ast.AST = ast.parse("".join(head + lines)).body[0]
    except (OSError, TypeError, SyntaxError, ValueError, IndexError):
        return ""
    if isinstance(node, ast.If):
        node = node.body[0]
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return ""
    own = lines[node.lineno - 1 - len(head) : (node.end_lineno or node.lineno) - len(head)]
    return "".join(line.removeprefix(margin) for line in own).rstrip("\n")
