"""Merges: two members of the frontier made one, line by line or by a reflection on both."""

from __future__ import annotations

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.children import Children
from pytest_gepa.evolve.course import Course
from pytest_gepa.evolve.pool import Merge, Pool
from pytest_gepa.evolve.proposal import Proposal, Round
from pytest_gepa.evolve.tasks import Decision
from pytest_gepa.evolve.union import loses_a_side
from pytest_gepa.evolve.work import Work


class Merges:
    """Begins merges and sends them to their gate, where they have to beat both sides."""

    def __init__(self, pool: Pool, work: Work, children: Children, course: Course) -> None:
        self._pool = pool
        self._work = work
        self._children = children
        self._course = course

    def start(self) -> bool:
        """Begin the next merge that can be tried; False if there is none."""
        while (merge := self._pool.next_merge()) is not None:
            proposal = Proposal(merge.pair.one.id, Round(merge.pair.one.id, merge=merge))
            child = merge.child if merge.child is not None and self._children.is_new(merge.child) else None
            if merge.child is not None and child is None and (why := self._children.why_refused(merge.child)):
                told = f"the union with {merge.pair.other.id} is refused: {why}"
                self._work.note(Decision("invalid", "", merge.pair.one.id, told))
            is_whole = child is not None and not loses_a_side(merge.pair, child)
            is_asked = not is_whole and self._children.reflect_on_both(proposal, merge)
            if child is None and not is_asked:
                continue
            self._work.proposals.append(proposal)
            if child is not None and not is_asked:
                self._to_gate(proposal, merge, child, f"with {merge.pair.other.id}")
            return True
        return False

    def unite(self, proposal: Proposal) -> None:
        """Make one of both sides by what a reflection gave, line by line where it gave nothing new."""
        merge, (child, problem) = proposal.round.merge, self._children.child_of(proposal)
        assert merge is not None
        if child is not None and child.id not in self._pool.candidates:
            self._to_gate(proposal, merge, child, f"with {merge.pair.other.id}, by a reflection on both")
        elif merge.child is not None and self._children.is_new(merge.child):
            # Better the wording of one side than neither. The pair has no other try.
            proposal.round = Round(proposal.round.parent)
            self._to_gate(proposal, merge, merge.child, f"with {merge.pair.other.id}")
        elif child is not None:
            self._course.fail(proposal, "duplicate", child, "these texts have been tried before")
        else:
            # Proposals without an edit end a search; this one has only put a question that it need not have.
            self._work.note(Decision("invalid", "", proposal.round.parent, problem))
            self._work.proposals.remove(proposal)

    def _to_gate(self, proposal: Proposal, merge: Merge, child: Candidate, told: str) -> None:
        self._work.say("merge", child, told)
        rivals = (merge.pair.one.id, merge.pair.other.id)
        self._course.to_gate(proposal, child, rivals, merge.cases, (len(merge.cases) + 1) // 2)
