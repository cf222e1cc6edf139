"""TOML: every string that is a value is a text. tomlkit says what is well-formed; a scan of our own knows the places.

How a string is written anew is in `toml_strings`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

import tomlkit
from tomlkit.exceptions import TOMLKitError

from pytest_gepa.prompts.addresses import FieldPath
from pytest_gepa.prompts.formats.document import (
    Document,
    Field,
    FormatError,
    Refusal,
    decoded_utf_8,
    line_at,
    line_end_of,
    roles_of,
)
from pytest_gepa.prompts.formats.toml_strings import STRING, read_string, spellings

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_OTHER_VALUE = re.compile(r"[^,\]}#\r\n]+")


def parse(data: bytes) -> Document:
    """Take a TOML file apart."""
    content, encoding = decoded_utf_8(data)
    try:
        # Readers take "\\r\\n" inside a string for "\\n"; a lone "\\r" is not allowed.
        values = tomlkit.parse(content.replace("\r\n", "\n")).unwrap()
    except (TOMLKitError, ValueError, RecursionError) as error:
        raise FormatError(f"not TOML: {error}") from None
    scan = _Scan(content)
    scan.run()
    rest: list[object] = []
    fields = dict(scan.fields)
    refused: dict[FieldPath, Refusal] = {}
    said = dict(_leaves(values, ()))
    for path, field in scan.fields.items():
        if said.get(path) != field.text:  # tomlkit and the scan do not agree on what stands there
            del fields[path]
            reason = f"the text in line {field.line} is written in a way that cannot be changed safely"
            refused[path] = Refusal(reason, field.line)
    for path, value in said.items():
        rest.append((path, type(value).__name__, "" if path in fields else repr(value)))
    return Document(content, encoding, fields, refused, roles_of(fields, refused), tuple(rest))


def _leaves(value: object, path: FieldPath) -> list[tuple[FieldPath, object]]:
    """Every value with its path; empty tables and lists are values too."""
    children: list[tuple[str | int, object]] = []
    if isinstance(value, Mapping):
        children = [(str(key), child) for key, child in value.items()]
    elif isinstance(value, list):
        children = list(enumerate(value))
    if not children:
        return [(path, value)]
    return [leaf for key, child in children for leaf in _leaves(child, (*path, key))]


class _Scan:
    """One pass over the characters of what is known to be TOML."""

    def __init__(self, content: str) -> None:
        self.fields: dict[FieldPath, Field] = {}
        self._content = content
        self._position = 0
        self._counts: dict[FieldPath, int] = {}  # of the tables of each `[[list]]` so far
        self._line_end = line_end_of(content)

    def run(self) -> None:
        """Go over the file, table by table and key by key."""
        table: FieldPath = ()
        while self._skip(_BLANK):
            if self._sees("[["):
                table = self._header("]]")
                self._counts[table] = self._counts.get(table, 0) + 1
                table = (*table, self._counts[table] - 1)
            elif self._sees("["):
                table = self._header("]")
            else:
                self._pair(table)

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        """Pass over what may be passed over; False at the end of the file."""
        blank = pattern.match(self._content, self._position)
        self._position = blank.end() if blank is not None else self._position
        return self._position < len(self._content)

    def _sees(self, text: str) -> bool:
        return self._content.startswith(text, self._position)

    def _header(self, closing: str) -> FieldPath:
        self._position += len(closing)
        key = self._key()
        self._position += len(closing)
        # The tables on the way may be lists: then the header means the last one of each.
        return (*self._placed(key[:-1]), key[-1])

    def _placed(self, path: FieldPath) -> FieldPath:
        """Add to a path of names the places in the lists of tables that it goes through."""
        placed: FieldPath = ()
        for key in path:
            placed = (*placed, key)
            if placed in self._counts:
                placed = (*placed, self._counts[placed] - 1)
        return placed

    def _key(self) -> FieldPath:
        keys: list[str] = []
        while True:
            self._skip(_SPACE)
            bare = _BARE_KEY.match(self._content, self._position)
            if bare is not None:
                keys.append(bare.group())
                self._position = bare.end()
            else:
                quoted = self._string()
                keys.append(read_string(quoted).text)
            self._skip(_SPACE)
            if not self._sees("."):
                return tuple(keys)
            self._position += 1

    def _pair(self, table: FieldPath) -> None:
        path = (*table, *self._key())
        self._position += 1
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: FieldPath) -> None:
        start = self._position
        if self._sees("["):
            self._list(path)
        elif self._sees("{"):
            self._inline_table(path)
        elif self._sees('"') or self._sees("'"):
            source = self._string()
            spelled = read_string(source)
            self.fields[path] = Field(
                path,
                spelled.text,
                start,
                self._position,
                line_at(self._content, start),
                partial(spellings, source, self._line_end),
            )
        else:
            other = _OTHER_VALUE.match(self._content, start)
            if other is None:
                raise FormatError(f"not understood as TOML in line {line_at(self._content, start)}")
            self._position = other.end()

    def _list(self, path: FieldPath) -> None:
        self._position += 1
        place = 0
        while self._skip(_BLANK) and not self._sees("]"):
            self._value((*path, place))
            place += 1
            self._skip(_BLANK)
            self._position += self._sees(",")
        self._position += 1

    def _inline_table(self, path: FieldPath) -> None:
        self._position += 1
        while self._skip(_BLANK) and not self._sees("}"):
            self._pair(path)
            self._skip(_BLANK)
            self._position += self._sees(",")
        self._position += 1

    def _string(self) -> str:
        string = STRING.match(self._content, self._position)
        if string is None:
            raise FormatError(f"not understood as TOML in line {line_at(self._content, self._position)}")
        self._position = string.end()
        return string.group()
