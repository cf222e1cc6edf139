"""The story of one check: which cases use what changed, and trials of them under both texts until each is decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pytest_gepa.check.rounds import Batch, Bench, Rounds, most_trials
from pytest_gepa.check.state import BASE, TODAY, CheckState
from pytest_gepa.errors import SetupError
from pytest_gepa.evolve.candidate import derive
from pytest_gepa.run.base_prompts import BasePrompts
from pytest_gepa.run.stale_copies import refuse_stale_copies, refuse_without_effect
from pytest_gepa.suite.passed_on import answers_to, partly_used
from pytest_gepa.suite.rollout import Rollout
from pytest_gepa.suite.usage import CaseUsage
from pytest_gepa.verdict.sequential import FAILING, Trials

_UNKNOWN = CaseUsage({})


class Check:
    """One check. `run` may be interrupted at any time; `state` then holds what was found.

    `known` is what earlier runs have learned of the cases. By what is partial no case is left out.
    """

    def __init__(self, bench: Bench, base: BasePrompts, known: Mapping[str, CaseUsage]) -> None:
        today = bench.today
        self.state = CheckState(today, derive(today, base.texts, origin="base"))
        self.state.has_same_code = base.has_same_code
        self._settings = bench.settings
        self._cases = {case.id: case for case in bench.cases}
        self._components = {component.id: component for component in bench.components}
        self._base = base
        self._answers: Mapping[str, Sequence[str]] = {}
        self._rounds = Rounds(bench, "check", (BASE, TODAY), self.state)
        whole = {case: usage for case, usage in known.items() if not usage.is_partial}
        self._seen = frozenset(name for usage in whole.values() for name in usage.components)
        # Where no case was ever seen to ask with a changed prompt, that one does not go by it says nothing.
        is_whole = base.changed <= self._seen
        self._known = {
            case: whole[case]
            for case in self._cases
            if case in whole and (is_whole or whole[case].goes_by & base.changed)
        }
        # A case may find its way without a prompt in one trial: that it was seen to ask for it in others stays true.
        self._arrived = {case: usage.components.keys() & base.changed for case, usage in known.items()}

    @property
    def first_cases(self) -> tuple[str, ...]:
        """The cases that are run under today's prompts: those that use a changed one, as far as is known."""
        changed = self._base.changed
        left_out = {
            case for case, usage in self._known.items() if not usage.goes_by & changed or self._new_prompts(case)
        }
        return tuple(case for case in self._cases if case not in left_out)

    def run(self) -> None:
        """Run it to its end. When it is interrupted every child is ended, and the interrupt goes on.

        Raises `SetupError` where it has compared what cannot differ.
        """
        self._rounds.run(self._begin)
        try:
            self._refuse_without_effect()
        except SetupError as error:
            self.state.stopped, self.state.has_ended = error.brief, False
            raise

    def _refuse_without_effect(self) -> None:
        """Only both sides' requests tell of code that reads a copy, where a test of the prompt files has opened them in
        the same process.
        """
        state = self.state
        cases = {case for _, case in state.rollouts}
        firsts = ((state.first(BASE, case), state.first(TODAY, case)) for case in cases)
        pairs = [(before, after) for before, after in firsts if before is not None and after is not None]
        sides = state.base.texts, state.today.texts
        refuse_without_effect(pairs, sides, self._components, self._base.changed)

    # The first trial finds out which cases are concerned

    def _begin(self) -> None:
        changed = self._base.changed
        for case, usage in self._known.items():
            if new := self._new_prompts(case):
                self.state.on_new_prompts[case] = min(new)
            elif not usage.goes_by & changed:
                self.state.untouched.add(case)
        first = self.first_cases
        sure = tuple(case for case in first if case in self._known)
        self._rounds.play([Batch(TODAY, 0, first), Batch(BASE, 0, sure)])
        self._try_again(first)
        self._rounds.settle()
        runs = self.state.every_rollout(TODAY)
        # No change of a prompt that nobody reads arrives, and "no regression" would be said of it for ever.
        refuse_stale_copies(runs, self._components, changed)
        self._answers = {name: answers_to([name], runs) for name in changed}
        concerned = dict.fromkeys(case for case in first if self._is_concerned(case))
        self._catch_up(concerned)
        for case in first:
            if case in concerned:
                self._compare(case)
            elif self._is_hidden(case):
                number = len(self.state.side(TODAY, case))
                self.state.trials[case] = Trials(case, cap=number, handed_out=number)  # trouble, and no more of it

    def _try_again(self, cases: Sequence[str]) -> None:
        """Give cases another first trial of which trouble hides whether they are concerned.

        Where no case has given any evidence the server is down, or a key is missing: to ask on would only take time.
        """
        for number in range(1, FAILING):
            hidden = (case for case in cases if self._is_hidden(case))
            again = tuple(case for case in hidden if number < most_trials(self._cases[case], self._settings))
            if any(one.outcome.is_evidence for one in self.state.every_rollout(TODAY)):
                self._rounds.play([Batch(TODAY, number, again)])

    def _catch_up(self, cases: Iterable[str]) -> None:
        """Run under the base's prompts the trials that these cases have had under today's."""
        batches: list[Batch] = []
        for number in range(FAILING):
            today, base = (
                [case for case in cases if number in self.state.rollouts.get((side, case), {})]
                for side in (TODAY, BASE)
            )
            done = frozenset(base)
            batches.append(Batch(BASE, number, tuple(case for case in today if case not in done)))
        self._rounds.play(batches)

    def _compare(self, case: str) -> None:
        """Take a concerned case into the comparison, unless it has only read a changed prompt, and to no effect."""
        if not self._arrived.get(case) and self._has_same_requests(case):
            self.state.untouched.add(case)
            self.state.alike.add(case)
        elif any(self.state.side(side, case) for side in (BASE, TODAY)):
            self.state.trials[case] = Trials(case, cap=most_trials(self._cases[case], self._settings))

    def _telling(self, case: str) -> tuple[int, Rollout] | None:
        """The first trial of today that did not end in trouble, with its number; the first of all where all did."""
        runs = self.state.side(TODAY, case)
        return next((one for one in runs if not one[1].outcome.is_trouble), runs[0] if runs else None)

    def _is_hidden(self, case: str) -> bool:
        """Whether trouble hides if a case uses a changed prompt: nothing is known of it, and it has shown none."""
        found = self._telling(case)
        if found is None or not found[1].outcome.is_trouble or case in self._known or self._arrived.get(case):
            return False
        run = found[1]
        return not (self._shown(run) & self._base.changed or self._new_prompts(case, run.uses))

    def _is_concerned(self, case: str) -> bool:
        """Whether a changed prompt may have a part in a case, now that it has been run."""
        state, base, found = self.state, self._base, self._telling(case)
        if found is None:
            return False
        rollout = found[1]
        known = self._known.get(case, _UNKNOWN).goes_by | self._arrived.get(case, frozenset())
        is_trouble, is_evidence = rollout.outcome.is_trouble, rollout.outcome.is_evidence
        if rollout.outcome.is_passed_over:
            state.passed_over.add(case)
            state.uses[case] = known & base.changed
        if not (is_evidence or is_trouble):
            return False
        used = self._shown(rollout) | known
        if new := self._new_prompts(case, rollout.uses):
            state.on_new_prompts[case] = min(new)
            return False
        if is_evidence:
            used |= state.imported(rollout, self._seen) | rollout.may_repeat
        state.uses[case] = used & base.changed
        if is_evidence and not state.uses[case]:
            state.untouched.add(case)
        return bool(state.uses[case])

    def _new_prompts(self, case: str, asked: Iterable[str] = ()) -> frozenset[str]:
        """The prompts that the base has not and a case asks for, in a rollout (`asked`) or in earlier runs. One that is
        only opened, as where a whole folder is loaded, keeps no case from running at the base.
        """
        return self._base.added & {*asked, *self._known.get(case, _UNKNOWN).components}

    def _shown(self, rollout: Rollout) -> frozenset[str]:
        """The prompts that a rollout was seen to go by."""
        changed, today = self._base.changed, self.state.today
        texts = {name: text for name, text in today.texts.items() if name in changed}
        return frozenset((*rollout.uses, *rollout.reads)) | partly_used(texts, self._answers, rollout)

    def _has_same_requests(self, case: str) -> bool:
        """Whether both sides have asked for the same, and it came to the same: the change did not arrive."""
        found = self._telling(case)
        if found is None:
            return False
        number, after = found
        before = self.state.rollouts.get((BASE, case), {}).get(number)
        if before is None or not before.request_keys:
            return False
        return (
            before.request_keys == after.request_keys
            and before.outcome is after.outcome
            and before.score == after.score
        )
