"""The rounds that are made of what the checks state, before a model is paid to read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.tasks import Reflect, Task
from pytest_gepa.optimize.proposer import Proposer
from pytest_gepa.optimize.state import RunState
from pytest_gepa.reflect.propose import MODEL_FREE, ProposedEdit

_MOST_OPENED = 2
"""So many rounds on one parent: one for what is likeliest, one for all that is stated."""

_IN_VAIN = 1
"""After so many rounds on a candidate that a stated rule has made better, examples are tried in the place of rules."""

_FEW = 0.5
"""Where a candidate that a stated rule has made better has no more than this mean score, it is shown an example too."""


class Opening:
    """Opens the rounds on today's prompts with what the checks of the cases state, if they state anything: first the
    likeliest rule, and where that is no gain, the likeliest ones together with an example. What comes of that is opened
    in the same way, as long as it helps; an example alone is tried there when most cases fail although all rules stand
    in the prompt. Where the rules have helped and the model has not so far, examples are tried in their place. Asked by
    one thread.
    """

    def __init__(self, state: RunState, proposer: Proposer) -> None:
        self._state = state
        self._proposer = proposer
        self._made: dict[str, list[ProposedEdit]] = {}
        self._opened: Counter[str] = Counter()
        self._tried: dict[str, list[ProposedEdit]] = {}
        self._shown: set[str] = set()

    def make(self, tasks: Sequence[Task], *, is_weak: bool) -> None:
        """Make the proposals for tasks that are new; where a round has any, no model is asked in it. `is_weak` says
        that no edit which the model has written by itself has been a gain.
        """
        if not self._proposer.has_model:
            return
        mine = [task for task in tasks if isinstance(task, Reflect) and self._is_mine(task, is_weak=is_weak)]
        found: dict[str, ProposedEdit] = {}
        opened: set[str] = set()
        for task in mine:
            parent = task.parent
            if task.attempt and parent.id in opened:
                continue  # all that is stated is in one proposal: united with another, it would be there twice
            made = self._proposal(task, is_weak=is_weak)
            if made is not None:
                found[task.proposal] = made
                opened.add(parent.id)
                self._tried.setdefault(parent.id, []).append(made)
        self._opened.update(opened)
        for task in mine:
            if task.parent.id in opened:
                self._made[task.proposal] = [found[task.proposal]] if task.proposal in found else []

    def of(self, proposal: str) -> list[ProposedEdit] | None:
        """What stands in for a reply to a task, which may be no proposal; None where the model is to be asked."""
        return self._made.get(proposal)

    def as_asked(self, task: Reflect) -> Reflect:
        """The task as it is put to the model: of rounds that were opened here it knows nothing."""
        return replace(task, attempt=max(0, task.attempt - self._opened[task.parent.id]))

    def _is_mine(self, task: Reflect, *, is_weak: bool) -> bool:
        """Whether a task is of a round that is opened here: a parent's first one, the second one where what was tried
        in the first came to nothing, and one for examples.
        """
        parent = task.parent
        if task.other or not self._is_stated(parent):
            return False
        is_next = task.attempt == self._opened[parent.id] < _MOST_OPENED
        return (is_next and self._is_in_vain(task)) or self._shows(task, is_weak=is_weak)

    def _shows(self, task: Reflect, *, is_weak: bool) -> bool:
        """Whether it is time for examples."""
        parent = task.parent.id
        is_due = task.attempt >= _IN_VAIN and parent not in self._shown
        return is_weak and is_due and parent != self._state.search.seed.id

    def _is_in_vain(self, task: Reflect) -> bool:
        """Whether all that was tried on a task's parent came to nothing."""
        discarded = {(edit.component, edit.summary) for edit in task.discarded}
        return all((one.component, one.summary) in discarded for one in self._tried.get(task.parent.id, ()))

    def _proposal(self, task: Reflect, *, is_weak: bool) -> ProposedEdit | None:
        search = self._state.search
        if self._shows(task, is_weak=is_weak):
            self._shown.add(task.parent.id)
            return self._examples(task)
        if task.attempt != self._opened[task.parent.id]:
            return None  # of a round for which there are no examples
        if task.attempt:
            return self._proposer.all_stated(task)
        is_poor = task.parent.id != search.seed.id and search.mean(task.parent) <= _FEW
        return self._proposer.likeliest(task, or_example=is_poor)

    def _examples(self, task: Reflect) -> ProposedEdit | None:
        """Examples in the place of the rules that the parent has."""
        ledger, seed = self._state.search.pool.ledger, self._state.search.seed
        failing, passing = ledger.divide(task.parent.id)
        before, _ = ledger.divide(seed.id)
        failed_before, tried = {*before}, {*failing, *passing}
        mended = [case for case in passing if case in failed_before]
        untried = [case for case in before if case not in tried]
        # Those that will judge them come last: an example judges nothing.
        others = sorted(failing, key=lambda case: case in task.failing)
        return self._proposer.examples(task, seed, mended, others, untried)

    def _is_stated(self, candidate: Candidate) -> bool:
        """Whether a candidate is today's prompts, or came of them by rules that the checks state alone."""
        search = self._state.search
        if candidate.id == search.seed.id:
            return True
        made = [
            proposal
            for name in candidate.proposal.split("+")
            for proposal in self._state.proposals.get(name, {}).values()
            if proposal.text is not None
        ]
        is_own = bool(made) and all(one.origin == MODEL_FREE for one in made)
        return is_own and all(self._is_stated(search.candidates[parent]) for parent in candidate.parents)
