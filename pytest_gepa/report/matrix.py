"""The cases under the candidates that are compared: how each fared, and the runs that stand behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_gepa.optimize.state import RunState
from pytest_gepa.suite.rollout import Case, Outcome, Rollout


@dataclass(frozen=True, slots=True)
class Cell:
    """How a case fared under one candidate: `passed` of the `trials` that gave evidence; `trouble` has in words those
    that gave none. `is_confirm` tells trials of the confirm run from those of the search.
    """

    passed: int = 0
    trials: int = 0
    trouble: str = ""
    is_confirm: bool = False

    @property
    def kind(self) -> str:
        """ "passed", "failed", "mixed", "trouble", or "unknown" where the case was not run."""
        if not self.trials:
            return "trouble" if self.trouble else "unknown"
        return {0: "failed", self.trials: "passed"}.get(self.passed, "mixed")

    @property
    def words(self) -> str:
        """`passed`, `2/3`, `2/2, 1 timeout`, `not run`."""
        if not self.trials:
            return self.trouble or "not run"
        one = "passed" if self.passed else "failed"
        told = one if self.trials == 1 else f"{self.passed}/{self.trials}"
        return f"{told}, {self.trouble}" if self.trouble else told


@dataclass(frozen=True, slots=True)
class Row:
    """A case (its id; `label` is its nodeid) and how it fared under each of the candidates, in their order."""

    case: str
    label: str
    split: str
    cells: tuple[Cell, ...]


class Runs:
    """The rollouts of a run by candidate and case: those of the confirm run where there are any, else the search's."""

    def __init__(self, state: RunState) -> None:
        self._state = state
        self._confirmed: dict[tuple[str, str], list[Rollout]] = {}
        for candidate, runs in state.confirm.items():
            for (case, _), rollout in runs.items():
                self._confirmed.setdefault((candidate, case), []).append(rollout)

    def of(self, candidate: str, case: str) -> list[Rollout]:
        """All that tell how the case fared."""
        found = self._confirmed.get((candidate, case))
        if found is not None:
            return found
        standing = self._state.standing.get((candidate, case))
        return [standing] if standing is not None else []

    def cell(self, candidate: str, case: str) -> Cell:
        """How the case fared."""
        runs = self.of(candidate, case)
        ended = [run.outcome is Outcome.passed for run in runs if run.score is not None]
        trouble = Counter(run.outcome.value for run in runs if run.score is None)
        told = ", ".join(f"{times} {name}" if len(runs) > 1 else name for name, times in trouble.items())
        return Cell(sum(ended), len(ended), told, (candidate, case) in self._confirmed)

    def usual(self, candidate: str, case: str) -> Rollout | None:
        """One that ended as most that gave evidence did; one that did not pass, where they are as many."""
        runs = self.of(candidate, case)
        ended = [run for run in runs if run.score is not None] or runs
        passed = sum(run.outcome is Outcome.passed for run in ended)
        most = 2 * passed > len(ended)
        return next((run for run in ended if (run.outcome is Outcome.passed) is most), None)

    def failing(self, candidate: str, case: str) -> Rollout | None:
        """The one of the search that an edit was made from: of those that are kept, one that did not pass."""
        kept = (self._state.standing.get((candidate, case)), self._state.rollouts.get((candidate, case)))
        runs = [run for run in kept if run is not None]
        return next((run for run in runs if run.outcome is not Outcome.passed), runs[0] if runs else None)


def compare(state: RunState, cases: Sequence[Case], candidates: Sequence[str]) -> list[Row]:
    """All cases under these candidates (their ids)."""
    runs = Runs(state)
    return [
        Row(case.id, case.nodeid, case.split, tuple(runs.cell(name, case.id) for name in candidates)) for case in cases
    ]
