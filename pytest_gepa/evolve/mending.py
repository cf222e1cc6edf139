"""Repairs on their way: versions of a candidate that mended cases and broke others, one after the other."""

from __future__ import annotations

from collections.abc import Callable

from pytest_gepa.evolve.candidate import Candidate, derive
from pytest_gepa.evolve.children import Children
from pytest_gepa.evolve.decisions import ProposeRepairs
from pytest_gepa.evolve.gate import GateState
from pytest_gepa.evolve.pool import Pool
from pytest_gepa.evolve.problem import SearchSettings
from pytest_gepa.evolve.proposal import Proposal, Repair
from pytest_gepa.evolve.repairs import Damage
from pytest_gepa.evolve.showcase import Showcase
from pytest_gepa.evolve.work import Work

TOO_LITTLE = "taking this part of the edit back mends too little"

_MOST_OF_BARRED = 24
"""Versions that are tried of the best candidate where it may not be chosen: each costs one rollout if it is none."""

ToGate = Callable[[Proposal, Candidate, tuple[str, ...], tuple[str, ...], int], None]


class Mending:
    """Takes parts of a tip back; `to_gate` sends a version to its gate (see `Course.to_gate`)."""

    def __init__(
        self,
        pool: Pool,
        work: Work,
        showcase: Showcase,
        settings: SearchSettings,
        children: Children,
        propose: ProposeRepairs,
        to_gate: ToGate,
    ) -> None:
        self._pool = pool
        self._work = work
        self._showcase = showcase
        self._settings = settings
        self._children = children
        self._propose = propose
        self._to_gate = to_gate
        self._begun: set[tuple[str, str, bool]] = set()

    def begin(self, proposal: Proposal, tip: Candidate, *, is_barred: bool = False) -> bool:
        """Begin to take back parts of a tip, once for each base; False if there is nothing to try.

        Of one that `is_barred`, as it breaks too many cases to be chosen, more versions are tried, on one case first.
        """
        place = (proposal.base, tip.id, is_barred)
        if self._work.done or place in self._begun or proposal.base == tip.id:
            return False
        mended, broken = self._pool.ledger.turned(proposal.base, tip.id)
        if not mended or not broken:
            return False
        self._begun.add(place)
        damage = Damage(self._pool.candidates[proposal.base], tip, mended, broken, is_barred)
        versions = (derive(tip, texts, origin="repair") for texts in self._propose(damage))
        new = {child.id: child for child in versions if self._children.is_new(child)}
        most, first = self._settings.repairs, self._settings.repair_stage
        if is_barred:
            most, first = _MOST_OF_BARRED, 1
        rivals, cases = (proposal.base, tip.id), (*broken, *mended)
        proposal.repair = Repair([*new.values()][:most], rivals, cases, first)
        return self._try_next(proposal, proposal.repair)

    def judge(self, proposal: Proposal, repair: Repair, child: Candidate, state: GateState) -> bool:
        """Note how a version did at its gate; True when nothing is under way any more. The version is the tip then, or
        the repair is over.
        """
        scores = (state.before, state.after)
        if state.verdict == "passed":
            self._work.say("accepted", child, "better where the edit before it had broken cases", *scores)
            assert proposal.tip is not None
            proposal.tip.candidate, proposal.repair = child, None
            return True
        self._work.say("rejected", child, TOO_LITTLE, *scores)
        repair.failed.append(child)
        return not self._try_next(proposal, repair)

    def give_up(self, proposal: Proposal, repair: Repair) -> None:
        """End a repair; the tip stays as it is."""
        assert proposal.tip is not None
        proposal.repair = proposal.at_gate = None
        told = f"each tried alone: {TOO_LITTLE}"
        self._showcase.discard(proposal.tip.candidate, (), told, repair.failed)

    def _try_next(self, proposal: Proposal, repair: Repair) -> bool:
        """Send the next version to its gate, first on what the tip has broken; False if there is none left."""
        while repair.untried and not self._work.done:
            child = repair.untried.pop(0)
            # Another proposal may have come to the same texts since the list was made.
            if child.id not in self._pool.candidates:
                self._to_gate(proposal, child, repair.rivals, repair.cases, repair.first)
                return True
        proposal.repair = None
        return False
