"""Keeping held-out cases from the reflection model: what is theirs is cut from every text that it is shown."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from pytest_gepa.reflect.belongings import belongings
from pytest_gepa.reflect.partial import LEAST, Pieces
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.suite.rollout import Case, Rollout
from pytest_gepa.suite.sources import Source
from pytest_gepa.trace.rewrite import rewrite_trajectory

SHORTEST = 4
"""A value of fewer characters is cut only where it stands as a whole one: cut out of every word that holds it, it would
make the evidence unreadable."""

HELD_OUT = "[held out]"
_LONG_HEAD = 12
_MOST_LINES = 200
"""Of a longer value enough lines are long enough to be known alone."""

_MARGIN = r"[ \t]*\n[ \t]*(?:[E>|#][ \t]*)?"

_WORD = re.compile(r"(\\[nrt]|)(\w+)")
"""A word, and what may stand before it for the end of a line in a text that is quoted."""


class Withholder:
    """Cuts what is held-out cases' own out of exhibits.

    That is the values of their parameters (`texts`, by case id, are those that their reprs do not show), their ids, the
    sentences in a test function that is theirs alone, and what stands in a row with one of their values in a table of
    the `sources`. What a search case has too is no secret, nor is what stands in `prompts`. A piece of a long value, as
    reports cut them short, is cut like the whole; so are several lines with a margin, such as pytest's `E`. A short
    value is cut where it stands in quotes, or alone, or on a line from which something was cut; a word of such a row
    where it is no part of another.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        sources: Iterable[Source] = (),
        prompts: Iterable[str] = (),
        texts: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        today = "\n".join(prompts)
        theirs, shown, words = belongings(cases, sources, texts)
        secrets = {
            value
            for value in theirs - shown
            if (bare := value.strip()) and bare not in shown and not _stands_in(bare, today)
        }
        self._words = {value for value in secrets & words if len(value) >= SHORTEST}
        long = {
            spelling
            for value in secrets - self._words
            if len(value) >= SHORTEST
            for spelling in _spellings(value)
        }
        self._values = sorted(long, key=lambda value: (-len(value), value))
        # There may be thousands of values, and texts of megabytes: a text is read once for all of them.
        self._by_head: dict[str, list[int]] = defaultdict(list)
        for rank, value in enumerate(self._values):
            self._by_head[_head(value)].append(rank)
        longest = sorted(secrets, key=lambda value: (-len(value), value))
        self._blocks = tuple(block for value in longest if (block := _block(value)) is not None)
        self._short = _alternatives(value for value in secrets if len(value) < SHORTEST)
        self._has_secrets = bool(secrets)
        self._pieces = Pieces(
            (value for value in self._values if len(value) >= LEAST),
            (today, *shown, *sorted({case.source for case in cases if case.split == "search"})),
        )

    def exhibit(self, exhibit: Exhibit) -> Exhibit:
        """The same exhibit without anything of the held-out cases."""
        if not self._has_secrets:
            return exhibit
        case, rollout = exhibit.case, exhibit.rollout
        other = None if exhibit.other is None else self._rollout(exhibit.other)
        return replace(
            exhibit,
            case=replace(case, source=self.cut(case.source)),
            rollout=self._rollout(rollout),
            expected=self.cut(exhibit.expected),
            other=other,
        )

    def _rollout(self, rollout: Rollout) -> Rollout:
        trajectory = rewrite_trajectory(rollout.trajectory, self.cut)
        return replace(rollout, trajectory=trajectory, feedback=self.cut(rollout.feedback))

    def cut(self, text: str) -> str:
        """The text without anything of the held-out cases."""
        if not self._has_secrets:
            return text
        for first, block in self._blocks:
            if first in text:
                text = re.sub(block, HELD_OUT, text)
        heads: set[str] = set()
        for size in (SHORTEST, _LONG_HEAD):
            starts = range(len(text) - size + 1)
            heads.update(head for at in starts if (head := text[at : at + size]) in self._by_head)
        for rank in sorted(rank for head in heads for rank in self._by_head[head]):
            text = text.replace(self._values[rank], HELD_OUT)
        text = self._pieces.replace(text, HELD_OUT)
        if self._words:
            text = _WORD.sub(self._without_word, text)
        return self._without_short(text) if self._short else text

    def _without_word(self, found: re.Match[str]) -> str:
        escape, word = found.groups()
        if f"{escape[1:]}{word}" in self._words:
            return f"{escape[:1]}{HELD_OUT}"
        return f"{escape}{HELD_OUT}" if word in self._words else found[0]

    def _without_short(self, text: str) -> str:
        if re.fullmatch(self._short, text.strip()):
            return HELD_OUT
        text = re.sub(rf"""(["'])(?:{self._short})\1""", rf"\1{HELD_OUT}\1", text)
        if HELD_OUT not in text:
            return text
        whole = re.compile(rf"(?<![\w.])(?:{self._short})(?![\w.])")
        lines = text.split("\n")
        return "\n".join(whole.sub(HELD_OUT, line) if HELD_OUT in line else line for line in lines)


def _head(value: str) -> str:
    return value[:_LONG_HEAD] if len(value) >= _LONG_HEAD else value[:SHORTEST]


def _spellings(value: str) -> set[str]:
    """A value as it is, and as Python and JSON write it inside quotes."""
    written = (repr(value), json.dumps(value), json.dumps(value, ensure_ascii=False))
    return {value, *(one[1:-1] for one in written)}


def _block(value: str) -> tuple[str, str] | None:
    """The first line of a value of several lines, and a pattern of the whole with any margin; None for another."""
    lines = [line.strip() for line in value.strip().splitlines()]
    if not 1 < len(lines) <= _MOST_LINES:
        return None
    return lines[0], _MARGIN.join(map(re.escape, lines))


def _stands_in(value: str, text: str) -> bool:
    return value in text and re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text) is not None


def _alternatives(values: Iterable[str]) -> str:
    """A pattern of the values; by their first signs, as there may be hundreds."""
    rest: dict[str, list[str]] = defaultdict(list)
    for value in sorted(values):
        rest[value[0]].append(re.escape(value[1:]))
    return "|".join(f"{re.escape(first)}(?:{'|'.join(others)})" for first, others in rest.items())
