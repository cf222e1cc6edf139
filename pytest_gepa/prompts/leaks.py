"""Leaks: what an edited text has from the cases that are to judge it. Plain strings in, a reason out.

A fragment of a case's strings is a leak when it tells that case from others:

- a run of `RUN` words, `TELLING` of them telling; of one word less if that is a whole string of the case; of
  `LONG_RUN` words with a single telling one; of `DENSE` words if two of them bear `DIGITS` digits between them, as
  those of a date do;
- a number of four significant digits, or of three with a decimal mark, or of five places, but no year;
- a code: letters and digits together, groups of digits, an address of mail or web; the number in one alone;
- a name: two capitalised words in a row that nothing spells without capitals.

What stands in today's prompts may stay, and what `SHARED` search cases have may be named, as labels must be. Of
held-out cases, which no model is shown, a run of `HELD_OUT_RUN` words and a number of three digits are leaks already,
however many of them share it, unless a search case has it too. What was taken whole from a case as an example is let
off for that case alone.
"""

from __future__ import annotations

import ast
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_gepa.prompts import fragments
from pytest_gepa.prompts.given import Today, as_words, in_order
from pytest_gepa.prompts.python_source import name_of, parse_expression, parse_module
from pytest_gepa.prompts.reasons import MOST_REASONS

RUN = 6
TELLING = 3
LONG_RUN = 8
DENSE = 3
DIGITS = 5
HELD_OUT_RUN = 4
SHARED = 3

LONGEST = 40_000
"""Characters of one string of a case that are looked at: its beginning and its end."""

_SHOWN = 80
_EXPLAINS = frozenset({"msg", "message", "reason", "feedback", "name", "id", "ids", "match"})
"""Keyword arguments whose strings explain a check; a rule may well say what they say."""

_TELLS = frozenset({"fail", "skip", "xfail", "log", "print", "warn", "info", "debug", "getLogger", "raises", "open"})
"""Functions whose strings are no part of a case."""


@dataclass(frozen=True, slots=True)
class CaseText:
    """One case as plain strings: the values of its parameters and the literal strings of its test.

    `pair` is what it gives, "" where that is not known, and the JSON that it wants; None for a case that wants none.
    `no_answers` are strings of it that are no expected answer, as its test rules them out.
    """

    case: str
    values: tuple[str, ...]
    is_held_out: bool = False
    pair: tuple[str, str] | None = None
    no_answers: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Index:
    """Which cases have a fragment: bit sets over the cases' positions. `joined` holds each case's words."""

    words: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    names: dict[tuple[str, str], int] = field(default_factory=dict)
    wholes: dict[str, int] = field(default_factory=dict)
    joined: list[str] = field(default_factory=list)
    uncapitalised: set[str] = field(default_factory=set)


