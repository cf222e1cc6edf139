"""The result as Markdown. Text of models and tests is shown as code, so that it cannot pose as the report's own."""

from __future__ import annotations

import jinja2

from pytest_gepa.report.result import Result
from pytest_gepa.report.wording import (
    count,
    drop_words,
    duration,
    p_words,
    passed,
    points,
    printable,
    provable_words,
)


def render_markdown(result: Result) -> str:
    """The report, ending in a newline."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pytest_gepa.report"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        block=_block,
        code=_code,
        count=count,
        drop_words=drop_words,
        duration=duration,
        line=_line,
        p_words=p_words,
        passed=passed,
        points=points,
        provable_words=provable_words,
    )
    return environment.get_template("report.md.j2").render(result=result).rstrip("\n") + "\n"


def _line(text: str) -> str:
    """Foreign text inside a sentence: one line, with Markdown's and HTML's signs disarmed."""
    flat = " ".join(printable(text).split())
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|#!" else sign for sign in flat)


def _code(text: str) -> str:
    """Foreign text between backticks."""
    return " ".join(printable(text).split()).replace("`", "'")


def _block(text: str) -> str:
    """Foreign text as an indented code block, which no content can close."""
    lines = printable(text).splitlines() or ["(no diagnosis)"]
    return "\n".join(f"    {line}" for line in lines)
