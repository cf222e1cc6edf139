"""Edits that failed together in one child, tried one at a time: one bad edit would throw away the good ones."""

from __future__ import annotations

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.ledger import Ledger
from pytest_gepa.evolve.proposal import Proposal, Round, unite


def next_alone(round: Round, parent: Candidate) -> Candidate | None:
    """Take the next edit to be tried alone, behind those that have passed so: they become the parts of the round, and
    the child is what they make of the parent. None where there is none left.
    """
    if not round.alone:
        return None
    round.sifted = round.sifted or []
    round.parts = [*round.sifted, round.alone.pop(0)]
    return unite(parent, round.parts)


def unchecked(ledger: Ledger, proposal: Proposal, child: Candidate) -> tuple[str, ...]:
    """Return the cases that the edits which have passed so far have mended, and that the child, which has one more, was
    not run on.
    """
    known = ledger.results.get(child.id, {})
    if proposal.tip is None or not proposal.round.sifted:
        return ()
    tip = proposal.tip.candidate.id
    shown = (case for part in proposal.round.sifted for case in part.minibatch.failing if case not in known)
    return tuple(case for case in shown if ledger.evidence(tip, case) and ledger.passes(tip, case))
