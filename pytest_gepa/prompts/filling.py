"""Whether an edited text can still be filled in by `str.format`, `string.Template` or `%`, tried with stand-ins.

The stand-ins are for the names that the parent has. What a language model writes into a placeholder decides how much
memory it takes: widths are looked at before anything is filled in.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pytest_gepa.prompts.format_fields import is_for_format
from pytest_gepa.prompts.placeholders import DOLLAR, FORMAT, JINJA, PRINTF, placeholders, syntax

MOST_WIDTH = 10_000
"""Characters of a width or a precision in a placeholder. No prompt comes near."""

MOST_WIDTHS = 2_000_000
"""Characters of all widths in a text."""

_MOST_DIGITS = 9  # Python refuses to read numbers of some thousand
_NUMBER = re.compile(r"\d+")
_ALIGNED = re.compile(r".?[<>=^][-+ ]?z?#?\d*[,_]?(?:\.\d+)?[a-z%]?", re.IGNORECASE | re.DOTALL)
_PRINTF_SIZE = re.compile(r"[-+ #0]*(\d*)\*?(?:\.(\d*)\*?)?[hlL]?.?", re.DOTALL)


def filling_error(parent: str, text: str, syntaxes: Iterable[str]) -> str:
    """What goes wrong when `text`, an edit of `parent`, is filled in by one of these `syntaxes`; "" for nothing."""
    for name in syntaxes:
        if error := _error(_FILLERS[name], parent, text):
            return f"{name}: {error}"
    return ""


def filled_by(text: str, within: frozenset[str]) -> tuple[str, ...]:
    """Return the syntaxes, of those `within`, that a text has placeholders of and can be filled in by: `str.format`
    alone where it is one of them, as most signs of the others have a meaning of their own (`$HOME`, `${price}`, 5 %).
    """
    used = {syntax(name) for name in placeholders(text, within)}
    if JINJA in used or "{%" in text:
        return ()
    if FORMAT in within and is_for_format(text) and not _error(_format, text, text):
        return (FORMAT,)
    used.discard(FORMAT)
    return tuple(name for name, fill in _FILLERS.items() if name in used and not _error(fill, text, text))


def _error(fill: Callable[[str, str], object], parent: str, text: str) -> str:
    try:
        fill(parent, text)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


class _StandIn(str):
    """A value that has every attribute and item, and any format."""

    __slots__ = ()

    def __getattr__(self, name: str) -> _StandIn:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, key: object) -> _StandIn:
        return self

    def __format__(self, specification: str) -> str:
        return str(self)


class _Formatter(string.Formatter):
    """Fills in stand-ins, and what else can be reached from them (`{x.__doc__}`), within bounds."""

    def __init__(self) -> None:
        self._widths = _Widths()

    def convert_field(self, value: Any, conversion: Any) -> Any:
        """See `string.Formatter`. By `!r` a stand-in would become plain text, which is as wide as it is told."""
        converted = super().convert_field(value, conversion)
        return value if isinstance(value, _StandIn) else converted

    def format_field(self, value: Any, format_spec: str) -> str:
        """See `string.Formatter`."""
        # In the prompt's own `{"year": 20250}` the number is no width, and a stand-in takes it for none.
        if not isinstance(value, _StandIn) or _ALIGNED.fullmatch(format_spec):
            self._widths.add(_NUMBER.findall(format_spec))
        filled: str = super().format_field(value, format_spec)
        return filled


class _Widths:
    """Adds up the widths and precisions of a text before they are filled in."""

    def __init__(self) -> None:
        self._sum = 0

    def add(self, numbers: Iterable[str]) -> None:
        """Raise `ValueError` for one that is too large, or when all of them are."""
        for number in numbers:
            width = int(number) if len(number) <= _MOST_DIGITS else MOST_WIDTHS
            self._sum += width
            if width > MOST_WIDTH or self._sum > MOST_WIDTHS:
                raise ValueError(f"the width {number[:_MOST_DIGITS]} is too large")


def _format(parent: str, text: str) -> str:
    names = [name for _, name, _, _ in string.Formatter().parse(parent) if name is not None]
    given = {name.split(".")[0].split("[")[0]: _StandIn("x") for name in names}
    positional = [_StandIn("x")] * sum(not name or name.isdigit() for name in names)
    return _Formatter().vformat(text, positional, given)


def _substitute(parent: str, text: str) -> str:
    template = string.Template(parent)
    names = {
        found["named"] or found["braced"]: "x"
        for found in template.pattern.finditer(parent)
        if found["named"] or found["braced"]
    }
    return string.Template(text).substitute(names)


def _interpolate(parent: str, text: str) -> str:
    for one in {parent, text}:
        _Widths().add(_printf_sizes(one))
    found = sorted(name for name in placeholders(parent) if syntax(name) == PRINTF)
    if any(name.startswith("%(") for name in found):
        return text % {name[2 : name.index(")")]: 1 for name in found}
    # Numbers do for every conversion; how many there are is told by trying.
    for count in range(1, 41):
        try:
            parent % ((1,) * count)
        except TypeError:
            continue
        return text % ((1,) * count)
    raise ValueError("too many to be tried")


def _printf_sizes(text: str) -> Iterator[str]:
    """The widths and precisions of a text that `%` fills in, as Python reads it."""
    at = text.find("%")
    while at >= 0:
        size = _PRINTF_SIZE.match(text, _behind_name(text, at + 1))
        assert size is not None  # it matches nothing, too
        yield from filter(None, size.groups())
        at = text.find("%", size.end())


def _behind_name(text: str, at: int) -> int:
    """Where a name in parentheses ends that may begin here; there may be parentheses in it."""
    if not text.startswith("(", at):
        return at
    depth = 0
    for place in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            return place + 1
    return len(text)


_FILLERS: Mapping[str, Callable[[str, str], object]] = {
    FORMAT: _format,
    DOLLAR: _substitute,
    PRINTF: _interpolate,
}
