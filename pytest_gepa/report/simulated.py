"""Models that are simulated: whoever gives figures of one says so, as they tell nothing of a real model."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pytest_gepa.report.rows import row

_SIMULATED = re.compile(r"(?<![a-z])simulated(?![a-z])", re.IGNORECASE)

WARNING = "simulated: the figures say nothing about a real model"


def simulated_row(models: Iterable[str]) -> str:
    """The line that says which models are simulated."""
    return row("model", f"{' and '.join(dict.fromkeys(models))}, {WARNING}")


def is_simulated(models: Iterable[str]) -> bool:
    """Whether one of these models says by its name that it is simulated, as those of the example project do."""
    return any(_SIMULATED.search(model) for model in models)
