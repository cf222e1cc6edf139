"""The result as Markdown. Text of models and tests is shown as code, so that it cannot pose as the report's own."""

from __future__ import annotations

import jinja2

from pytest_gepa.report.needs import needs_words, shown_cases, shown_lines
from pytest_gepa.report.result import Result, by_cause
from pytest_gepa.report.simulated import WARNING
from pytest_gepa.report.wording import (
    EDIT_WORDS,
    count,
    drop_words,
    duration,
    groups_words,
    named_models,
    outlay_words,
    p_words,
    pass_rate,
    passed,
    points,
    price,
    printable,
    provable_words,
)

CELL = 200
"""Characters of a text in a cell of a table."""


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
        by_cause=by_cause,
        cell=_cell,
        code=_code,
        count=count,
        drop_words=drop_words,
        duration=duration,
        edit_words=_edit_words,
        groups_words=groups_words,
        line=_line,
        named_models=named_models,
        needs_words=needs_words,
        outlay=outlay_words,
        p_words=p_words,
        pass_rate=pass_rate,
        passed=passed,
        points=points,
        price=price,
        shown_cases=shown_cases,
        shown_lines=shown_lines,
        provable_words=provable_words,
    )
    return environment.get_template("report.md.j2").render(result=result, warning=WARNING).rstrip("\n") + "\n"


def _edit_words(origin: str) -> str:
    words = EDIT_WORDS.get(origin, "edit of")
    return words[:1].upper() + words[1:]


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
