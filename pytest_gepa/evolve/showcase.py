"""What a reflection is shown: groups of a parent's failing cases, neighbours beside them, edits that
came to nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from pytest_gepa.evolve.candidate import Candidate, ancestors
from pytest_gepa.evolve.decisions import ChooseMinibatches
from pytest_gepa.evolve.ledger import Ledger
from pytest_gepa.evolve.minibatch import Draw, Likeness, Minibatch, choose_neighbours, group_failures
from pytest_gepa.evolve.problem import SearchSettings
from pytest_gepa.evolve.proposal import Part
from pytest_gepa.evolve.tasks import Discarded
from pytest_gepa.prompts.summary import summarize


class Showcase:
    """Chooses minibatches. Remembers how often a case was shown, and how often an edit broke it
    (`fragile`).
    """

    def __init__(
        self,
        ledger: Ledger,
        seed: str,
        settings: SearchSettings,
        draw: Draw,
        choose: ChooseMinibatches = group_failures,
    ) -> None:
        self._ledger = ledger
        self._seed = seed
        self._settings = settings
        self._draw = draw
        self._choose = choose
        self._shown: Counter[str] = Counter()
        self.fragile: Counter[str] = Counter()
        self._discarded: dict[str, list[tuple[int, Discarded]]] = {}
        self._discards = 0

    def minibatches(self, parent: str, groups: int, components: Collection[str] | None = None) -> list[Minibatch]:
        """Divide the parent's failing cases into at most `groups` minibatches, each with neighbours: those of them that
        use one of the `components`, if any does.
        """
        failures = self._ledger.workable(parent)
        if components is not None:
            within = {case: one for case, one in failures.items() if {*one.uses} & {*components}}
            failures = within or failures
        settings = self._settings
        found = self._choose(failures, self._shown, settings.minibatch, groups, settings.alike, self._draw)
        for group in found:
            self._shown.update(group)
        return [Minibatch(group, self._neighbours(parent, group)) for group in found]

    def _neighbours(self, parent: str, failing: tuple[str, ...]) -> tuple[str, ...]:
        """Draw passing cases that can be decided and use the same components, rather those that failed alike under the
        seed.
        """
        results, seed = self._ledger.results[parent], self._ledger.results[self._seed]
        used = {name for case in failing for name in results[case].uses}
        likeness = Likeness(results[case].likeness for case in failing)
        idle = {*self._ledger.undecidable}
        closeness: dict[str, float] = {}
        nearest: dict[str, float] = {"": 0.0}
        shared: dict[tuple[str, ...], float] = {}
        for case in self._ledger.divide(parent)[1]:
            if case in idle:  # it would be a coin in the gate
                continue
            uses, text = results[case].uses, seed[case].likeness
            if uses not in shared:
                shared[uses] = len(used.intersection(uses)) / len(used.union(uses))
            if not shared[uses]:
                continue
            if text not in nearest:
                nearest[text] = max(likeness.between(text, results[other].likeness) for other in failing)
            closeness[case] = shared[uses] * (0.2 + nearest[text] + 0.5 * min(2, self.fragile.get(case, 0)))
        return choose_neighbours(list(closeness), closeness, self._settings.neighbours, self._draw)

    def note_broken(self, parent: str, child: str, cases: tuple[str, ...]) -> None:
        """Remember which of these cases passed under the parent and do not under the child."""
        ledger = self._ledger
        idle = {*ledger.undecidable}
        for case in cases:
            before, after = ledger.evidence(parent, case), ledger.evidence(child, case)
            if before is not None and after is not None and case not in idle:
                self.fragile[case] += ledger.passes(parent, case) and not ledger.passes(child, case)

    def came_to_nothing(
        self,
        family: Mapping[str, Candidate],
        parent: str,
        parts: Sequence[Part],
        child: Candidate | None,
        reason: str,
    ) -> None:
        """Remember for the reflections to come what came to nothing: edits of a parent, or what the search made of
        several candidates itself.
        """
        if child is None:
            self.discard(family[parent], parts, reason)
            return
        if child.origin == "merge":
            reason = f"to unite it with another version came to nothing: {reason}"
        for one in child.parents if not parts else child.parents[:1]:
            self.discard(family[one], parts, reason, (child,))

    def discard(
        self, parent: Candidate, parts: Sequence[Part], reason: str, children: Sequence[Candidate] = ()
    ) -> None:
        """Remember that edits of this parent came to nothing, and why.

        With `parts` they are the edits of those reflections; without, what the `children` that the search itself made
        have changed, in one entry for each component.
        """
        edits = _edits(parent, parts, children)
        for component, summary in edits:
            self._discards += 1
            others = dict.fromkeys(name for name, _ in edits if parts and name != component)
            told = f"tried together with an edit of {', '.join(others)}: {reason}" if others else reason
            entry = (self._discards, Discarded(component, summary, told))
            self._discarded.setdefault(parent.id, []).append(entry)

    def discarded(
        self, family: Mapping[str, Candidate], parent: str, components: tuple[str, ...]
    ) -> tuple[Discarded, ...]:
        """Return the last edits of each of these components, from this parent or its ancestors, that came to nothing,
        newest last. One that was tried again counts once, as what came of it last.
        """
        entries = [entry for name in ancestors(family, parent) for entry in self._discarded.get(name, ())]
        last = {
            (entry.component, entry.summary): (number, entry)
            for number, entry in sorted(entries, key=lambda entry: entry[0])
            if entry.component in components
        }
        told: list[Discarded] = []
        left = dict.fromkeys(components, self._settings.discarded)
        for _, entry in sorted(last.values(), key=lambda entry: entry[0], reverse=True):
            if left[entry.component]:
                left[entry.component] -= 1
                told.append(entry)
        return tuple(reversed(told))


def _edits(parent: Candidate, parts: Sequence[Part], children: Sequence[Candidate]) -> list[tuple[str, str]]:
    """The edits of a parent by component, in short."""
    if parts:
        return [edit for part in parts if part.reply for edit in part.reply.summaries.items()]
    found: dict[str, dict[str, None]] = {}
    for child in children:
        for component, text in child.texts.items():
            if text != parent.texts[component]:
                lines = summarize(parent.texts[component], text).split("\n")
                found.setdefault(component, {}).update(dict.fromkeys(lines))
    return [(component, "\n".join(lines)) for component, lines in found.items()]