class Leaks:
    """The cases' strings, and the texts of today, in which nothing is a leak. Safe to ask from several threads."""

    def __init__(self, cases: Sequence[CaseText], today: Iterable[str]) -> None:
        self._cases = tuple(cases)
        self._position = {case.case: position for position, case in enumerate(self._cases)}
        self._held_out = sum(1 << at for at, case in enumerate(self._cases) if case.is_held_out)
        searched = len(self._cases) - self._held_out.bit_count()
        self._shared = max(2, min(SHARED, searched))
        self._today = Today(tuple(today))
        self._inputs: Mapping[str, tuple[str, ...]] = {}
        self._shared_inputs: Mapping[str, tuple[str, ...]] = {}
        self._lock = threading.Lock()
        self._index: _Index | None = None

    def learn(self, inputs: Mapping[str, Sequence[str]], shared: Mapping[str, Sequence[str]] | None = None) -> None:
        """Note what each case was seen to send to a model, in order; `shared` is what a fixture sent for several cases,
        of which nobody knows which of them it is the input of. Takes the place of what was learnt before.
        """
        with self._lock:
            self._inputs = {case: tuple(texts) for case, texts in inputs.items()}
            self._shared_inputs = {case: tuple(texts) for case, texts in (shared or {}).items()}
            self._index = None

    def find(self, text: str, examples: Collection[str] = ()) -> str | None:
        """Return why `text` leaks a case, or None. `examples` are the cases that were taken into it whole. Of several
        fragments the first few are told.
        """
        exempt = sum(1 << self._position[case] for case in set(examples) if case in self._position)
        with self._lock:
            # Built when it is first asked for: of a large suite that takes a second or more.
            index = self._index = self._index or self._built()
        found = [repr(fragment[:_SHOWN]) for fragment in _first_few(self._found(index, text, exempt))]
        if not found:
            return None
        told = found[0] if len(found) == 1 else f"each of {', '.join(found)}"
        return (
            f"leak: {told} belongs to one case, and no other case can profit from it; say in general words what "
            "holds for every input"
        )

    def holds_input(self, text: str, case: str) -> bool:
        """Whether `text` holds the case's input word for word: what it sent to a model first, or what of its strings it
        sent at all. Where nothing is known of that, the longest of its strings is its input.
        """
        given = as_words(text)
        sent, _, first = self._parts(case)
        return bool(first.strip() and first in given) or (bool(sent) and all(part in given for part in sent))

    def is_whole(self, text: str, case: str) -> bool:
        """Whether `text` holds the case's input, and something of its other strings, as the expected answer is."""
        given = as_words(text)
        _, others, _ = self._parts(case)
        return self.holds_input(text, case) and (not others or any(part in given for part in others))

    def pair(self, case: str) -> tuple[str, str] | None:
        """The case's input and its expected answer, as they are written, None where it is not plain which they are.

        It is where the case has a single string that it does not send, or wants a JSON object that it does not send.
        The input is never a prompt that it was filled in to: of that only the case's own strings are.
        """
        inputs = self._inputs.get(case, ())
        position = self._position.get(case)
        if not inputs or position is None:
            return None
        sent, others, _ = self._parts(case)
        known = self._cases[position].pair
        if known is not None:
            given, wanted = known
            if wanted in inputs[0]:
                return None
            if given.strip() and as_words(given) in as_words(inputs[0]):
                return given.strip(), wanted
            expected = as_words(wanted)
            told = self._told(case, [part for part in sent if part not in expected])
            return (told, wanted) if told else None
        if len(others) != 1:
            return None
        values = self._values(case)
        if values[others[0]] in self._cases[position].no_answers:
            return None
        told = values[sent[0]].strip() if len(sent) == 1 else self._told(case, sent)
        return (told, values[others[0]].strip()) if told else None

    def _told(self, case: str, sent: Sequence[str]) -> str:
        """What a case gives: what it sent first, or where that is a prompt filled in, its strings in their order, each
        on a line of its own. "" where it has none.
        """
        first = self._inputs[case][0]
        if not self._today.is_filled_in(as_words(first)):
            return first.strip()
        values = self._values(case)
        return "\n".join(values[part].strip() for part in in_order(as_words(first), sent))

    def _values(self, case: str) -> dict[str, str]:
        return {as_words(value): value for value in self._cases[self._position[case]].values}

    def _parts(self, case: str) -> tuple[list[str], list[str], str]:
        """The strings of a case that it sent, its others, and what it sent first, each as words.

        What stands in today's prompts, as a label may, was not sent by the case where one of them was filled in.
        """
        position = self._position.get(case)
        values = self._cases[position].values if position is not None else ()
        own = [part for value in values if (part := as_words(value)).strip()]
        inputs = [as_words(one) for one in self._sent_by(case)]
        sent = [part for part in own if any(part in one for one in inputs)]
        new = [part for part in sent if part not in self._today.joined]
        if any(map(self._today.is_filled_in, inputs)):
            sent = new or sent
        if not inputs and own:
            sent = [max(own, key=len)]
        first = inputs[0] if self._inputs.get(case) else ""
        return sent, [part for part in own if part not in sent], first

    def _sent_by(self, case: str) -> tuple[str, ...]:
        return (*self._inputs.get(case, ()), *self._shared_inputs.get(case, ()))

    def _built(self) -> _Index:
        index = _Index(uncapitalised=set(self._today.uncapitalised))
        for position, case in enumerate(self._cases):
            strings = dict.fromkeys(map(_cut, (*case.values, *self._sent_by(case.case))))
            text = f"\n{fragments.BREAK}\n".join(strings)
            listed = fragments.words(text)
            index.joined.append(fragments.joined(listed))
            index.uncapitalised |= fragments.uncapitalised(text)
            _mark(index.words, set(listed), position)
            _mark(index.numbers, {*fragments.numbers(text), *fragments.numbers_in_codes(text)}, position)
            _mark(index.codes, fragments.codes(text), position)
            _mark(index.names, set(fragments.names(text)), position)
            _mark(index.wholes, {fragments.joined(fragments.words(value)) for value in strings}, position)
        return index

    def _found(self, index: _Index, text: str, exempt: int) -> Iterator[str]:
        """Yield the fragments of `text` that are leaks."""
        today, listed = self._today, fragments.words(text)
        yield from self._runs(index, fragments.dense_runs(listed, DENSE, DIGITS), exempt)
        yield from self._runs(index, fragments.runs(listed, RUN, TELLING), exempt)
        yield from self._runs(index, fragments.runs(listed, LONG_RUN, 1), exempt)
        for code in sorted(fragments.codes(text) - today.codes):
            if self._is_own(index.codes.get(code, 0), exempt):
                yield code
        for number, is_long in fragments.numbers(text).items():
            if number not in today.numbers and self._is_own(index.numbers.get(number, 0), exempt, is_long):
                yield number
        for name in fragments.names(text):
            is_name = not index.uncapitalised.intersection(name) and not today.words.issuperset(name)
            if is_name and self._is_own(index.names.get(name, 0), exempt):
                yield " ".join(name)
        for run in fragments.runs(listed, RUN - 1, TELLING):
            whole = fragments.joined(list(run))
            # Today's prompts may be long, and hardly any run of words is all that a case says.
            if self._is_own(index.wholes.get(whole, 0), exempt) and whole not in today.joined:
                yield whole.strip()
        if self._held_out:
            strict = fragments.runs(listed, HELD_OUT_RUN, TELLING)
            yield from self._runs(index, strict, exempt, is_long=False)

    def _runs(
        self, index: _Index, found: Iterable[tuple[str, ...]], exempt: int, is_long: bool = True
    ) -> Iterator[str]:
        for run in found:
            cases = -1
            for word in run:
                cases &= index.words.get(word, 0)
            phrase = fragments.joined(list(run))
            if cases and phrase not in self._today.joined:
                holding = sum(1 << at for at in _positions(cases) if phrase in index.joined[at])
                if self._is_own(holding, exempt, is_long):
                    yield phrase.strip()

    def _is_own(self, cases: int, exempt: int, is_long: bool = True) -> bool:
        """Whether what these cases have tells one of them from others.

        What is too short for a search case (`is_long` is false) tells a held-out one all the same.
        """
        searched = cases & ~self._held_out
        if not searched:
            return bool(cases)
        return is_long and searched.bit_count() < self._shared and not searched & exempt


