"""A candidate: one text for every component, where it came from, and its place in the family tree."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_gepa.own import OwnName
from pytest_gepa.prompts.examples import Example, cases_of, still_kept


def candidate_id(texts: Mapping[str, str]) -> str:
    """Name texts by what they are: the first 12 hex digits of SHA-256 over the sorted (component, text)
    pairs.
    """
    content = json.dumps(sorted(texts.items()), ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(content.encode("ascii")).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A point in text space: the same texts are the same candidate.

    `texts` maps each component's id to its text. `changed` names the components that differ from the first parent.
    `origin` is "seed", "ancestor", "base", "reflection", "merge", "repair" (a part of an edit taken back), "pruning"
    (an added line taken away again) or "shrink"; `proposal` is the id of the proposal (several joined by "+") that
    made it, and `diagnosis` is what the reflection wrote about the failures. `taken` are the search cases that stand
    in the texts as examples.
    """

    id: OwnName
    texts: Mapping[OwnName, str] = field(hash=False)
    parents: tuple[OwnName, ...] = ()
    changed: tuple[OwnName, ...] = ()
    origin: OwnName = "seed"
    diagnosis: str = ""
    proposal: OwnName = ""
    taken: tuple[Example, ...] = field(default=(), hash=False)

    @property
    def examples(self) -> tuple[str, ...]:
        """The ids of the cases that stand in the texts as examples, sorted: what it does on them says nothing."""
        return cases_of(self.taken)

    @property
    def length(self) -> int:
        """Characters of all its texts."""
        return sum(len(text) for text in self.texts.values())


def seed_candidate(texts: Mapping[str, str]) -> Candidate:
    """Make the candidate of today's prompts."""
    return Candidate(candidate_id(texts), dict(sorted(texts.items())))


def derive(
    parent: Candidate,
    texts: Mapping[str, str],
    *,
    others: tuple[str, ...] = (),
    origin: str = "reflection",
    diagnosis: str = "",
    proposal: str = "",
    taken: tuple[Example, ...] = (),
) -> Candidate:
    """Make a child of `parent` in which the components in `texts` have new texts; `others` are further
    parents.

    Examples of the parent's, and those in `taken`, are the child's as long as they stand in its texts.
    """
    combined = {name: texts.get(name, text) for name, text in parent.texts.items()}
    changed = tuple(name for name, text in combined.items() if text != parent.texts[name])
    return Candidate(
        id=candidate_id(combined),
        texts=combined,
        parents=(parent.id, *others),
        changed=changed,
        origin=origin,
        diagnosis=diagnosis,
        proposal=proposal,
        taken=still_kept((*parent.taken, *taken), combined),
    )


def ancestors(family: Mapping[str, Candidate], start: str) -> dict[str, int]:
    """Return `start` and all it descends from, with the fewest steps up to each, nearest first."""
    steps = {start: 0}
    queue = [start]
    for name in queue:
        for parent in family[name].parents:
            if parent not in steps:
                steps[parent] = steps[name] + 1
                queue.append(parent)
    return steps


def common_ancestor(family: Mapping[str, Candidate], one: str, other: str) -> str:
    """Return the nearest candidate from which both descend (one of the two, when the other descends from it).

    Nearest means fewest steps from both together; the younger wins a tie (`family` is in order of birth).
    """
    ours, theirs = ancestors(family, one), ancestors(family, other)
    shared = [name for name in ours if name in theirs]
    age = {name: position for position, name in enumerate(family)}
    return min(shared, key=lambda name: (ours[name] + theirs[name], -age[name]))
