"""The story of a comparison with a saved baseline: trials of today's prompts until each case is decided."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pytest_gepa.check.baselines import RecordedCase
from pytest_gepa.check.rounds import Batch, Bench, Rounds, most_trials
from pytest_gepa.check.state import TODAY, CheckState
from pytest_gepa.verdict.sequential import Trials


class BaselineCheck:
    """One comparison. `run` may be interrupted at any time; `state` then holds what was found.

    `recorded` are the cases that are compared, by id, and `changed` the prompts that are not as they were.
    """

    def __init__(self, bench: Bench, recorded: Mapping[str, RecordedCase], changed: Collection[str]) -> None:
        today = bench.today
        self.state = CheckState(today, today, recorded=recorded)
        self._settings = bench.settings
        self._cases = {case.id: case for case in bench.cases if case.id in recorded}
        self._changed = frozenset(changed)
        self._rounds = Rounds(bench, "baseline", (TODAY,), self.state)

    @property
    def first_cases(self) -> tuple[str, ...]:
        """The cases that are run, in the order of the suite."""
        return tuple(self._cases)

    def run(self) -> None:
        """Run it to its end. When it is interrupted every child is ended, and the interrupt goes on."""
        self._rounds.run(self._begin)

    def _begin(self) -> None:
        state = self.state
        self._rounds.play([Batch(TODAY, 0, self.first_cases)])
        for case in self._cases.values():
            first = state.first(TODAY, case.id)
            if first is not None and first.outcome.is_passed_over:
                state.passed_over.add(case.id)  # it says nothing, however often
            if first is None or not (first.outcome.is_evidence or first.outcome.is_trouble):
                continue
            used = {*first.uses, *first.reads, *state.imported(first)}
            state.uses[case.id] = frozenset(used) & self._changed
            state.trials[case.id] = Trials(
                case.id,
                base=state.recorded[case.id].counted(by_passing=case.threshold is not None),
                cap=most_trials(case, self._settings),
                is_recorded=True,
            )
