"""How trials are called. Those of a search may be answered from earlier runs; those of a confirm run are one run's."""

from __future__ import annotations

SEARCH = "search/"


def search_trial(number: int) -> str:
    """A trial of the search."""
    return f"{SEARCH}{number}"


def confirm_trial(run: str, number: int) -> str:
    """A trial of a run's confirm run."""
    return f"{_confirm(run)}{number}"


def confirm_number(run: str, trial: str) -> int | None:
    """The number of such a trial, None of any other."""
    prefix = _confirm(run)
    return int(trial.removeprefix(prefix)) if trial.startswith(prefix) else None


def _confirm(run: str) -> str:
    return f"{run}/confirm/"
