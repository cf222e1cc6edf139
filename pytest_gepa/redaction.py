"""Records of ours without secrets. Every text in them may hold one, but for those whose type says that they are ours
(`own.OwnName`)."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from functools import cache
from pathlib import PurePath
from typing import Any, TypeVar

from pytest_gepa.own import OWN

T = TypeVar("T")

_SHORT = 200
"""Texts of fewer characters are not worth remembering: the redactor does so itself."""


def without_secrets(value: T, redact: Callable[[str], str], hint: Any = Any) -> T:
    """The same value, made of dataclasses, sequences and mappings, with `redact` made to every text in it, keys too.

    What the types of the dataclasses name as ours stays; `hint` is the type of the value itself. What has no type, such
    as JSON of others, is redacted whole.
    """
    return typing.cast("T", _Rewriting(redact).made(value, hint))


def redact_between(text: str, names: Iterable[str], redact: Callable[[str], str]) -> str:
    """A sentence without secrets, in which these names of ours stand as they are."""
    known = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True) if name)
    if not known:
        return redact(text)
    pieces = re.split(f"({known})", text)
    return "".join(piece if at % 2 else redact(piece) for at, piece in enumerate(pieces))


class _Rewriting:
    """One pass over a value. What stands in it many times, as messages of an agent do, is rewritten once."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._records: dict[int, Any] = {}  # by the ids of objects that stay while the value is there
        self._texts: dict[str, str] = {}

    def made(self, value: Any, hint: Any) -> Any:
        if isinstance(value, str):
            return value if isinstance(value, Enum) or _is_own(hint) else self._text(value)
        if is_dataclass(value) and not isinstance(value, type):
            return self._record(value)
        if isinstance(value, Mapping):
            keys, values = _inside(hint, Mapping) or (Any, Any)
            return {self.made(key, keys): self.made(item, values) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            made = [self.made(item, kind) for item, kind in zip(value, _each(hint, len(value)), strict=True)]
            return tuple(made) if isinstance(value, tuple) else made
        return type(value)(self._text(str(value))) if isinstance(value, PurePath) else value

    def _text(self, text: str) -> str:
        if len(text) < _SHORT:
            return self._redact(text)
        known = self._texts.get(text)
        if known is None:
            known = self._texts[text] = self._redact(text)
        return known

    def _record(self, record: Any) -> Any:
        known = self._records.get(id(record))
        if known is None:
            hints = _hints(typing.cast("Any", type(record)))
            before = {one.name: getattr(record, one.name) for one in fields(record)}
            after = {name: self.made(item, hints[name]) for name, item in before.items()}
            known = self._records[id(record)] = record if after == before else replace(record, **after)
        return known


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


def _options(hint: Any) -> tuple[Any, ...]:
    """The members of a union; of another type that alone."""
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if is_union else (hint,)


def _is_own(hint: Any) -> bool:
    return any(OWN in getattr(option, "__metadata__", ()) for option in _options(hint))


def _inside(hint: Any, kind: type) -> tuple[Any, ...]:
    """The types inside of a collection of this kind, () where they are not known."""
    for option in _options(hint):
        origin = typing.get_origin(option)
        if isinstance(origin, type) and issubclass(origin, kind):
            return typing.get_args(option)
    return ()


def _each(hint: Any, number: int) -> Sequence[Any]:
    """The types of the items of a sequence."""
    kinds = _inside(hint, Sequence)
    if len(kinds) == 1 or kinds[1:] == (Ellipsis,):
        return [kinds[0]] * number
    return kinds if len(kinds) == number else [Any] * number
