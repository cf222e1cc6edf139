"""A proposal on its way: its reflections, the child made of them, its gate, and what is tried of it. No decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pytest_gepa.evolve.candidate import Candidate, derive
from pytest_gepa.evolve.merge import merge_all
from pytest_gepa.evolve.minibatch import Minibatch
from pytest_gepa.evolve.pool import Merge
from pytest_gepa.evolve.tasks import Reflected


@dataclass(slots=True)
class Part:
    """One reflection of a proposal: the cases it is shown, the components it may edit, and its reply."""

    id: str
    minibatch: Minibatch
    components: tuple[str, ...]
    reply: Reflected | None = None


@dataclass(slots=True)
class Round:
    """Reflections on one candidate, the `parent`, and what is to be made of them.

    `alone` are those of its edits that failed together and are still to be tried, one at a time, `sifted` those that
    have passed so, None where none is tried. `merge` is the one whose child is under way, or is to be made of the
    reply.
    """

    parent: str
    parts: list[Part] = field(default_factory=list)
    alone: list[Part] = field(default_factory=list)
    sifted: list[Part] | None = None
    merge: Merge | None = None


@dataclass(slots=True)
class AtGate:
    """A child on its way through the gate: it passes by being better than all `rivals` on the `cases`."""

    child: Candidate
    rivals: tuple[str, ...]
    cases: tuple[str, ...]


@dataclass(slots=True)
class Tip:
    """The last child that passed its gate, and the `parts` that it was made of.

    `vain` counts attempts in a row to improve it without success. `is_gain` says whether it was a gain, once it was
    run on every case. It `is_step` when no case passes by it, but some get further before they fail: it is only there
    to be reflected on.
    """

    candidate: Candidate
    parts: list[Part] = field(default_factory=list)
    vain: int = 0
    is_gain: bool = False
    is_step: bool = False


@dataclass(slots=True)
class Repair:
    """Versions of a tip that has broken cases, in which a part of its change is taken back: those still to be tried,
    and those that did no better. They have to beat the `rivals` on the `cases`, and are run on the `first` ones first.
    """

    untried: list[Candidate]
    rivals: tuple[str, ...]
    cases: tuple[str, ...]
    first: int
    failed: list[Candidate] = field(default_factory=list)


@dataclass(slots=True)
class Proposal:
    """One way from a candidate of the frontier, its `base`, to a new one.

    `spent` counts the rollouts handed out; `waiting` holds the cases of an evaluation for which the budget has no room
    until others are settled.
    """

    base: str
    round: Round
    at_gate: AtGate | None = None
    tip: Tip | None = None
    repair: Repair | None = None
    spent: int = 0
    waiting: tuple[str, ...] = ()

    @property
    def candidate(self) -> Candidate | None:
        """The candidate that is being run: the child at its gate, else the tip."""
        if self.at_gate is not None:
            return self.at_gate.child
        return None if self.tip is None else self.tip.candidate


def usable(parent: Candidate, reply: Reflected | None) -> dict[str, str]:
    """Return the texts of a reply that differ from the parent's."""
    if reply is None:
        return {}
    return {name: text for name, text in reply.texts.items() if name in parent.texts and text != parent.texts[name]}


def unite(parent: Candidate, parts: Sequence[Part]) -> Candidate:
    """Make one child of several reflections on the same parent (or of one); each must hold a usable text."""
    texts = [usable(parent, part.reply) for part in parts]
    combined: dict[str, str] = {}
    for name, before in parent.texts.items():
        versions = [text[name] for text in texts if name in text]
        combined[name] = merge_all(before, versions)
    diagnoses = dict.fromkeys(part.reply.diagnosis for part in parts if part.reply and part.reply.diagnosis)
    return derive(
        parent,
        combined,
        diagnosis="\n\n".join(diagnoses),
        proposal="+".join(part.id for part in parts),
        taken=tuple(example for part in parts if part.reply for example in part.reply.examples),
    )


def without_rival_rewrites(parent: Candidate, parts: Sequence[Part]) -> list[Part]:
    """Leave out each reflection that rewrites a text which one before it has rewritten as well.

    Two texts that share little with what they were made of cannot be united line by line: both would be told in turns.
    """
    rewritten: set[str] = set()
    kept: list[Part] = []
    for part in parts:
        anew = {name for name, text in usable(parent, part.reply).items() if _is_rewrite(parent.texts[name], text)}
        if anew.isdisjoint(rewritten):
            rewritten |= anew
            kept.append(part)
    return kept


def _is_rewrite(before: str, after: str) -> bool:
    lines = [line for line in before.split("\n") if line.strip()]
    still = {*after.split("\n")}
    return len(lines) > 1 and sum(line in still for line in lines) < len(lines) / 2


def gate_cases(parts: Sequence[Part], size: int, neighbours: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return at most `size` failing cases, an equal share from each part, and at most `neighbours`
    passing ones.
    """
    share = max(1, size // len(parts))
    failing = [case for part in parts for case in part.minibatch.failing[:share]]
    passing = dict.fromkeys(case for part in parts for case in part.minibatch.neighbours)
    return tuple(failing), tuple(passing)[:neighbours]
