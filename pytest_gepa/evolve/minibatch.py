"""Which cases a reflection is shown: failures that are alike, and passing neighbours that an edit might
break.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

Draw = Callable[[], float]
"""A source of numbers in [0, 1)."""

# Grouping compares each failure with one anchor; more than this many would cost time and gain nothing.
POOL = 400

_BY_USE = 0.5
"""How much less alike are failures of cases that have no component in common."""

_BY_TEXT = 0.1
"""What the same text of two cases adds to the likeness of their failures, which is 1 at most, where all checks say the
same. Where what they say parts the failures, a sample of one kind that is alike in text too teaches less: the simulated
searches became no better by it, those with a weak reflector rather worse.
"""

_QUOTED = re.compile(r"""'[^'\n]*'|"[^"\n]*"|`[^`\n]*`""")
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Minibatch:
    """The cases of one reflection, and of the gate that its child has to pass."""

    failing: tuple[str, ...]
    neighbours: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FailedCase:
    """What tells which failures are alike: what the check `said`, the components that the case used, its own text; and
    how much of the score it `lacks`, in (0, 1].
    """

    said: str
    uses: tuple[str, ...] = ()
    text: str = ""
    lacks: float = 1.0


@lru_cache(maxsize=20_000)
def likeness_words(text: str) -> frozenset[str]:
    """Return the words of a failure text that tell its kind: no quoted values, nothing that holds a digit."""
    bare = _QUOTED.sub(" ", text.lower())
    return frozenset(word for word in _WORD.findall(bare) if not any(letter.isdigit() for letter in word))


@lru_cache(maxsize=20_000)
def plain_words(text: str) -> frozenset[str]:
    """Return the words of a case's own text: all but those that hold a digit."""
    return frozenset(word for word in _WORD.findall(text.lower()) if word.isalpha())


class Likeness:
    """Similarity of texts by their words, where a word that stands in many of them says little."""

    def __init__(self, texts: Iterable[str], words: Callable[[str], frozenset[str]] = likeness_words) -> None:
        self._words = words
        sets = [words(text) for text in texts]
        counts = Counter(word for words in sets for word in words)
        self._weight = {word: math.log((1 + len(sets)) / count) for word, count in counts.items()}
        self._unseen = math.log(1 + len(sets))

    def _sum(self, words: Iterable[str]) -> float:
        # fsum: the order in which a set gives its words differs from process to process.
        return math.fsum(self._weight.get(word, self._unseen) for word in words)

    def between(self, one: str, other: str) -> float:
        """Return the weighted share of words that the texts have in common, 0 to 1; without words they
        are alike.
        """
        left, right = self._words(one), self._words(other)
        union = self._sum(left | right)
        return self._sum(left & right) / union if union else 1.0


class FailureLikeness:
    """How alike failing cases are: by what the checks said, less where they used other components, and a little by
    their own texts where the checks say the same of all.
    """

    def __init__(self, cases: Collection[FailedCase]) -> None:
        self._said = Likeness(case.said for case in cases)
        tells_nothing = len({likeness_words(case.said) for case in cases}) == 1
        self._text = Likeness((case.text for case in cases), plain_words) if tells_nothing else None

    def between(self, one: FailedCase, other: FailedCase) -> float:
        """Return how alike two cases are; only the order of such numbers means something."""
        used = {*one.uses, *other.uses}
        shared = len({*one.uses} & {*other.uses}) / len(used) if used else 1.0
        said = self._said.between(one.said, other.said) * (1.0 - _BY_USE * (1.0 - shared))
        return said + (_BY_TEXT * self._text.between(one.text, other.text) if self._text else 0.0)


def weighted_order(items: Sequence[str], weights: Sequence[float], draw: Draw) -> list[str]:
    """Return the items in random order, each earlier the more it weighs (Efraimidis and Spirakis 2006)."""
    keyed = [(-math.log(1.0 - draw()) / weight, item) for item, weight in zip(items, weights, strict=True)]
    return [item for _, item in sorted(keyed)]


def group_failures(
    failures: Mapping[str, FailedCase],
    shown: Mapping[str, int],
    size: int,
    groups: int,
    alike: float,
    draw: Draw,
) -> list[tuple[str, ...]]:
    """Divide failing cases into at most `groups` groups of at most `size`,
    none twice.

    Each group has an anchor, drawn at random with cases favoured that were shown least often and lack most; of its
    other places the share `alike` goes to the failures that are most like the anchor's, the rest to
    any, in that order.
    """
    weights = [failed.lacks / (1 + shown.get(case, 0)) ** 2 for case, failed in failures.items()]
    order = weighted_order(list(failures), weights, draw)
    pool = order[: max(POOL, size * groups)]
    likeness = FailureLikeness([failures[case] for case in pool])
    found: list[tuple[str, ...]] = []
    while pool and len(found) < groups:
        anchor, *rest = pool
        near = {case: likeness.between(failures[anchor], failures[case]) for case in rest}
        close = sorted(rest, key=lambda case: -near[case])[: round(alike * (size - 1))]
        taken = {anchor, *close}
        # What is left keeps its random order, so the first of it are as good a sample as any.
        any_others = [case for case in rest if case not in taken][: size - len(taken)]
        group = (anchor, *close, *any_others)
        found.append(group)
        pool = [case for case in pool if case not in set(group)]
    return found


def choose_neighbours(
    passing: Sequence[str], closeness: Mapping[str, float], count: int, draw: Draw
) -> tuple[str, ...]:
    """Draw up to `count` passing cases, those with the greatest closeness favoured but none certain."""
    pool = sorted(passing, key=lambda case: -closeness.get(case, 0.0))[:POOL]
    return tuple(weighted_order(pool, [0.05 + closeness.get(case, 0.0) for case in pool], draw)[:count])
