"""Several candidates judged in one confirm run: Holm's correction, so that no lucky one among them is believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_gepa.verdict.judge import ALPHA, NOT_PROVEN, Verdict


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return the adjusted p-values, in the given order (Holm 1979, Scandinavian Journal of Statistics 6, 65-70).

    The chance that any true null hypothesis among them has an adjusted p below alpha is at most alpha, however the
    tests hang together (here they share the seed's trials). One alone stays as it is.
    """
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=lambda at: p_values[at])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = highest
    return tuple(adjusted)


def holm_verdicts(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """Return the verdicts with p-values adjusted for one another; what is no longer below `ALPHA` is not proven."""
    return tuple(
        replace(verdict, p_value=p_value, kind=verdict.kind if p_value < ALPHA else NOT_PROVEN)
        for verdict, p_value in zip(verdicts, holm([one.p_value for one in verdicts]), strict=True)
    )
