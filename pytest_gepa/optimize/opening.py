"""The rounds that are made of what the checks state, before a model is paid to read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.tasks import Reflect, Task
from pytest_gepa.optimize.proposer import Proposer
from pytest_gepa.optimize.state import RunState
from pytest_gepa.reflect.propose import MODEL_FREE, Proposal


class OpeningRules:
    """Opens the first round on today's prompts with a rule that the checks of the cases state, if they state one, and
    the first round on what came of that as well, as long as rules help. Asked by one thread.
    """

    def __init__(self, state: RunState, proposer: Proposer) -> None:
        self._state = state
        self._proposer = proposer
        self._made: dict[str, list[Proposal]] = {}
        self._opened: set[str] = set()

    def make(self, tasks: Sequence[Task]) -> None:
        """Make the rules for tasks that are new; where a round has any, no model is asked in it."""
        if not self._proposer.has_model:
            return
        first = [
            task
            for task in tasks
            if isinstance(task, Reflect) and not (task.attempt or task.other) and self._is_stated(task.parent)
        ]
        found = {task.proposal: self._proposer.rule_before_asking(task) for task in first}
        opened = {task.parent.id for task in first if found[task.proposal]}
        self._opened |= opened
        for task in first:
            if task.parent.id in opened:
                rule = found[task.proposal]
                self._made[task.proposal] = [rule] if rule else []

    def of(self, proposal: str) -> list[Proposal] | None:
        """What stands in for a reply to a task: nothing but the rule, if there is one; None where it is to be asked."""
        return self._made.get(proposal)

    def as_asked(self, task: Reflect) -> Reflect:
        """The task as it is put to the model: of a round that rules have opened it knows nothing."""
        is_later = task.attempt > 0 and task.parent.id in self._opened
        return replace(task, attempt=task.attempt - 1) if is_later else task

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
