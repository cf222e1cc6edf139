"""The result as Markdown. Text of models and tests is shown as code, so that it cannot pose as the report's own."""

from __future__ import annotations

from functools import partial

from pytest_gepa.report.filters import environment
from pytest_gepa.report.foreign import code, line
from pytest_gepa.report.result import Result
from pytest_gepa.report.simulated import WARNING
from pytest_gepa.wording import printable

LONGEST = 4_000
"""Characters of a text that is in no table."""


def render_markdown(result: Result) -> str:
    """The report, ending in a newline."""
    found = environment(
        {
            "block": _block,
            "cell": code,
            "code": partial(code, most=LONGEST),
            "line": partial(line, most=LONGEST),
        },
        autoescape=False,
    )
    return found.get_template("report.md.j2").render(result=result, warning=WARNING).rstrip("\n") + "\n"


def _block(text: str) -> str:
    """Foreign text as an indented code block, which no content can close."""
    lines = printable(text).splitlines() or ["(no diagnosis)"]
    return "\n".join(f"    {line}" for line in lines)
