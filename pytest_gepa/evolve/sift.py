"""Edits that failed together in one child, tried one by one: one bad edit would throw away the good ones beside it."""

from __future__ import annotations

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.ledger import Ledger
from pytest_gepa.evolve.problem import TIE
from pytest_gepa.evolve.proposal import Part, Proposal, unite


def worth_a_trial(ledger: Ledger, proposal: Proposal, child: Candidate) -> list[Part]:
    """Return those of the edits of a child that failed which are worth a trial alone.

    They are those of which a case became better; where none did and a case became worse, all, as what broke that may
    have hidden the others.
    """
    known = [case for case in proposal.gate if ledger.evidence(child.id, case) is not None]
    change = {case: ledger.score(child.id, case) - ledger.score(proposal.parent, case) for case in known}
    better = {case for case, by in change.items() if by > TIE}
    promising = [part for part in proposal.parts if better & {*part.minibatch.failing}]
    is_harmful = any(by < -TIE for by in change.values())
    return promising or (list(proposal.parts) if is_harmful else [])


def next_alone(proposal: Proposal, parent: Candidate) -> tuple[list[Part], Candidate] | None:
    """Take the next edit to be tried alone, and return it behind those that have passed so, with the child that they
    make of the parent; None where there is none left.
    """
    if not proposal.alone:
        return None
    proposal.sifted = proposal.sifted or []
    parts = [*proposal.sifted, proposal.alone.pop(0)]
    return parts, unite(parent, parts)
