"""What came of the reflection model's replies, by which its next menu of edits is chosen."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.tasks import Reflect
from pytest_gepa.optimize.state import RunState
from pytest_gepa.prompts.guards import kind_of
from pytest_gepa.reflect.menu import MenuChoice, ReplyOutcome

_LEAK = "leak"
"""An edit that was refused for this could be read and made: another menu would not change what it says."""


class MenuRecord:
    """Keeps the choice of the menu. Told by the thread that decides, in an order that is the same every time."""

    def __init__(self, state: RunState, kinds: Sequence[str]) -> None:
        self._state = state
        self.choice = MenuChoice(kinds=tuple(kinds))
        self._heeded: set[str] = set()

    def hand_out(self, task: Reflect) -> None:
        """Note the menu that a task is asked under."""
        self._state.menus[task.proposal] = self.choice.current

    def heed_reply(self, task: Reflect) -> None:
        """Note the reply to a task, if it was of no use."""
        proposals = self._state.proposals.get(task.proposal, {}).values()
        has_edit = any(proposal.text is not None for proposal in proposals)
        # "Not to blame" is an answer where another prompt was edited; where none was, the replies were of no use.
        useless = [one for one in proposals if one.text is None and (one.rejections or not has_edit)]
        mine = [one for one in useless if one.origin == "model"]
        if mine and task.other is None:
            refused = [kind_of(one.rejections[-1]) for one in mine if one.rejections]
            self._record(task.proposal, "no gain" if all(kind == _LEAK for kind in refused) else "invalid")

    def heed_duplicate(self, tasks: Sequence[Reflect]) -> None:
        """Note that the replies of a round made texts that had been tried before, once for all of them."""
        for task in tasks:
            proposals = self._state.proposals.get(task.proposal, {}).values()
            if any(one.text is not None and one.origin == "model" for one in proposals):
                self._record(task.proposal, "no gain")
                return

    def heed_child(self, candidate: Candidate, *, gained: bool) -> None:
        """Note what came of a child, once for all the replies that it was made of: which of them was to blame when it
        failed is not known. That one of them then fails alone is nothing new.
        """
        replies = [
            name
            for name in candidate.proposal.split("+")
            for one in self._state.proposals.get(name, {}).values()
            if one.text is not None and one.origin == "model"
        ]
        if replies and (gained or not self._heeded.issuperset(replies)):
            self._record(replies[0], "gain" if gained else "no gain")
        self._heeded.update(replies)

    def _record(self, proposal: str, outcome: ReplyOutcome) -> None:
        self.choice = self.choice.record(self._state.menus[proposal], outcome)
