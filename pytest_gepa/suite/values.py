"""The texts inside the values of parameters, as they are: a repr leaves out attributes, and is cut where it is long."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import cache, partial
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from itertools import islice
from types import CodeType, FunctionType, MethodType, ModuleType, NoneType
from typing import Any
from uuid import UUID

import pytest

from pytest_gepa.suite.collect import identify
from pytest_gepa.suite.modules import environment_roots
from pytest_gepa.suite.pytest_internals import parameters

LONGEST = 1_000_000
"""Characters of one text that are kept, half of them from its end."""

_ALL_CASES = 40_000_000
_LEAST = 20_000
_MOST_PARTS = 20_000
_WORDS_THAT_TELL = 3
_LETTERS_THAT_TELL = 24
_MODULES_OF_RECORDS = frozenset({"types", "argparse", "collections", "functools", "builtins"})
"""Where the standard library's own plain records come from, such as `SimpleNamespace`."""

_WRITTEN: Mapping[type, tuple[Callable[[Any], str], ...]] = {
    datetime: (lambda moment: datetime.isoformat(moment, " "), datetime.isoformat),
    date: (date.isoformat,),
    time: (time.isoformat,),
    Decimal: (Decimal.__str__,),
    Fraction: (Fraction.__str__,),
    UUID: (UUID.__str__,),
    IPv4Interface: (IPv4Interface.__str__,),
    IPv6Interface: (IPv6Interface.__str__,),
    IPv4Address: (IPv4Address.__str__,),
    IPv6Address: (IPv6Address.__str__,),
    IPv4Network: (IPv4Network.__str__,),
    IPv6Network: (IPv6Network.__str__,),
}
"""How values are written that stand for a text which their `repr` may not show; a kind comes before those it is of."""


def tells(text: str) -> bool:
    """Whether a string is likely nobody else's: single words, and the names of fields and files, are everybody's."""
    return len(text) >= _LETTERS_THAT_TELL or len(text.split()) >= _WORDS_THAT_TELL


