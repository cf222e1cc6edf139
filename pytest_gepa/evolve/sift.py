"""Edits that failed together in one child, tried one by one: one bad edit would throw away the good ones beside it."""

from __future__ import annotations

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.ledger import Ledger
from pytest_gepa.evolve.problem import TIE
from pytest_gepa.evolve.proposal import AtGate, Part, Round, unite


def worth_a_trial(ledger: Ledger, round: Round, failed: AtGate) -> list[Part]:
    """Return those of the edits of a child that failed which are worth a trial alone.

    They are those of which a case became better; where none did and a case became worse, all, as what broke that may
    have hidden the others.
    """
    child = failed.child.id
    known = [case for case in failed.cases if ledger.evidence(child, case) is not None]
    change = {case: ledger.score(child, case) - ledger.score(round.parent, case) for case in known}
    better = {case for case, by in change.items() if by > TIE}
    promising = [part for part in round.parts if better & {*part.minibatch.failing}]
    is_harmful = any(by < -TIE for by in change.values())
    return promising or (list(round.parts) if is_harmful else [])


def next_alone(round: Round, parent: Candidate) -> Candidate | None:
    """Take the next edit to be tried alone, behind those that have passed so: they become the parts of the round, and
    the child is what they make of the parent. None where there is none left.
    """
    if not round.alone:
        return None
    round.sifted = round.sifted or []
    round.parts = [*round.sifted, round.alone.pop(0)]
    return unite(parent, round.parts)