def case_values(parameters: Iterable[tuple[str, str]], source: str) -> tuple[str, ...]:
    """Return the strings of a case: those in the reprs of its parameters, and the literals of its test function.

    `source` is the function's, without decorators. What only explains a check is left out: docstrings, messages of
    assertions, feedback.
    """
    values = [value for _, shown in parameters for value in literals(shown) or [shown]]
    return tuple(dict.fromkeys([*values, *_strings_of_test(source)]))


def literals(shown: str) -> list[str]:
    """Return the strings and numbers inside a repr of plain data or of a record; none for another object's."""
    tree = parse_expression(shown)
    if tree is None:
        return []
    return [
        str(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, (str, int, float))
        and not isinstance(node.value, bool)
    ]


def _strings_of_test(source: str) -> list[str]:
    tree = parse_module(source)
    if tree is None:
        return []
    found: list[str] = []
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
        waiting += reversed(list(_told_children(node)))
    return found


def _told_children(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of a node that may hold what a case is made of."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return  # a docstring, or a string that stands for a comment
    if isinstance(node, ast.Assert):
        yield node.test
    elif isinstance(node, ast.Call) and name_of(node.func) in _TELLS:
        return
    elif isinstance(node, ast.Call):
        is_key = isinstance(node.func, ast.Attribute) and node.func.attr == "get"
        yield from (
            node.func,
            *node.args[is_key:],
            *(word.value for word in node.keywords if word.arg not in _EXPLAINS),
        )
    elif isinstance(node, ast.Subscript):
        yield node.value  # a key names a part of the answer
    elif not isinstance(node, (ast.Raise, ast.arguments)):
        yield from ast.iter_child_nodes(node)


def _first_few(found: Iterable[str]) -> list[str]:
    """The first few fragments, without those that an earlier one tells: runs of one sentence share most words."""
    kept: list[str] = []
    known: list[set[str]] = []
    for fragment in found:
        said = set(fragments.words(fragment))
        alike = next((words for words in known if 2 * len(words & said) > len(said)), None)
        if alike is not None:
            alike |= said  # so the next run of the sentence is known too
            continue
        kept.append(fragment)
        known.append(said)
        if len(kept) == MOST_REASONS:
            break
    return kept


def _cut(text: str) -> str:
    half = LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]}{fragments.BREAK}{text[-half:]}"


def _mark(table: dict[fragments.Key, int], keys: Iterable[fragments.Key], position: int) -> None:
    for key in keys:
        table[key] = table.get(key, 0) | 1 << position


def _positions(cases: int) -> Iterator[int]:
    while cases:
        lowest = cases & -cases
        yield lowest.bit_length() - 1
        cases ^= lowest
