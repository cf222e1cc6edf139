"""What a winner changes in today's prompts, what is known of each change, and how much its shrinking may cost. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.prompts.hunks import Hunk, find_hunks
from pytest_gepa.prompts.programs import is_program


@dataclass(frozen=True, slots=True)
class Need:
    """What is known of one change of the winner to one component.

    `state` is "needed": `cases` are worse without it, those that were seen before it was given up, and `at_least` says
    that others were not run; "dropped": no case is; or "not measured", for the `reason`.
    """

    component: str
    hunk: Hunk
    state: str
    cases: tuple[str, ...] = ()
    reason: str = ""
    at_least: bool = False


def changes(seed: Candidate, winner: Candidate) -> tuple[tuple[str, Hunk], ...]:
    """Return what the winner changes in today's prompts, by component, in parts that can be dropped one by one. The
    same of any candidate and one that it was made from.
    """
    return tuple(
        (name, hunk)
        for name, text in seed.texts.items()
        if winner.texts[name] != text
        for hunk in find_hunks(
            text,
            winner.texts[name],
            texts_taken(winner, name),
            divide=not is_program(name),
        )
    )


def texts_taken(candidate: Candidate, component: str) -> list[str]:
    """Return what stands in one of a candidate's texts as examples, and has no parts."""
    return [one.text for one in candidate.taken if one.component == component]


LEAST_SHARE = 3
"""Shrinking may take at least so many runs of all cases."""


def fair_share(cases: int, hunks: int) -> int:
    """Return how many rollouts shrinking may take: two runs of all cases, and for each change what it takes to find it
    by bisection, prove it and prove it again; never fewer than three runs of all cases nor more than six.
    """
    wanted = 2 * cases + hunks * (3 + hunks.bit_length())
    return min(max(wanted, LEAST_SHARE * cases), 6 * cases)
