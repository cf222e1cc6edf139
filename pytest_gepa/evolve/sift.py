"""Edits that failed together in one child, tried one by one: one bad edit would throw away the good ones beside it."""

from __future__ import annotations

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.proposal import Round, unite


def next_alone(round: Round, parent: Candidate) -> Candidate | None:
    """Take the next edit to be tried alone, behind those that have passed so: they become the parts of the round, and
    the child is what they make of the parent. None where there is none left.
    """
    if not round.alone:
        return None
    round.sifted = round.sifted or []
    round.parts = [*round.sifted, round.alone.pop(0)]
    return unite(parent, round.parts)
