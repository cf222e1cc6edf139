"""What the checks of failing cases state, read without a model: values that they want, statements that did not hold."""

from __future__ import annotations

import ast
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pytest_gepa.prompts.pairs import READS_JSON
from pytest_gepa.prompts.python_source import parse_expression, parse_module, plain_value
from pytest_gepa.reflect.failure import read_failure
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.suite.rollout import Case

_TRIED = 40
"""Lines of a failure that are looked at."""


@dataclass(frozen=True, slots=True)
class Series:
    """The texts that all search cases of one test want in one place: the answer, or the `field` of a JSON object.

    `got` are those that failing cases had there instead; `failing` is the number of these cases.
    """

    field: str
    wanted: tuple[str, ...]
    got: tuple[str, ...]
    failing: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """`got` is what a failing case had, `wanted` what it was compared to."""

    exhibit: Exhibit
    got: object
    wanted: object


def statements(exhibit: Exhibit) -> Iterator[ast.expr]:
    """The conditions of the asserts that failed, as they stand in the test; of `a and b` each."""
    for line in _said(exhibit):
        if line.startswith("> "):
            for node in ast.walk(parse_module(line[2:].strip()) or ast.Module([], [])):
                if isinstance(node, ast.Assert):
                    yield from node.test.values if isinstance(node.test, ast.BoolOp) else [node.test]


def members(exhibit: Exhibit) -> tuple[str, ...]:
    """The texts among which a failing case looked for its value in vain, as pytest shows them."""
    for compared in _introspected(exhibit):
        if isinstance(compared.ops[0], ast.In):
            found = plain_value(compared.comparators[0])
            if isinstance(found, (tuple, list, set, frozenset, dict)) and all(
                isinstance(one, str) for one in found
            ):
                return tuple(sorted(found))
    return ()


def comparisons(exhibits: Iterable[Exhibit]) -> list[Comparison]:
    """What failing cases had and what they wanted: their asserts say so, or an answer was to be read as JSON and is no
    object, and then the one object among the case's parameters is what is wanted.
    """
    found = []
    for exhibit in exhibits:
        parameters = [value for _, value in _parameters(exhibit.case)]
        for compared in _introspected(exhibit):
            left, right = plain_value(compared.left), plain_value(compared.comparators[0])
            if not isinstance(compared.ops[0], ast.Eq) or left is None or right is None:
                continue
            is_turned = left in parameters and right not in parameters
            found.append(Comparison(exhibit, *((right, left) if is_turned else (left, right))))
            break
        else:
            objects = [value for value in parameters if isinstance(value, dict)]
            if len(objects) == 1 and wants_json(exhibit) and not isinstance(answer_object(exhibit), dict):
                found.append(Comparison(exhibit, None, objects[0]))
    return found


def wants_json(exhibit: Exhibit) -> bool:
    """Whether the check of a case reads JSON."""
    return bool(READS_JSON.search(exhibit.case.source)) or (
        "JSONDecodeError" in exhibit.rollout.trajectory.failure
    )


def series(compared: Sequence[Comparison], cases: Sequence[Case]) -> list[Series]:
    """The texts that search cases want where these failing ones had others, by the parameter that holds them."""
    found: list[Series] = []
    for source in dict.fromkeys(one.exhibit.case.source for one in compared):
        mine = [one for one in compared if one.exhibit.case.source == source]
        names = Counter(
            name for one in mine for name, value in _parameters(one.exhibit.case) if value == one.wanted
        )
        if not names:
            continue
        name = names.most_common(1)[0][0]
        every = [
            value
            for case in cases
            if case.source == source
            for parameter, value in _parameters(case)
            if parameter == name
        ]
        objects = [value for value in every if isinstance(value, dict)]
        if len(objects) == len(every):
            for field in keys(objects):
                pairs = [
                    (one.got.get(field) if isinstance(one.got, dict) else None, one.wanted[field])
                    for one in mine
                    if isinstance(one.wanted, dict) and field in one.wanted
                ]
                found.append(_series(field, [value[field] for value in objects], pairs))
        else:
            field = _field(mine)
            found.append(_series(field, every, [(one.got, one.wanted) for one in mine]))
    return [one for one in found if one.wanted and one.failing]


def keys(objects: Sequence[object]) -> tuple[str, ...]:
    """The keys that all of these dicts have, () where they differ or one is none."""
    found = [tuple(one) for one in objects if isinstance(one, dict) and all(isinstance(k, str) for k in one)]
    same = bool(found) and len(found) == len(objects) and all(set(one) == set(found[0]) for one in found)
    return found[0] if same else ()


def answer_object(exhibit: Exhibit) -> object:
    """The answer of a run as JSON, None where it is none."""
    try:
        return json.loads(exhibit.rollout.trajectory.answer)
    except (ValueError, RecursionError):
        return None


def _series(field: str, every: Sequence[object], pairs: Sequence[tuple[object, object]]) -> Series:
    different = [(got, wanted) for got, wanted in pairs if got != wanted]
    wanted = tuple(one for one in every if isinstance(one, str))
    return Series(
        field,
        wanted if len(wanted) == len(every) else (),
        tuple(got for got, _ in different if isinstance(got, str)),
        len(different),
    )


def _field(compared: Sequence[Comparison]) -> str:
    """The field of the answer, as a JSON object, that was compared: the first that always has the value in question."""
    answers = [(answer_object(one.exhibit), one.got) for one in compared]
    fields = [
        {key for key, value in answer.items() if value == got} if isinstance(answer, dict) else set()
        for answer, got in answers
    ]
    return min(set.intersection(*fields), default="") if fields else ""


def _said(exhibit: Exhibit) -> list[str]:
    return read_failure(exhibit.rollout.trajectory.failure).said.split("\n")[:_TRIED]


def _introspected(exhibit: Exhibit) -> Iterator[ast.Compare]:
    """The comparisons that pytest shows with their values: `assert 'x' == 'billing'`."""
    for line in read_failure(exhibit.rollout.trajectory.failure).printed.split("\n")[:_TRIED]:
        _, word, shown = line.partition("assert ")
        found = parse_expression(shown.strip()) if word else None
        if isinstance(found, ast.Compare) and len(found.ops) == 1:
            yield found


def _parameters(case: Case) -> list[tuple[str, object]]:
    found = []
    for name, shown in case.parameters:
        value = plain_value(shown.strip())
        if value is not None:
            found.append((name, value))
    return found
