"""What belongs to whom: texts that held-out cases have, and those that may be shown as search cases have them too."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from itertools import pairwise
from typing import NamedTuple

from pytest_gepa.prompts.leaks import literals
from pytest_gepa.prompts.python_source import parse_module
from pytest_gepa.reflect.datafiles import data_nodes
from pytest_gepa.reflect.parametrized import positioned
from pytest_gepa.reflect.tables import Table, Texts, beside, identifies, numbered, python_nodes, tables, whole
from pytest_gepa.suite.rollout import Case, function_of
from pytest_gepa.suite.sources import Source
from pytest_gepa.suite.values import tells
from pytest_gepa.trace.redact import REDACTED

SHORTEST_LABEL = 5
"""Fewer characters may be pytest's own count."""

_EVERYBODYS = ("True", "False", "None", "Ellipsis")
_PAIR = 2
_LEAST_LEFT = 4


class Belongings(NamedTuple):
    """The texts of held-out cases, and those of search cases.

    `words` are those of the held-out cases' that only stand in their rows, and are words of any language or program.
    `own` are those of search cases less the reprs of their parameters: an object's may show what all cases have.
    """

    theirs: Texts
    shown: Texts
    words: Texts
    own: Texts

    def with_redacted(self, redact: Callable[[str], str]) -> Belongings:
        """The same with what is left of each text without its secrets: no more of it is printed and logged."""
        theirs = _redacted(self.theirs, redact)
        if not theirs:
            return self
        own = _redacted(self.own, redact)
        shown = own | _redacted(self.shown - self.own, redact)
        return Belongings(self.theirs | theirs, self.shown | shown, self.words, self.own | own)


class _File(NamedTuple):
    source: Source
    tables: list[Table]


def belongings(cases: Sequence[Case], sources: Iterable[Source], texts: Mapping[str, Sequence[str]]) -> Belongings:
    """What the cases have by themselves, and what stands in their rows in the sources.

    `texts` are those in the values of their parameters, by case id. A word that a row of a held-out case has is not
    theirs where a text of a search case has it too.
    """
    search, held = ([case for case in cases if case.split == split] for split in ("search", "holdout"))
    own_texts, theirs = (_with_stripped([*_values(one), *_texts_of(one, texts)]) for one in (search, held))
    shown = own_texts | _with_stripped(_reprs(search))
    theirs |= _with_stripped(_reprs(held))
    if not held:
        return Belongings(frozenset(theirs), frozenset(shown), frozenset(), frozenset(own_texts))
    sources = list(sources)
    files = [_File(source, _tables(source)) for source in sources]
    rows, rows_shown = positioned([one for one in sources if one.suffix == ".py"], cases)
    theirs_beside, shown_beside = set(rows), set(rows_shown)
    for splits in _numbers(cases):
        for split, found in (("holdout", theirs_beside), ("search", shown_beside)):
            chosen = [at for at, its in splits.items() if its == split]
            for file in files:
                found |= numbered(file.tables, len(splits), chosen)
    labels, labels_shown = set(_labels(held)), set(_labels(search))
    all_theirs, all_shown = theirs | theirs_beside | labels, shown | shown_beside | labels_shown
    own, other = all_theirs - all_shown, all_shown - all_theirs
    for file in files:
        theirs_beside |= _in_file(file, own, other)
        shown_beside |= _in_file(file, other, own)
    own_texts |= _with_stripped(shown_beside)
    shown |= own_texts
    theirs_beside = _with_stripped(theirs_beside) - theirs
    theirs_beside -= _ordinary(theirs_beside, [*shown, *_sources(search)])
    words = (text for text in theirs_beside if text.isascii() and text.isalpha() and not tells(text))
    return Belongings(frozenset(theirs | theirs_beside), frozenset(shown), frozenset(words), frozenset(own_texts))


def _with_stripped(texts: Iterable[str]) -> set[str]:
    """The texts, also without blanks at their ends: those of a line that was read from a file are seldom printed."""
    return {form for text in texts for form in (text, text.strip()) if form}


