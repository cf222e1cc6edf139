"""The result as Markdown. Text of models and tests is shown as code, so that it cannot pose as the report's own."""

from __future__ import annotations

from pytest_gepa.report.filters import environment
from pytest_gepa.report.result import Result
from pytest_gepa.report.simulated import WARNING
from pytest_gepa.wording import printable

CELL = 200
"""Characters of a text in a cell of a table."""


def render_markdown(result: Result) -> str:
    """The report, ending in a newline."""
    found = environment({"block": _block, "cell": _cell, "code": _code, "line": _line}, autoescape=False)
    return found.get_template("report.md.j2").render(result=result, warning=WARNING).rstrip("\n") + "\n"


def _line(text: str) -> str:
    """Foreign text inside a sentence: one line, with Markdown's and HTML's signs disarmed."""
    flat = " ".join(printable(text).split())
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|#!" else sign for sign in flat)


def _code(text: str) -> str:
    """Foreign text between backticks."""
    return " ".join(printable(text).split()).replace("`", "'")


def _cell(text: str) -> str:
    """Foreign text between backticks in a cell of a table."""
    flat = _code(text)
    return (flat if len(flat) <= CELL else f"{flat[: CELL - 3]}...").replace("|", "\\|")


def _block(text: str) -> str:
    """Foreign text as an indented code block, which no content can close."""
    lines = printable(text).splitlines() or ["(no diagnosis)"]
    return "\n".join(f"    {line}" for line in lines)
