"""What the checks of failing cases state, read without a model: the values that they want."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from pytest_gepa.prompts.python_source import plain_value
from pytest_gepa.reflect.checks import checks
from pytest_gepa.reflect.failure import read_failure
from pytest_gepa.reflect.json_reading import reading
from pytest_gepa.reflect.places import Path, answer_object, field, is_answer, is_earlier, names, places
from pytest_gepa.reflect.source import UNKNOWN, arguments, origins
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.suite.rollout import Case
from pytest_gepa.wording import listed

MOST_LABELS = 20
_LABEL = re.compile(r"(?=.*\S)[^\n`]{1,60}")
_NO_JSON = ("JSONDecodeError", "Invalid JSON")
"""What json and pydantic say of a text that is none."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule for a prompt, and the reason for it in words."""

    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Series:
    """The texts that all search cases of one test want in one place: the answer, or a field of a JSON object, of which
    `subject` speaks (`The value of ...`).

    `is_alone` is whether such a text is all of an answer. `got` are those that failing cases had there instead;
    `failing` is the number of these cases.
    """

    subject: str
    is_alone: bool
    wanted: tuple[str, ...]
    got: tuple[str, ...]
    failing: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """`got` is what a failing case had, `wanted` what it was compared to."""

    exhibit: Exhibit
    got: object
    wanted: object


class Tests:
    """What is told of each test by its cases: how many there are, and which parameters are not the same in all.

    `cases` are all search cases; failing ones may not be among them.
    """

    def __init__(self, failing: Iterable[Exhibit], cases: Iterable[Case]) -> None:
        self._number: Counter[str] = Counter()
        self._values: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        every = {case.id: case for case in (*cases, *(one.case for one in failing))}
        for case in every.values():
            self._number[case.source] += 1
            for name, value in case.parameters:
                self._values[case.source, name].add(value)

    def is_single(self, case: Case) -> bool:
        """Whether the test of a case has no other one, so that what it looks for may be this case's own."""
        return self._number[case.source] < 2

    def is_shared(self, node: ast.expr, case: Case) -> bool:
        """Whether an expression in the test of a case is of the test, so that no case has another value there."""
        named, given = dict(case.parameters), arguments(case.source)
        found = origins(node, case.source)
        own = {name for name in found if len(self._values[case.source, name]) > 1}
        return not own and UNKNOWN not in found and all(name in named for name in found & given)


def comparisons(exhibits: Iterable[Exhibit]) -> list[Comparison]:
    """What failing cases had and what they wanted: their asserts say so, or an answer was to be read as JSON and is no
    object, and then the one object among the case's parameters is what is wanted.
    """
    found = []
    for exhibit in exhibits:
        own = dict(parameters(exhibit.case))
        for compared in filter(None, (check.compared for check in checks(exhibit))):
            left, right = plain_value(compared.left), plain_value(compared.comparators[0])
            if not isinstance(compared.ops[0], ast.Eq) or left is None or right is None:
                continue
            is_turned = left in own.values() and right not in own.values()
            found.append(Comparison(exhibit, *((right, left) if is_turned else (left, right))))
            break
        else:
            how = reading(exhibit.case)
            objects = [own[name] for name in (*how.equal, *how.inside) if isinstance(own.get(name), dict)]
            if len(objects) == 1 and wants_json(exhibit) and not answer_object(exhibit):
                found.append(Comparison(exhibit, None, objects[0]))
    return found


def wants_json(exhibit: Exhibit) -> bool:
    """Whether the check of a case reads JSON."""
    how = reading(exhibit.case)
    return not how.is_divided and (how.is_json or found_no_json(exhibit))


def found_no_json(exhibit: Exhibit) -> bool:
    """Whether a case failed as what it read was no JSON."""
    said = printed(exhibit)  # an `except` around it names the error, too
    return any(words in said for words in _NO_JSON)


def printed(exhibit: Exhibit) -> str:
    """What the check of a case printed."""
    return read_failure(exhibit.rollout.trajectory.failure).printed


