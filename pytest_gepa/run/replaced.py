"""Prompts that the application fills in by `str.replace`, as its own sources tell: in these a brace is only a brace."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pytest_gepa.prompts.placeholders import FORMAT, declared, placeholders, syntax
from pytest_gepa.prompts.python_source import parse_module
from pytest_gepa.suite.modules import environment_roots

MOST_BYTES = 1_000_000
"""A longer module is data."""

_ANY = "{}"
"""What stands for a field of any name: `text.replace("{" + name + "}", value)`."""


_OPENINGS = ('"{"', "'{'", "{{{")
"""How a field of any name begins in a source."""


def filled_in_by_replace(texts: Mapping[str, str], sources: Iterable[str]) -> frozenset[str]:
    """Return the components, of these `texts` by id, whose `{x}` the `sources` replace, and never give to `str.format`.

    Which prompt a call is about is told by the field's name alone: where both are done with it, nothing is said.
    """
    fields = {
        name: {field for field in placeholders(text, declared(name)) if syntax(field) == FORMAT}
        for name, text in texts.items()
    }
    every = set().union(*fields.values())
    replaced: set[str] = set()
    formatted: set[str] = set()
    for source in sources if every else ():
        if _may_tell(source, every):
            _read(source, replaced, formatted)
    if _ANY in formatted:
        return frozenset()
    return frozenset(
        name
        for name, own in fields.items()
        if own and own.isdisjoint(formatted) and (_ANY in replaced or not own.isdisjoint(replaced))
    )


def _may_tell(source: str, fields: Iterable[str]) -> bool:
    """Whether a module is worth parsing, which takes time where there are thousands."""
    is_named = any(field in source or f"{field[1:-1]}=" in source for field in fields)
    if ".replace(" in source and (is_named or any(mark in source for mark in _OPENINGS)):
        return True
    return ".format" in source and (is_named or "**" in source or "format_map" in source)


def _read(source: str, replaced: set[str], formatted: set[str]) -> None:
    """Note the fields that a module replaces, and those that it formats."""
    for node in ast.walk(parse_module(source) or ast.Module([], [])):
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
