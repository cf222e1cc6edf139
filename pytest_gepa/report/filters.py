"""What the templates of reports may call: the words of numbers and verdicts, the same in every form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jinja2

from pytest_gepa.report.needs import needs_words, shown_cases, shown_lines
from pytest_gepa.report.phrases import (
    EDIT_WORDS,
    drop_words,
    groups_words,
    outlay_words,
    pass_rate,
    price,
    provable_words,
    resumed_words,
)
from pytest_gepa.report.result import by_cause
from pytest_gepa.wording import count, duration, named_models, p_words, passed, points, sentence


def edit_words(origin: str) -> str:
    """How a candidate came about, as the beginning of a heading."""
    words = EDIT_WORDS.get(origin, "edit of")
    return words[:1].upper() + words[1:]


WORDS: Mapping[str, Callable[..., Any]] = {
    "by_cause": by_cause,
    "count": count,
    "drop_words": drop_words,
    "duration": duration,
    "edit_words": edit_words,
    "groups_words": groups_words,
    "named_models": named_models,
    "needs_words": needs_words,
    "outlay": outlay_words,
    "p_words": p_words,
    "pass_rate": pass_rate,
    "passed": passed,
    "points": points,
    "price": price,
    "resumed_words": resumed_words,
    "provable_words": provable_words,
    "sentence": sentence,
    "shown_cases": shown_cases,
    "shown_lines": shown_lines,
}


def environment(further: Mapping[str, Callable[..., Any]], *, autoescape: bool) -> jinja2.Environment:
    """Where the templates of reports are found, with these filters."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("pytest_gepa.report"),
        undefined=jinja2.StrictUndefined,
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(WORDS)
    made.filters.update(further)
    return made