def series(compared: Sequence[Comparison], cases: Sequence[Case]) -> list[Series]:
    """The texts that search cases want where these failing ones had others, by the parameter that holds them."""
    found: list[Series] = []
    for source in dict.fromkeys(one.exhibit.case.source for one in compared):
        mine = [one for one in compared if one.exhibit.case.source == source]
        named = Counter(name for one in mine for name, value in parameters(one.exhibit.case) if value == one.wanted)
        if not named:
            continue
        name = named.most_common(1)[0][0]
        own = [dict(parameters(case)) for case in cases if case.source == source]
        every = [values[name] for values in own if name in values]
        objects = [value for value in every if isinstance(value, dict)]
        if len(objects) == len(every):
            found += _fields(mine, objects)
        elif (place := _place(mine)) is not None:
            found.append(_series(*place, every, [(one.got, one.wanted) for one in mine]))
    return [one for one in found if one.wanted and one.failing]


def _fields(mine: Sequence[Comparison], objects: Sequence[dict[object, object]]) -> Iterator[Series]:
    """The texts of each key that all of the objects have which are wanted."""
    answers = [(answer, one.got) for one in mine if (answer := answer_object(one.exhibit))]
    for key in keys(objects):
        if answers and not any(key in answer or got == answer for answer, got in answers):
            continue  # the application has named it
        if not answers and not any(wants_json(one.exhibit) or names(one.exhibit, key) for one in mine):
            continue
        pairs = [
            (one.got.get(key) if isinstance(one.got, dict) else None, one.wanted[key])
            for one in mine
            if isinstance(one.wanted, dict) and key in one.wanted
        ]
        yield _series(field((key,)), False, [value[key] for value in objects], pairs)


def _place(mine: Sequence[Comparison]) -> tuple[str, bool] | None:
    """Where in their answers these cases had what was compared: a field in words, else "", and whether it was the whole
    answer. None where it is nowhere, in an earlier answer too, or in an object and not always in the same place.
    """
    if any(one.wanted in call.tools for one in mine for call in one.exhibit.rollout.trajectory.calls):
        return None  # the name of a tool, which is no answer
    paths, is_alone, is_known = list[list[Path]](), True, False
    for one in mine:
        exhibit = one.exhibit
        if not exhibit.rollout.trajectory.answer.strip() and not answer_object(exhibit):
            is_known = True  # it was not seen: nothing speaks against it
        elif is_answer(exhibit, one.got):
            is_known = True
        elif is_earlier(exhibit, one.got) or is_earlier(exhibit, one.wanted):
            return None  # another prompt may have been answered with it
        elif answer := answer_object(exhibit):
            paths.append(list(places(answer, one.got)))
        elif names(exhibit, one.got) or names(exhibit, one.wanted):
            is_known, is_alone = True, False
    if paths:
        somewhere = [found for found in paths if found]  # elsewhere it is what stands for a missing one
        common = [path for path in somewhere[0] if all(path in found for found in somewhere)] if somewhere else []
        return (field(min(common, key=lambda path: (len(path), path))), False) if common else None
    return ("", is_alone) if is_known else None


def are_labels(texts: Collection[str]) -> bool:
    """Whether texts may be the labels of which an answer is one: some, and each short."""
    return 2 <= len(texts) <= MOST_LABELS and all(_LABEL.fullmatch(text) for text in texts)


def exactly_one_of(labels: Sequence[str], subject: str = "", is_alone: bool = True) -> str:
    """The rule that the answer, or what `subject` speaks of, is one of these labels."""
    start = f"{subject} is" if subject else "Answer with"
    end = ", and nothing else." if is_alone and not subject else "."
    return f"{start} exactly one of {listed(labels)}, spelt as here{end}"


def keys(objects: Sequence[object]) -> tuple[str, ...]:
    """The keys that all of these dicts have, () where they differ or one is none."""
    found = [tuple(one) for one in objects if isinstance(one, dict) and all(isinstance(k, str) for k in one)]
    same = bool(found) and len(found) == len(objects) and all(set(one) == set(found[0]) for one in found)
    return found[0] if same else ()


def parameters(case: Case) -> list[tuple[str, object]]:
    """The parameters of a case that are plain data, with their values."""
    found = []
    for name, shown in case.parameters:
        value = plain_value(shown.strip())
        if value is not None:
            found.append((name, value))
    return found


def _series(subject: str, is_alone: bool, every: Sequence[object], pairs: Sequence[tuple[object, object]]) -> Series:
    different = [(got, wanted) for got, wanted in pairs if got != wanted]
    wanted = tuple(one for one in every if isinstance(one, str))
    return Series(
        subject,
        is_alone,
        wanted if len(wanted) == len(every) else (),
        tuple(got for got, _ in different if isinstance(got, str)),
        len(different),
    )
