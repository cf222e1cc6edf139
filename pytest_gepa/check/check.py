"""The story of one check: which cases use what changed, and trials of them under both texts until each is decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_gepa.check.rounds import Bench, Job, Rounds, most_trials
from pytest_gepa.check.state import BASE, TODAY, CheckState
from pytest_gepa.evolve.candidate import derive
from pytest_gepa.run.base_prompts import BasePrompts
from pytest_gepa.run.inherit import answers_to
from pytest_gepa.run.stale_copies import refuse_stale_copies
from pytest_gepa.suite.rollout import Rollout
from pytest_gepa.suite.usage import CaseUsage
from pytest_gepa.trace.attribution import components_touched, repeats
from pytest_gepa.verdict.sequential import Trials


class Check:
    """One check. `run` may be interrupted at any time; `state` then holds what was found.

    `known` is what earlier runs have learned of the cases.
    """

    def __init__(self, bench: Bench, base: BasePrompts, known: Mapping[str, CaseUsage]) -> None:
        today = bench.today
        self.state = CheckState(today, derive(today, base.texts, origin="base"))
        self._settings = bench.settings
        self._cases = {case.id: case for case in bench.cases}
        self._components = {component.id: component for component in bench.components}
        self._base = base
        self._answers: Mapping[str, Sequence[str]] = {}
        self._rounds = Rounds(bench, "check", (BASE, TODAY), self.state)
        self._seen = frozenset(name for usage in known.values() for name in usage.touches)
        is_whole = base.changed <= self._seen
        # Where no case was ever seen to use a changed prompt, that it is not used says nothing.
        whole = {case: usage for case, usage in known.items() if is_whole and not usage.is_partial}
        self._known = {case: whole[case].touches for case in self._cases if case in whole}

    @property
    def first_cases(self) -> tuple[str, ...]:
        """The cases that are run under today's prompts: those that use a changed one, as far as is known."""
        changed, added = self._base.changed, self._base.added
        return tuple(
            case
            for case in self._cases
            if case not in self._known or (self._known[case] & changed and not self._known[case] & added)
        )

    def run(self) -> None:
        """Run it to its end. When it is interrupted every child is ended, and the interrupt goes on."""
        self._rounds.run(self._begin)

    # The first trial finds out which cases are concerned

    def _begin(self) -> None:
        changed, added = self._base.changed, self._base.added
        for case, used in self._known.items():
            if used & added:
                self.state.on_new_prompts[case] = min(used & added)
            elif not used & changed:
                self.state.untouched.add(case)
        first = self.first_cases
        sure = tuple(case for case in first if case in self._known)
        self._rounds.play([Job(TODAY, 0, first), Job(BASE, 0, sure)])
        # No change of a prompt that nobody reads arrives, and "no regression" would be said of it for ever.
        refuse_stale_copies(self.state.every_rollout(TODAY), self._components, changed)
        runs = self.state.every_rollout(TODAY)
        self._answers = {name: answers_to([name], runs) for name in changed}
        concerned = [case for case in first if self._is_concerned(case)]
        self._rounds.play([Job(BASE, 0, tuple(case for case in concerned if case not in sure))])
        for case in concerned:
            if self._has_same_requests(case):
                self.state.untouched.add(case)
            elif any(self.state.first(side, case) for side in (BASE, TODAY)):
                limit = most_trials(self._cases[case], self._settings)
                self.state.trials[case] = Trials(case, cap=limit)

    def _is_concerned(self, case: str) -> bool:
        """Whether a changed prompt may have a part in a case, now that it has been run."""
        state, rollout = self.state, self.state.first(TODAY, case)
        if rollout is None:
            return False
        if rollout.outcome.is_trouble:
            state.uses[case] = self._known.get(case, frozenset()) & self._base.changed
            return case in self._known
        if rollout.outcome.is_passed_over:
            state.passed_over.add(case)
            state.uses[case] = self._known.get(case, frozenset()) & self._base.changed
        if not rollout.outcome.is_evidence:
            return False
        used = frozenset((*rollout.uses, *rollout.reads, *self._passed_on(rollout)))
        used |= self._known.get(case, frozenset()) | self._touched(rollout)
        if used & self._base.added:
            state.on_new_prompts[case] = min(used & self._base.added)
            return False
        state.uses[case] = (used | state.imported(rollout, self._seen)) & self._base.changed
        if not state.uses[case]:
            state.untouched.add(case)
        return bool(state.uses[case])

    def _touched(self, rollout: Rollout) -> frozenset[str]:
        """The changed prompts, read at import, of which any piece is in a request: a section of many, say."""
        changed = self._base.changed & {*rollout.imported}
        texts = {name: self.state.today.texts[name] for name in changed if name in self.state.today.texts}
        return frozenset(components_touched(texts, rollout.trajectory.calls)) if texts else frozenset()

    def _passed_on(self, rollout: Rollout) -> list[str]:
        """The changed prompts that have a part in a case by an answer which the application kept of another one."""
        return [
            name
            for name, answers in self._answers.items()
            if name not in rollout.uses and repeats(rollout.trajectory.calls, answers)
        ]

    def _has_same_requests(self, case: str) -> bool:
        """Whether both sides have asked for the same, and it came to the same: the change did not arrive."""
        before, after = (self.state.first(side, case) for side in (BASE, TODAY))
        if before is None or after is None or not before.request_keys:
            return False
        return (
            before.request_keys == after.request_keys
            and before.outcome is after.outcome
            and before.score == after.score
        )