def _redacted(texts: Iterable[str], redact: Callable[[str], str]) -> set[str]:
    """What is left of those texts that have secrets, where it may still be known."""
    pairs = ((text, redact(text)) for text in texts)
    return {
        left
        for text, left in pairs
        if left != text and sum(map(str.isalnum, left.replace(REDACTED, ""))) >= _LEAST_LEFT
    }


def _texts_of(cases: Iterable[Case], texts: Mapping[str, Sequence[str]]) -> Iterator[str]:
    return (text for case in cases for text in texts.get(case.id, ()))


def _values(cases: Iterable[Case]) -> Iterator[str]:
    """What belongs to a case: its name and id, the values of its parameters, the sentences in its test."""
    for case in cases:
        name = case.nodeid.rsplit("::", 1)[-1]
        yield from (case.nodeid, name, name.partition("[")[0])
        for value in _reprs([case]):
            yield from literals(value)
        yield from filter(tells, _strings(case.source))
    yield from (label for label in _labels(cases) if len(label) >= SHORTEST_LABEL)


def _reprs(cases: Iterable[Case]) -> Iterator[str]:
    return (value for case in cases for _, value in case.parameters if value not in _EVERYBODYS)


def _labels(cases: Iterable[Case]) -> Iterator[str]:
    """What stands for the parameters in a case's id, also as it was before pytest wrote it in ASCII."""
    for case in cases:
        label = case.nodeid.rsplit("::", 1)[-1].partition("[")[2].removesuffix("]")
        if label and not label.isdecimal():
            yield label
        if "\\" in label:
            try:
                yield label.encode("ascii").decode("unicode_escape")
            except UnicodeError:
                continue


def _strings(source: str) -> list[str]:
    """The string literals of a test function, its docstring too."""
    tree = parse_module(source)
    if tree is None:
        return []
    return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def _sources(cases: Iterable[Case]) -> list[str]:
    return sorted({case.source for case in cases})


def _numbers(cases: Iterable[Case]) -> list[dict[int, str]]:
    """For each parameter that numbers the cases of its test function from 0 on, their splits by number."""
    by_parameter: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    for case in cases:
        for name, value in case.parameters:
            if value.isdecimal():
                by_parameter[function_of(case.id), name][int(value)] = case.split
    return [splits for splits in by_parameter.values() if splits.keys() == set(range(len(splits)))]


def _tables(source: Source) -> list[Table]:
    """The tables of a file; a record that is a whole document is the only row of one."""
    if source.suffix == ".py":
        return tables(python_nodes(source.text))
    nodes = data_nodes(source.suffix, source.text)
    return [*tables(nodes), *(whole(node) for node in nodes if node.kind == "dict")]


def _in_file(file: _File, own: Set[str], other: Set[str]) -> Texts:
    """What a file has in rows that are `own`'s; all of it where it is called like one of them."""
    source = file.source
    found = beside(file.tables, own, other, is_strict=not source.is_test)
    if _is_named_for(source, own) and not _is_named_for(source, other):
        texts = (row.texts for table in file.tables for row in table.rows)
        found = frozenset([source.text, source.text.strip()]).union(found, *texts)
    return found


def _is_named_for(source: Source, values: Set[str]) -> bool:
    return any(name in values and identifies(name) for name in source.names)


def _ordinary(candidates: Set[str], texts: Iterable[str]) -> set[str]:
    """Those of the candidates that are a word or two, and stand in one of the texts."""
    by_words: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for candidate in candidates:
        words = tuple(re.findall(r"\w+", candidate))
        if 0 < len(words) <= _PAIR and not tells(candidate):
            by_words[words].append(candidate)
    found: set[str] = set()
    for text in texts:
        words = tuple(re.findall(r"\w+", text))
        for run in {*((word,) for word in words), *pairwise(words)} & by_words.keys():
            found.update(by_words.pop(run))
    return found
