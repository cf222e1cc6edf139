"""JSON: every string that is a value is a text. Found by a scan of our own, which knows where each one stands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial

from pytest_gepa.prompts.addresses import FieldPath
from pytest_gepa.prompts.formats.document import (
    Document,
    Field,
    FormatError,
    Refusal,
    decoded,
    forget,
    has_surrogate,
    roles_of,
)
from pytest_gepa.prompts.formats.splice import hunks, is_shown, spelled_by, spliced

_TOKEN = re.compile(r'[ \t\r\n]+|"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^ \t\r\n{}\[\],:"]+')
_CHARACTERS = re.compile(r"[^\\]+|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u.{4}|\\.", re.DOTALL)


def parse(data: bytes) -> Document:
    """Take a JSON file apart."""
    content, encoding = decoded(data)
    try:
        json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not JSON: {error}") from None
    scan = _Scan(content)
    return Document(content, encoding, scan.fields, scan.refused, roles_of(scan.fields, scan.refused), tuple(scan.rest))


class _Scan:
    """One pass over the tokens of what is known to be JSON."""

    def __init__(self, content: str) -> None:
        self.fields: dict[FieldPath, Field] = {}
        self.refused: dict[FieldPath, Refusal] = {}
        self.rest: list[str] = []
        self._is_ascii = content.isascii() and "\\u" in content
        self._line = 1
        self._open: list[dict[str, None] | int] = []  # the keys met in an object, the place in a list
        self._path: list[str | int] = []
        is_key = False
        for token in _TOKEN.finditer(content):
            word = token.group()
            if word.isspace():
                self._line += word.count("\n")
            elif word.startswith('"') and not is_key and self._path:
                self._value(token)
            else:
                is_key = self._structure(word, is_key)
                self.rest.append(word)

    def _structure(self, word: str, is_key: bool) -> bool:
        """Follow one token that is no text; returns whether a key comes next."""
        if word.startswith('"') and is_key:
            self._enter_key(json.loads(word))
        elif word in "{[":
            self._open.append({} if word == "{" else 0)
            self._path += [] if word == "{" else [0]
            return word == "{"
        elif word in "}]":
            closed = self._open.pop()
            if closed != {}:  # an empty object has entered no key; a list always has its place
                self._path.pop()
        elif word == "," and self._open:
            place = self._open[-1]
            self._path.pop()
            if isinstance(place, dict):
                return True
            self._open[-1] = place + 1
            self._path.append(place + 1)
        return False

    def _enter_key(self, key: str) -> None:
        keys = self._open[-1]
        assert isinstance(keys, dict)
        self._path.append(key)
        if key in keys:
            self._refuse(f"the key {key!r} stands twice in one object (again in line {self._line})")
        keys[key] = None

    def _refuse(self, reason: str) -> None:
        path = tuple(self._path)
        self.refused[path] = Refusal(reason, self._line)
        forget(self.fields, path)

    def _value(self, token: re.Match[str]) -> None:
        path = tuple(self._path)
        text = json.loads(token.group())
        if any(path[:length] in self.refused for length in range(1, len(path) + 1)):
            self.rest.append(token.group())
        elif has_surrogate(text):
            self._refuse("half of a surrogate pair stands in it, which no encoding can hold")
            self.rest.append(token.group())
        else:
            self.rest.append('"')
            spellings = partial(_spellings, token.group(), self._is_ascii)
            self.fields[path] = Field(path, text, token.start(), token.end(), self._line, spellings)


def _spellings(source: str, is_ascii: bool, text: str) -> Iterator[str]:
    def spell(run: str) -> str:
        if is_ascii:
            return json.dumps(run)[1:-1]
        return "".join(
            character if is_shown(character) and character not in '"\\' else json.dumps(character)[1:-1]
            for character in run
        )

    parts = ((_said(part.group()), *part.span()) for part in _CHARACTERS.finditer(source, 1, len(source) - 1))
    spelled = spelled_by(0, len(source), len(source) - 1, parts)
    yield spliced(source, spelled, hunks(spelled.text, text), spell) or ""
    yield f'"{spell(text)}"'


def _said(part: str) -> str:
    return str(json.loads(f'"{part}"')) if part.startswith("\\") else part
