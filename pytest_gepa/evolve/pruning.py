"""Prunings: a candidate without one of the things that it has added to today's prompts."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gepa.evolve.candidate import Candidate, derive
from pytest_gepa.evolve.changes import texts_taken
from pytest_gepa.evolve.merge import added_pieces, added_rows, without_rows
from pytest_gepa.evolve.minibatch import Likeness


def prunings(candidate: Candidate, seed: Mapping[str, str]) -> list[Candidate]:
    """Return children that lack one thing which the candidate added to the seed, a rule or an example, likely
    repetitions first.

    One that resembles another is likely to repeat or to contradict it.
    """
    ranked: list[tuple[float, Candidate]] = []
    for name, text in candidate.texts.items():
        lines = text.split("\n")
        wholes = [one.split("\n") for one in texts_taken(candidate, name)]
        new = added_rows(seed[name], text)
        added = added_pieces(lines, new, wholes)
        said = ["\n".join(lines[row] for row in rows) for rows in added]
        likeness = Likeness(said)
        for at, rows in enumerate(added):
            others = [one for number, one in enumerate(said) if number != at]
            nearest = max((likeness.between(said[at], other) for other in others), default=0.0)
            rest = without_rows(lines, new, rows, wholes)
            if rest.strip():
                ranked.append((nearest, derive(candidate, {name: rest}, origin="pruning")))
    return [child for _, child in sorted(ranked, key=lambda entry: -entry[0])]
