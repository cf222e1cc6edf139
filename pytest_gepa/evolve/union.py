"""Uniting two candidates by a reflection, where lines do not tell how: what it is shown, and what is made of it."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_gepa.evolve.candidate import Candidate, derive
from pytest_gepa.evolve.decisions import Pair, merge_lines
from pytest_gepa.evolve.ledger import Ledger
from pytest_gepa.evolve.merge import loses_wording
from pytest_gepa.evolve.minibatch import Minibatch
from pytest_gepa.evolve.problem import SearchSettings, spread
from pytest_gepa.evolve.proposal import Part, usable


def loses_a_side(pair: Pair, child: Candidate) -> bool:
    """Whether a merge line by line had to drop the wording of one side, as both had changed the same lines."""
    texts = [side.texts for side in (pair.ancestor, pair.one, pair.other)]
    if not any(loses_wording(*(text[name] for text in texts)) for name in pair.shared):
        return False
    # A plugin that merges in its own way has seen to that.
    return child.texts == merge_lines(pair)


def seen_apart(ledger: Ledger, pair: Pair, settings: SearchSettings) -> tuple[Minibatch, tuple[str, ...]]:
    """Return what a reflection on both sides is shown, and the components that it is asked for.

    The cases in which `other` does better count as failing, those in which `one` does as neighbours, as far as `one`
    was run on them and used a component there that both have changed. No component: no such case fails.
    """
    shared = set(pair.shared)
    results, idle = ledger.results[pair.one.id], {*ledger.left_out(pair.one.id), *ledger.undecidable}

    def telling(cases: Iterable[str]) -> list[str]:
        return [
            case
            for case in cases
            if case not in idle
            and ledger.evidence(pair.one.id, case) is not None
            and not shared.isdisjoint(results[case].uses)
        ]

    failing = spread(telling(pair.behind), settings.minibatch)
    neighbours = spread(telling(pair.ahead), settings.neighbours)
    used = {name for case in failing for name in results[case].uses}
    return Minibatch(failing, neighbours), tuple(name for name in pair.shared if name in used)


def union(pair: Pair, part: Part) -> Candidate:
    """Make the child of what was written for both sides; what only one has changed is taken from that side."""
    assert part.reply is not None
    taken_over = {name: text for name, text in pair.other.texts.items() if name in pair.only_other}
    return derive(
        pair.one,
        {**taken_over, **usable(pair.one, part.reply)},
        others=(pair.other.id,),
        origin="merge",
        diagnosis=part.reply.diagnosis,
        proposal=part.id,
        taken=(*pair.other.taken, *part.reply.examples),
    )
