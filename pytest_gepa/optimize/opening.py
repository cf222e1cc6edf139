"""The rounds that are made of what the checks state, before a model is paid to read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.tasks import Reflect, Task
from pytest_gepa.optimize.proposer import Proposer
from pytest_gepa.optimize.state import RunState
from pytest_gepa.reflect.propose import MODEL_FREE, Proposal

_MOST_OPENED = 2
"""So many rounds on one parent: one for the likeliest rule, one for all that is stated."""


class Opening:
    """Opens the rounds on today's prompts with what the checks of the cases state, if they state anything: first the
    likeliest rule, and where that is no gain, the likeliest ones together with an example. What comes of that is opened
    in the same way, as long as it helps. Asked by one thread.
    """

    def __init__(self, state: RunState, proposer: Proposer) -> None:
        self._state = state
        self._proposer = proposer
        self._made: dict[str, list[Proposal]] = {}
        self._opened: Counter[str] = Counter()

    def make(self, tasks: Sequence[Task]) -> None:
        """Make the proposals for tasks that are new; where a round has any, no model is asked in it."""
        if not self._proposer.has_model:
            return
        mine = [task for task in tasks if isinstance(task, Reflect) and self._is_mine(task)]
        found: dict[str, Proposal] = {}
        opened: set[str] = set()
        for task in mine:
            is_again = task.attempt > 0
            if is_again and task.parent.id in opened:
                continue  # all that is stated is in one proposal: united with another, it would be there twice
            made = self._proposer.before_asking(task, again=is_again)
            if made is not None:
                found[task.proposal] = made
                opened.add(task.parent.id)
        self._opened.update(opened)
        for task in mine:
            if task.parent.id in opened:
                self._made[task.proposal] = [found[task.proposal]] if task.proposal in found else []

    def of(self, proposal: str) -> list[Proposal] | None:
        """What stands in for a reply to a task, which may be no proposal; None where the model is to be asked."""
        return self._made.get(proposal)

    def as_asked(self, task: Reflect) -> Reflect:
        """The task as it is put to the model: of rounds that were opened here it knows nothing."""
        return replace(task, attempt=max(0, task.attempt - self._opened[task.parent.id]))

    def _is_mine(self, task: Reflect) -> bool:
        """Whether a task is of a round that is opened here: a parent's first one, and the second one of a parent that
        is still the best.
        """
        parent, opened = task.parent, self._opened[task.parent.id]
        if task.other or not self._is_stated(parent) or task.attempt != opened or opened == _MOST_OPENED:
            return False
        return not opened or self._state.search.frontier()[0].candidate == parent.id

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