def case_texts(items: Sequence[pytest.Item], held_out: Collection[str] = ()) -> dict[str, tuple[str, ...]]:
    """The texts in the parameters of each item, by case id; see `texts_by_case`."""
    longest = max(_LEAST, min(LONGEST, _ALL_CASES // max(1, len(items))))
    values = {name: list(parameters(item).values()) for name, item in identify(items).items()}
    return texts_by_case(values, held_out, longest)


def texts_by_case(
    values: Mapping[str, Sequence[object]], held_out: Collection[str] = (), longest: int = LONGEST
) -> dict[str, tuple[str, ...]]:
    """The texts in the values of each case's parameters.

    Those of the `held_out` cases are all that their parameters lead to. A search case has none of what it leads to only
    by way of a parameter of theirs, or of a table that they lead to as well: a row may know its table, and a check the
    rows of all cases.
    """
    searched = {id(part) for name, parts in values.items() if name not in held_out for part in parts}
    theirs = {id(part) for name in held_out for part in values.get(name, ())}
    led_to: dict[int, object] = {}
    texts = {
        name: tuple(dict.fromkeys(texts_in(parts, longest, led_to)))
        for name, parts in values.items()
        if name in held_out
    }

    def is_closed(part: object) -> bool:
        if id(part) not in led_to or id(part) in searched:
            return False
        return id(part) in theirs or _is_table(part)

    for name, parts in values.items():
        if name not in held_out:
            texts[name] = tuple(dict.fromkeys(texts_in(parts, longest, is_closed=is_closed)))
    return texts


def texts_in(
    value: object,
    longest: int = LONGEST,
    known: dict[int, object] | None = None,
    is_closed: Callable[[object], bool] | None = None,
) -> Iterator[str]:
    """The strings, numbers and dates inside a value: in containers, attributes of objects, constants of functions.

    Of what a library's object keeps for itself only sentences count. No code of the value is called but that of
    containers. At most `_MOST_PARTS` parts are looked at; what `is_closed` is not looked into. What was is added to
    `known`, by id.
    """
    waiting: list[tuple[object, bool]] = [(value, False)]
    met: dict[int, object] = {}  # keeps what it names, so that no other can have its id
    looked_at = 0
    while waiting and looked_at < _MOST_PARTS:
        part, is_librarys = waiting.pop()
        looked_at += 1
        texts = _texts(part)
        if texts is not None:
            yield from (_ends(text, longest) for text in texts if not is_librarys or tells(text))
        elif id(part) not in met and not isinstance(part, (bool, type(None), type, ModuleType)):
            met[id(part)] = part
            if is_closed is not None and is_closed(part):
                continue
            is_librarys = is_librarys or not _is_plain(part)
            # Iterating a foreign container may raise anything.
            with suppress(Exception):
                inner = [(one, is_librarys) for one in _parts(part)]
                waiting += reversed(inner[:_MOST_PARTS])
    if known is not None:
        known |= met


def _is_table(part: object) -> bool:
    """Whether a container holds several records."""
    if not isinstance(part, (Mapping, list, tuple, set, frozenset)):
        return False
    with suppress(Exception):
        entries = part.values() if isinstance(part, Mapping) else part
        records = (one for one in entries if _texts(one) is None and not isinstance(one, (NoneType, bool, Enum)))
        return sum(1 for _ in islice(records, 2)) > 1
    return False


def _texts(part: object) -> tuple[str, ...] | None:
    """A part that is a text, or stands for one, as such, in all the ways that it may be written; None for another."""
    if isinstance(part, (bool, Enum)):
        return None
    if isinstance(part, str):
        return (str.__str__(part),)
    if isinstance(part, (bytes, bytearray)):
        return (part.decode("utf-8", "replace"),)
    if isinstance(part, (int, float)):
        with suppress(ValueError):  # a number of thousands of digits
            return (str(part),)
    for kind, ways in _WRITTEN.items():
        if isinstance(part, kind):
            with suppress(Exception):  # a time zone may be anybody's
                return tuple(write(part) for write in ways)
    if isinstance(part, os.PathLike):
        with suppress(Exception):
            return (str(part),)
    return None


def _ends(text: str, longest: int) -> str:
    """The text; of one that is too long, beginning and end, of which pieces are known then."""
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]}\n{text[-half:]}"


def _parts(part: object) -> Iterable[object]:
    if isinstance(part, Mapping):
        return [one for pair in part.items() for one in pair]
    if isinstance(part, Enum):
        return [part._name_, part._value_]  # of a member's properties the class may have its own
    if isinstance(part, FunctionType):
        cells = [_cell(cell) for cell in part.__closure__ or ()]
        return [part.__code__, part.__defaults__, part.__kwdefaults__, *cells]
    if isinstance(part, CodeType):
        return part.co_consts
    if isinstance(part, MethodType):
        return [part.__self__, part.__func__]
    if isinstance(part, partial):
        return [part.func, part.args, part.keywords]
    if isinstance(part, (list, tuple, set, frozenset, Sequence)):
        return [*part, *_attributes(part)]
    return _attributes(part)


def _cell(cell: object) -> object:
    return getattr(cell, "cell_contents", None)


def _attributes(part: object) -> Iterator[object]:
    """The values of an object's own attributes, in its `__dict__` and its slots; no property is asked."""
    with suppress(Exception):
        yield from vars(part).values()
    for kind in type(part).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            # A private slot stands in its class under a longer name.
            name = f"_{kind.__name__.lstrip('_')}{slot}" if _is_private(slot) else slot
            descriptor = kind.__dict__.get(name)
            with suppress(Exception):
                yield descriptor.__get__(part, kind)  # type: ignore[union-attr]


def _is_private(name: str) -> bool:
    return name.startswith("__") and not name.endswith("__")


def _is_plain(part: object) -> bool:
    """Whether an object is plain data, or of a class of the project's own."""
    return not _is_of_library(type(part).__module__)


@cache
def _is_of_library(module: str) -> bool:
    if module in _MODULES_OF_RECORDS:
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    return isinstance(file, str) and os.path.realpath(file).startswith(tuple(environment_roots()))
