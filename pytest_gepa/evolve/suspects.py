"""Which cases may need which changes of the winner, read from all that was measured. A guess that orders; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from pytest_gepa.evolve.frontier import bits
from pytest_gepa.evolve.ledger import Ledger
from pytest_gepa.evolve.minibatch import Likeness
from pytest_gepa.evolve.problem import TIE
from pytest_gepa.prompts.hunks import Hunk


def is_worse(ledger: Ledger, one: str, other: str, case: str) -> bool:
    """Whether a candidate does worse in a case than another: failed where that one passed, or a score that is lower by
    more than trials of one text differ."""
    return ledger.score(one, case) < ledger.score(other, case) - ledger.jitter - TIE or (
        ledger.passes(other, case) and not ledger.passes(one, case)
    )


class Suspects:
    """Learns from every run of the winner without some of its changes which cases may need one of them.

    A case that is worse needs one of the changes that were away; one that is not needs none of them, if what is
    needed with more is needed with less. Neither is taken for proof. Sets of changes are bit sets. `reaches` says
    whether a component may have a part in a case.
    """

    def __init__(
        self,
        ledger: Ledger,
        seed: str,
        winner: str,
        hunks: Sequence[tuple[str, Hunk]],
        reaches: Callable[[str, str], bool],
    ) -> None:
        self._ledger = ledger
        self._winner = winner
        components = dict.fromkeys(component for component, _ in hunks)
        of = {
            name: sum(1 << number for number, (component, _) in enumerate(hunks) if component == name)
            for name in components
        }
        self._reached = {case: sum(of[name] for name in components if reaches(name, case)) for case in ledger.active}
        self._blamed: dict[str, set[int]] = {}
        self._passed: dict[str, set[int]] = {}
        self._gone = 0
        self._words = [" ".join(hunk.lines) for _, hunk in hunks]
        results = ledger.results[seed]
        self._told = {
            case: f"{results[case].likeness} {results[case].text}" for case in ledger.active if case in results
        }
        self._likeness = Likeness([*self._words, *self._told.values()])
        self._known: dict[tuple[int, str], float] = {}

    def learn(self, candidate: str, absent: Iterable[int]) -> None:
        """Take in all that is known of the winner without these changes, which is this candidate."""
        ledger, away = self._ledger, bits(absent)
        for case in ledger.results.get(candidate, ()):
            if ledger.evidence(candidate, case) is None or ledger.evidence(self._winner, case) is None:
                continue
            if is_worse(ledger, candidate, self._winner, case):
                self._blamed.setdefault(case, set()).add(away & self._reached[case])
            else:
                self._passed.setdefault(case, set()).add(away)

    def drop(self, gone: Iterable[int]) -> None:
        """Note that changes are gone for good: what could be spared beside them, may be needed in their place."""
        self._gone |= bits(gone)

    def blamed(self, case: str) -> dict[int, float]:
        """Return the fewest changes of which a case is known to need one, each with its likeness to the failure."""
        found = [left for blamed in self._blamed.get(case, ()) if (left := blamed & ~self._spared(case))]
        least = min(found, key=int.bit_count, default=0)
        return {n: self._between(n, case) for n in range(least.bit_length()) if least >> n & 1}

    def suspicion(self, group: Iterable[int], case: str) -> float:
        """Return how likely a case is to be worse without the changes of a group, 0 where nothing says so."""
        spared, wanted = self._spared(case), bits(group)
        share = 0.0
        for blamed in self._blamed.get(case, ()):
            left = blamed & ~spared
            if left:
                share = max(share, (left & wanted).bit_count() / left.bit_count())
        return share

    def _spared(self, case: str) -> int:
        """The changes that a case has done without, together with all that is gone."""
        spared = self._gone
        for away in self._passed.get(case, ()):
            if not self._gone & ~away:
                spared |= away
        return spared

    def order(self, group: Sequence[int], cases: Iterable[str]) -> list[tuple[str, float]]:
        """Return cases with their suspicion, the likeliest to be worse first: of equal ones those about which the
        changes seem to speak, by the words of the check and of the case.
        """
        found = [(case, self.suspicion(group, case)) for case in cases]
        return sorted(found, key=lambda one: (-one[1], -self._nearest(group, one[0]) if one[1] else 0.0))

    def _nearest(self, group: Sequence[int], case: str) -> float:
        return max(self._between(number, case) for number in group)

    def _between(self, number: int, case: str) -> float:
        key = (number, case)
        if key not in self._known:
            self._known[key] = self._likeness.between(self._words[number], self._told.get(case, ""))
        return self._known[key]


def parts(
    texts: Mapping[str, Mapping[str, str]],
    seed: Mapping[str, str],
    winner: Mapping[str, str],
    hunks: Sequence[tuple[str, Hunk]],
) -> dict[str, tuple[int, ...]]:
    """Return, of candidates with these texts, those that are the winner without some changes: which ones they lack."""
    allowed = {name: {*seed[name].split("\n"), *winner[name].split("\n")} for name in seed}
    found: dict[str, tuple[int, ...]] = {}
    for candidate, own in texts.items():
        lines = {name: set(text.split("\n")) for name, text in own.items()}
        if all(allowed[name].issuperset(lines[name]) for name in seed):
            found[candidate] = tuple(
                number for number, (name, hunk) in enumerate(hunks) if not _stands(hunk, lines[name])
            )
    return found


def _stands(hunk: Hunk, lines: set[str]) -> bool:
    """Whether a change has been made in a text of these lines."""
    return lines.issuperset(hunk.new) if hunk.new else lines.isdisjoint(hunk.old)
