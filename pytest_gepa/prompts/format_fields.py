"""The fields by which `str.format` would fill in a text, and whether it could."""

from __future__ import annotations

import re
import string
from collections import Counter
from typing import NamedTuple

_SIMPLE_NAME = re.compile(r"(?:[^\W\d]\w*|\d*)(?:\.\w+|\[[^\[\]]*\])*")
_NUMBER = re.compile(r"\d+")
_OF_TEMPLATE = re.compile(r"(?<!\$)\$\{[A-Za-z_]\w*\}")
_FORMAT_LEVELS = 2  # a field may stand in another one's specification, but no deeper


class Field(NamedTuple):
    """A field: what it is the name of, and how it is written, braces included."""

    name: str
    written: str


def format_fields(text: str) -> frozenset[str]:
    """Return the fields of `str.format` as they are written, positional ones too; none if it refuses the text."""
    return frozenset(field.written for field in fields_of(text) or ())


def is_for_format(text: str) -> bool:
    """Whether `text` has fields of `str.format`, and no braces that it could not fill in."""
    names = [field.name for field in fields_of(text) or ()]
    # `\d{4}` of a regular expression is no field: those with a number are counted from 0 on.
    numbers = {found[0] for name in names if (found := _NUMBER.match(name))}
    is_counted = numbers == set(map(str, range(len(numbers))))
    return bool(names) and is_counted and all(map(_SIMPLE_NAME.fullmatch, names))


def fields_of(text: str) -> Counter[Field] | None:
    """Return the fields that `str.format` would fill in, nested ones too; None if it refuses the text."""
    fields: Counter[Field] = Counter()
    level = [_OF_TEMPLATE.sub("", text)]
    for _ in range(_FORMAT_LEVELS):
        specifications = []
        try:
            parsed = [piece for part in level for piece in string.Formatter().parse(part)]
        except ValueError:
            return None
        for _, name, specification, conversion in parsed:
            if name is not None:
                suffix = (f"!{conversion}" if conversion else "") + (f":{specification}" if specification else "")
                fields[Field(name, "{" + name + suffix + "}")] += 1
                specifications.append(specification or "")
        level = specifications
    return None if any("{" in part for part in level) else fields
