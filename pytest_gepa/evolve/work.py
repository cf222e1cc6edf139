"""What is under way in a search: tasks handed out, rollouts reserved, proposals on their way; and how it goes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from pytest_gepa.errors import GepaError
from pytest_gepa.evolve.budget import Budget
from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.proposal import Proposal
from pytest_gepa.evolve.tasks import Decision, Evaluate, Task


class SearchError(GepaError):
    """An event that answers nothing that was handed out, or a budget too small to begin: a fault of the
    driver.
    """


@dataclass(slots=True)
class Luck:
    """How the proposals have fared: `without_gain` in a row, and `failures` by the candidate that they began at.

    `fresh_starts` counts the lines begun at the seed since the last gain. `groups` is the number of
    reflections that a proposal asks for at once: more where they agree, fewer where their union fails.
    """

    groups: int
    without_gain: int = 0
    fresh_starts: int = 0
    failures: Counter[str] = field(default_factory=Counter)


class Work:
    """Tasks and rollouts that are out, proposals on their way, and the decisions taken on one event.

    `done` is the reason for which the search ended, in words, or "", and `closes` whether what has passed its gate by
    then is still run to its end.
    """

    def __init__(self, rollouts: int) -> None:
        self.budget = Budget(rollouts)
        self.done = ""
        self.closes = False
        self.proposals: list[Proposal] = []
        self.reflecting: dict[str, Proposal] = {}
        self._evaluating: dict[str, Evaluate] = {}
        self._outbox: list[Task] = []
        self._decisions: list[Decision] = []

    @property
    def is_evaluating(self) -> bool:
        """Whether an evaluation is under way."""
        return bool(self._evaluating)

    def hand_out(self, task: Task) -> None:
        """Add a task to those that the driver is given next. The rollouts of an evaluation are reserved already."""
        if isinstance(task, Evaluate):
            self._evaluating[task.candidate.id] = task
        self._outbox.append(task)

    def take_tasks(self) -> tuple[Task, ...]:
        """Return the tasks that have not been handed out yet."""
        tasks, self._outbox = tuple(self._outbox), []
        return tasks

    def evaluated(self, candidate: str) -> Evaluate:
        """Close the evaluation of a candidate. Raises `SearchError` if there is none."""
        task = self._evaluating.pop(candidate, None)
        if task is None:
            raise SearchError(f"no evaluation of candidate {candidate} is under way")
        self._outbox = [one for one in self._outbox if one is not task]
        return task

    def reflected(self, part: str) -> Proposal:
        """Close a reflection, and return the proposal that it is a part of. Raises `SearchError` if there is none."""
        proposal = self.reflecting.pop(part, None)
        if proposal is None:
            raise SearchError(f"no reflection {part} is under way")
        self._outbox = [one for one in self._outbox if isinstance(one, Evaluate) or one.proposal != part]
        return proposal

    def say(self, kind: str, candidate: Candidate, reason: str, *scores: float) -> None:
        """Note a decision about a candidate."""
        parent = candidate.parents[0] if candidate.parents else ""
        self.note(Decision(kind, candidate.id, parent, reason, scores))

    def note(self, decision: Decision) -> None:
        """Note a decision."""
        self._decisions.append(decision)

    def take_decisions(self) -> tuple[Decision, ...]:
        """Return what has been decided since the last call."""
        decisions, self._decisions = tuple(self._decisions), []
        return decisions

    def runs(self, candidate: str) -> bool:
        """Whether a candidate is being run."""
        return candidate in self._evaluating

    def is_running(self, proposal: Proposal) -> bool:
        """Whether the candidate of a proposal is being run."""
        return proposal.candidate is not None and self.runs(proposal.candidate.id)

    def finish(self, reason: str, *, closes: bool = False) -> None:
        """End the search: nothing new is begun; results of what is under way are still taken. Where it `closes`, what
        has passed its gate is run to its end.
        """
        if not self.done:
            self.done, self.closes = reason, closes
            self._outbox = []
            self.note(Decision("done", "", "", reason))
