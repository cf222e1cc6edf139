"""Prompts that the application fills in by `str.replace`, as its own sources tell: in these a brace is only a brace."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pytest_gepa.prompts.placeholders import FORMAT, declared, placeholders, syntax
from pytest_gepa.suite.modules import environment_roots

MOST_BYTES = 1_000_000
"""A longer module is data."""

_ANY = "{}"
"""What stands for a field of any name: `text.replace("{" + name + "}", value)`."""


def filled_in_by_replace(texts: Mapping[str, str], sources: Iterable[str]) -> frozenset[str]:
    """Return the components, of these `texts` by id, whose `{x}` the `sources` replace, and never give to `str.format`.

    Which prompt a call is about is told by the field's name alone: where both are done with it, nothing is said.
    """
    replaced: set[str] = set()
    formatted: set[str] = set()
    for source in sources:
        if ".replace(" in source or ".format" in source:
            _read(source, replaced, formatted)
    if _ANY in formatted:
        return frozenset()
    found: set[str] = set()
    for name, text in texts.items():
        fields = {field for field in placeholders(text, declared(name)) if syntax(field) == FORMAT}
        if fields and fields.isdisjoint(formatted) and (_ANY in replaced or not fields.isdisjoint(replaced)):
            found.add(name)
    return frozenset(found)


def _read(source: str, replaced: set[str], formatted: set[str]) -> None:
    """Note the fields that a module replaces, and those that it formats."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr == "replace" and node.args and (field := _field(node.args[0])):
            replaced.add(field)
        elif node.func.attr == "format_map":
            formatted.add(_ANY)
        elif node.func.attr == "format" and not isinstance(node.func.value, ast.Constant):
            formatted.update(f"{{{word.arg}}}" if word.arg else _ANY for word in node.keywords)


def _field(node: ast.expr) -> str:
    """The field that an expression is the text of, `_ANY` for one of any name, "" for none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = node.value
    elif isinstance(node, ast.JoinedStr):
        text = "".join(str(part.value) if isinstance(part, ast.Constant) else "" for part in node.values)
    elif isinstance(node, ast.BinOp):
        left, right = _field(node.left), _field(node.right)
        text = f"{left}{right}"
    else:
        return ""
    return text if text in ("{", "}") or (text.startswith("{") and text.endswith("}")) else ""


def project_sources() -> Iterator[str]:
    """The text of every loaded module that is neither installed nor a test."""
    roots = tuple(environment_roots())
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or not file.endswith(".py") or os.path.realpath(file).startswith(roots):
            continue
        if os.path.basename(file).startswith(("test_", "conftest")):
            continue
        try:
            if os.path.getsize(file) <= MOST_BYTES:
                yield Path(file).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
