"""The story of a baseline that is saved: the same number of trials of every case, and what they came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from pytest_gepa.check.baselines import Baseline, RecordedCase, clipped_name, rounded, text_digest
from pytest_gepa.check.rounds import Batch, Bench, Rounds, most_trials
from pytest_gepa.check.state import TODAY, CheckState
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.suite.usage import case_digest

FIRST = 3
"""A case that has given no evidence in so many trials is not tried again."""


class BaselineSaving:
    """Runs the trials. `run` may be interrupted at any time; only what has come to its end is worth saving.

    The number of trials of a case hangs on nothing that the case has answered: the verdict asks that of a recorded
    sample. Cases that reach no model are run once; no model can change them.
    """

    def __init__(self, bench: Bench) -> None:
        today = bench.today
        self.state = CheckState(today, today)
        self._components = bench.components
        self._cases = {case.id: case for case in bench.cases}
        self._trials = {case.id: most_trials(case, bench.settings) for case in bench.cases}
        self._rounds = Rounds(bench, "baseline", (TODAY,), self.state)

    @property
    def first_cases(self) -> tuple[str, ...]:
        """The cases that are run: all of them."""
        return tuple(self._cases)

    def run(self) -> None:
        """Run it to its end. When it is interrupted every child is ended, and the interrupt goes on."""
        self._rounds.run(self._begin)

    def _begin(self) -> None:
        self._play(range(1), self.first_cases)
        if self.state.stopped:
            return
        self._rounds.settle()
        self.state.untouched = {case for case in self._cases if self._is_modelless(case)}
        asking = [case for case in self._cases if case not in self.state.untouched and not self._is_passed_over(case)]
        # Half a sample is none: better to know now that the budget cannot hold it.
        needed = sum(self._trials[case] - 1 for case in asking)
        if needed > self._rounds.remaining:
            smallest = self._rounds.spent + needed
            self.state.stopped = (
                f"the trials do not fit the budget; the smallest that holds them is --gepa-budget {smallest}, or save "
                "fewer with --gepa-trials"
            )
            return
        self.state.planned = len(self._cases) + needed
        self._play(range(1, FIRST), asking)
        if self._rounds.repeating:
            return  # nothing will be saved
        self._play(range(FIRST, max(self._trials.values())), [case for case in asking if self._evidence(case)])

    def _play(self, numbers: range, cases: Sequence[str]) -> None:
        self._rounds.play(
            [Batch(TODAY, number, tuple(case for case in cases if number < self._trials[case])) for number in numbers]
        )

    def _is_passed_over(self, case: str) -> bool:
        """Whether the first trial was skipped, or did not come about."""
        first = self.state.first(TODAY, case)
        return first is None or not (first.outcome.is_evidence or first.outcome.is_trouble)

    def _is_modelless(self, case: str) -> bool:
        """Whether a case was seen to end without any request, and without a prompt by which it could go unseen."""
        first = self.state.first(TODAY, case)
        if first is None or not first.outcome.is_evidence:
            return False
        used = (*first.uses, *first.reads, *first.may_repeat, *self.state.imported(first))
        return not used and not any(call.sent for call in first.trajectory.calls)

    def _evidence(self, case: str) -> list[Rollout]:
        return [run for _, run in self.state.side(TODAY, case) if run.outcome.is_evidence]

    def baseline(self, redact: Callable[[str], str], day: str, version: str) -> Baseline:
        """What the trials came to: of every case that reaches a model; its nodeid, and the names of models, without
        secrets."""
        asking = (case for case in self._cases.values() if case.id not in self.state.untouched)
        found = {
            case.id: _recorded(case, redact(case.nodeid), runs) for case in asking if (runs := self._evidence(case.id))
        }
        return Baseline(
            saved=day,
            version=version,
            models=tuple(sorted(map(redact, self.state.task_models))),
            prompts={component.id: text_digest(component.text) for component in self._components},
            cases=found,
        )


def _recorded(case: Case, name: str, runs: Sequence[Rollout]) -> RecordedCase:
    scores = Counter(rounded(run.score or 0.0) for run in runs)
    passed = sum(run.outcome is Outcome.passed for run in runs)
    return RecordedCase(case_digest(case), clipped_name(name), passed, dict(scores), case.threshold)
