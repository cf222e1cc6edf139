"""Python that is read and never run. What Python cannot read, or is nested too deep for it, comes to None."""

from __future__ import annotations

import ast

_UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


def parse_module(source: str) -> ast.Module | None:
    """The tree of a source, None where it is none."""
    try:
        return ast.parse(source)
    except _UNREADABLE:
        return None


def parse_expression(source: str) -> ast.expr | None:
    """The tree of an expression, None where it is none."""
    try:
        return ast.parse(source, mode="eval").body
    except _UNREADABLE:
        return None


def plain_value(shown: str | ast.expr) -> object:
    """The value of a repr, or of a literal, None where that is no plain data."""
    try:
        value: object = ast.literal_eval(shown)
    except (*_UNREADABLE, TypeError):
        return None
    return value


def name_of(node: ast.AST) -> str:
    """The name of a function, also of one that belongs to something: `loads` of `json.loads`."""
    return getattr(node, "attr", getattr(node, "id", ""))
