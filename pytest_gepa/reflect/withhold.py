"""Keeping held-out cases from the reflection model: what is theirs is cut from every text that it is shown."""

from __future__ import annotations

import ast
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from pytest_gepa.prompts.leaks import literals
from pytest_gepa.reflect.partial import LEAST, Pieces
from pytest_gepa.reflect.tables import beside, numbered, tables
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.suite.rollout import Case
from pytest_gepa.trace.rewrite import rewrite_trajectory

SHORTEST = 4
"""A value of fewer characters is cut only where it stands as a whole one: cut out of every word that holds it, it would
make the evidence unreadable."""

HELD_OUT = "[held out]"
_WORDS_THAT_TELL = 3
_EVERYBODYS = ("True", "False", "None", "Ellipsis")


class Withholder:
    """Cuts what is held-out cases' own out of exhibits.

    That is the values of their parameters, their ids, the sentences in a test function that is theirs alone, and what
    stands in a row with one of their values in a table of a test file or a conftest (`sources`). What a search case has
    too is no secret, nor is what stands in `prompts`. A piece of a long value, as reports cut them short, is cut like
    the whole. A short value is cut where it stands in quotes, or alone, or on a line from which something was cut.
    """

    def __init__(
        self, cases: Sequence[Case], sources: Iterable[str] = (), prompts: Iterable[str] = ()
    ) -> None:
        search, held = ([case for case in cases if case.split == split] for split in ("search", "holdout"))
        today = "\n".join(prompts)
        shown, theirs = set(_values(search)), set(_values(held))
        if held:
            found = [table for source in sources for table in tables(source)]
            for splits in _numbers(cases):
                theirs |= numbered(
                    found, len(splits), (at for at, split in splits.items() if split == "holdout")
                )
                shown |= numbered(
                    found, len(splits), (at for at, split in splits.items() if split == "search")
                )
            own, other = theirs - shown, shown - theirs
            theirs |= beside(found, own, other)
            shown |= beside(found, other, own)
        secrets = {value for value in theirs - shown if value.strip() and not _stands_in(value, today)}
        long = {spelling for value in secrets if len(value) >= SHORTEST for spelling in _spellings(value)}
        self._values = sorted(long, key=lambda value: (-len(value), value))
        # There may be thousands of values, and texts of megabytes: a text is read once for all of them.
        self._by_head: dict[str, list[int]] = defaultdict(list)
        for rank, value in enumerate(self._values):
            self._by_head[value[:SHORTEST]].append(rank)
        self._short = _alternatives(value for value in secrets if len(value) < SHORTEST)
        self._pieces = Pieces(
            (value for value in self._values if len(value) >= LEAST), (today, *shown, *_sources(search))
        )

    def exhibit(self, exhibit: Exhibit) -> Exhibit:
        """The same exhibit without anything of the held-out cases."""
        if not self._values and not self._short:
            return exhibit
        case, rollout = exhibit.case, exhibit.rollout
        return Exhibit(
            replace(case, source=self.cut(case.source)),
            replace(
                rollout,
                trajectory=rewrite_trajectory(rollout.trajectory, self.cut),
                feedback=self.cut(rollout.feedback),
            ),
        )

    def cut(self, text: str) -> str:
        """The text without anything of the held-out cases."""
        heads = {text[at : at + SHORTEST] for at in range(len(text) - SHORTEST + 1)}
        for rank in sorted(rank for head in heads & self._by_head.keys() for rank in self._by_head[head]):
            text = text.replace(self._values[rank], HELD_OUT)
        text = self._pieces.replace(text, HELD_OUT)
        return self._without_short(text) if self._short else text

    def _without_short(self, text: str) -> str:
        if re.fullmatch(self._short, text.strip()):
            return HELD_OUT
        text = re.sub(rf"""(["'])(?:{self._short})\1""", rf"\1{HELD_OUT}\1", text)
        if HELD_OUT not in text:
            return text
        whole = re.compile(rf"(?<![\w.])(?:{self._short})(?![\w.])")
        lines = text.split("\n")
        return "\n".join(whole.sub(HELD_OUT, line) if HELD_OUT in line else line for line in lines)


def _values(cases: Iterable[Case]) -> Iterator[str]:
    """What belongs to a case: its name and id, the values of its parameters, the sentences in its test."""
    for case in cases:
        name = case.nodeid.rsplit("::", 1)[-1]
        function, _, label = name.partition("[")
        yield from (case.nodeid, name, function)
        if len(label) > SHORTEST:  # a short one may be pytest's count
            yield label.removesuffix("]")
        for _, shown in case.parameters:
            if shown not in _EVERYBODYS:
                yield shown
                yield from literals(shown)
        yield from filter(_tells, _strings(case.source))


def _strings(source: str) -> list[str]:
    """The string literals of a test function, its docstring too."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def _tells(text: str) -> bool:
    """Whether a string is likely nobody else's: the names of fields and files are everybody's."""
    return len(text.split()) >= _WORDS_THAT_TELL or len(text) >= LEAST


def _sources(cases: Iterable[Case]) -> list[str]:
    return sorted({case.source for case in cases})


def _spellings(value: str) -> set[str]:
    """A value as it is, and as Python and JSON write it inside quotes."""
    written = (repr(value), json.dumps(value), json.dumps(value, ensure_ascii=False))
    return {value, *(one[1:-1] for one in written)}


def _stands_in(value: str, text: str) -> bool:
    return value in text and re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text) is not None


def _alternatives(values: Iterable[str]) -> str:
    return "|".join(re.escape(value) for value in sorted(values))


def _numbers(cases: Iterable[Case]) -> list[dict[int, str]]:
    """For each parameter that numbers the cases of its test function from 0 on, their splits by number."""
    by_parameter: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    for case in cases:
        for name, shown in case.parameters:
            if shown.isdecimal():
                by_parameter[case.id.partition("[")[0], name][int(shown)] = case.split
    return [splits for splits in by_parameter.values() if splits.keys() == set(range(len(splits)))]
