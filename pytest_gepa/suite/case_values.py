"""Whether a case is the same one in every process that collects it: a sample without a seed, or a set, gives its
position to another row in each, and of two tests with one identity each process may take another."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pytest_gepa.codec import short_digest
from pytest_gepa.errors import SetupError
from pytest_gepa.suite.rollout import function_of
from pytest_gepa.wording import some

_GENERATED = re.compile(r"/|\\|\d|[0-9a-fA-F]{6}")
"""What a word has that may differ from process to process by nature: a path, a number, a date, an id."""


def values_digest(parameters: Mapping[str, object]) -> str:
    """Names the texts among a case's parameters, "" where there are none.

    Values of plain data alone count: other objects may say of themselves what is true of one process only. The first
    half names all of the texts, the second the prose among them, without words that look generated.
    """
    texts: list[str] = []
    for name, value in sorted(parameters.items()):
        if found := _texts(value):
            texts += [name, *found]
    if not texts:
        return ""
    # Word by word: a document without a blank is one word of a million characters.
    prose = [[word for word in text.split() if not _GENERATED.search(word)] for text in texts]
    return f"{_hash(texts)}.{_hash([' '.join(words) for words in prose if len(words) > 1])}"


def check_values(mine: Mapping[str, str], theirs: Mapping[str, str], names: Mapping[str, str]) -> None:
    """Raise `SetupError` if cases have other parameters in a child session (`theirs`) than here (`mine`), by case id.

    They have where the prose in them differs, or where what is one case's here is another's there. `names` are the
    nodeids of the cases here.
    """
    here: dict[str, set[str]] = {}
    for case, digest in mine.items():
        here.setdefault(function_of(case), set()).add(digest)
    other = [
        case
        for case, digest in theirs.items()
        if mine.get(case) and digest and digest != mine[case] and _is_other(digest, mine[case], here[function_of(case)])
    ]
    if not other:
        return
    raise SetupError(
        "cases differ from process to process: "
        f"{some([names.get(case, case) for case in other])}; their parameters change each time they are collected, so "
        "that no two runs of such a case can be compared; seed the sample (random.Random(0).sample), sort the set"
    )


def check_names(mine: Mapping[str, str], theirs: Mapping[str, str]) -> None:
    """Raise `SetupError` if cases are other tests in a child session (`theirs`) than here (`mine`).

    Both are nodeids by case id; a child session tells those of cases that share their identity with another test.
    """
    other = [mine[case] for case, name in theirs.items() if name != mine.get(case, name)]
    if not other:
        return
    raise SetupError(
        "several tests of one file have the same name, and another one would run for "
        f"{some(other)}; select the whole file, or give each of these tests a name of its own"
    )


def _is_other(theirs: str, mine: str, here: set[str]) -> bool:
    return theirs in here or theirs.partition(".")[2] != mine.partition(".")[2]


def _texts(value: Any) -> list[str] | None:
    """The texts in plain data, in order; None for anything else."""
    kind = type(value)
    if kind is str:
        return [value]
    if kind in (int, float, bool, type(None)):
        return []
    if kind is dict:
        parts = [one for pair in value.items() for one in pair]
    elif kind in (list, tuple):
        parts = list(value)
    else:
        return None
    try:
        found = [_texts(part) for part in parts]
    except RecursionError:  # a container that holds itself
        return None
    return None if None in found else [text for texts in found if texts for text in texts]


def _hash(texts: list[str]) -> str:
    return short_digest(json.dumps(texts, ensure_ascii=True))
