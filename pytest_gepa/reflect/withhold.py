"""Keeping held-out cases from the reflection model: their values are cut from every text that it is shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from pytest_gepa.prompts.leaks import literals
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.suite.rollout import Case
from pytest_gepa.trace.rewrite import rewrite_trajectory

SHORTEST = 4
HELD_OUT = "[held out]"


class Withholder:
    """Cuts the parameter values of held-out cases, and their nodeids, out of exhibits.

    A value that a search case has too is no secret of the held-out ones. Values of fewer than 4 characters stay:
    cut out of every word that holds them, they would make the evidence unreadable.
    """

    def __init__(self, cases: Sequence[Case]) -> None:
        shown = set(_values(case for case in cases if case.split == "search"))
        kept = set(_values(case for case in cases if case.split == "holdout")) - shown
        self._values = sorted(kept, key=lambda value: (-len(value), value))

    def exhibit(self, exhibit: Exhibit) -> Exhibit:
        """The same exhibit without anything of the held-out cases."""
        if not self._values:
            return exhibit
        case, rollout = exhibit.case, exhibit.rollout
        return Exhibit(
            replace(case, source=self._cut(case.source)),
            replace(
                rollout,
                trajectory=rewrite_trajectory(rollout.trajectory, self._cut),
                feedback=self._cut(rollout.feedback),
            ),
        )

    def _cut(self, text: str) -> str:
        for value in self._values:
            if value in text:
                text = text.replace(value, HELD_OUT)
        return text


def _values(cases: Iterable[Case]) -> Iterator[str]:
    for case in cases:
        yield case.nodeid
        for _, shown in case.parameters:
            yield from (value for value in (shown, *literals(shown)) if len(value) >= SHORTEST)
