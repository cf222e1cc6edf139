"""Addresses: places of texts inside a file, as in `prompts/all.yaml::router.messages.0.content`; how to write, read
and match them. Which texts a file has is the business of its format."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pytest_gepa.errors import PromptError

FieldPath = tuple[str | int, ...]
"""The keys that lead to a text: names, and places in a list counted from 0."""

SEPARATOR = "::"

CONTENT_KEYS = ("content", 1)
"""Where a chat message has its text: under this key, or in second place of a pair of role and text."""

_BARE = re.compile(r"[\w-]+")
_PART = re.compile(r'"(?:[^"\\]|\\.)*"|[^."]+')
_INDEXED = re.compile(r"(?P<name>[^\[\]]*)(?P<places>(?:\[\d+\])+)")
_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Segment:
    """One key of a pattern: a quoted one is literal, a bare one may hold wildcards."""

    text: str
    is_quoted: bool = False

    @property
    def is_any_depth(self) -> bool:
        """Whether it stands for any number of keys."""
        return self.text == "**" and not self.is_quoted

    @property
    def has_wildcard(self) -> bool:
        """Whether it may stand for more than one key."""
        return not self.is_quoted and not _WILDCARDS.isdisjoint(self.text)

    def matches(self, key: str) -> bool:
        """Whether it stands for `key`."""
        return fnmatchcase(key, self.text) if self.has_wildcard else key == self.text


@dataclass(frozen=True, slots=True)
class AddressPattern:
    """An address as the user wrote it; with wildcards it may mean several texts."""

    segments: tuple[Segment, ...]

    @property
    def has_wildcard(self) -> bool:
        """Whether it may mean several texts."""
        return any(segment.has_wildcard for segment in self.segments)

    @property
    def names_nothing(self) -> bool:
        """Whether it consists of nothing but stars."""
        return all(not segment.is_quoted and set(segment.text) == {"*"} for segment in self.segments)

    def matches(self, path: FieldPath, roles: Mapping[FieldPath, str]) -> bool:
        """Whether it means the text at `path`. `roles` has the roles of the chat messages in the file.

        A message is met by its place in the list or by its role, and then stands for its content too.
        """
        if _matches(self.segments, path, 0, roles):
            return True
        message = path[:-1]
        if message not in roles or path[-1] not in CONTENT_KEYS or not _matches(self.segments, message, 0, roles):
            return False
        last = self.segments[-1]
        return not last.has_wildcard and last.text == roles[message]


def split_pattern(pattern: str) -> tuple[str, str | None]:
    """Part `file::address` into file and address; the address is None where there is no `::`.

    Raises `PromptError` where `::` stands more than once outside of quotes.
    """
    file, separator, address = pattern.partition(SEPARATOR)
    if not separator:
        return pattern, None
    if SEPARATOR in re.sub(r'"(?:[^"\\]|\\.)*"', "", address):
        raise PromptError(
            f"{pattern}: `::` stands there twice; it parts the file from the place in it (file::path.to.field), "
            "so neither a file's name nor an unquoted key may hold it"
        )
    return file, address


def parse_address(address: str) -> AddressPattern:
    """Read an address: keys between dots, in double quotes where they hold other than letters, digits, `_`, `-`.

    `*` stands for one key or a part of one, `**` for any number of keys; `messages[0]` is `messages.0`. Raises
    `PromptError`, which says what is wrong.
    """
    segments: list[Segment] = []
    position = 0
    while True:
        part = _PART.match(address, position)
        if part is None:
            what = "a quote is not closed" if address[position : position + 1] == '"' else "a key is missing"
            raise PromptError(f"{address!r} is no address: {what} at character {position + 1}")
        segments += _segments(address, part.group())
        position = part.end()
        if position == len(address):
            return AddressPattern(tuple(segments))
        if address[position] != ".":
            raise PromptError(f"{address!r} is no address: a dot is missing at character {position + 1}")
        position += 1


def write_address(path: FieldPath) -> str:
    """Write the address of one text, such that `parse_address` reads it as that text alone."""
    return ".".join(str(key) if isinstance(key, int) else _written(key) for key in path)


def _written(key: str) -> str:
    if _BARE.fullmatch(key):
        return key
    return json.dumps(key, ensure_ascii=any("\ud800" <= one <= "\udfff" for one in key))


def _segments(address: str, part: str) -> list[Segment]:
    if part.startswith('"'):
        try:
            return [Segment(json.loads(part, strict=False), is_quoted=True)]
        except ValueError as error:
            raise PromptError(f"{address!r} is no address: in {part} is {error}") from None
    indexed = _INDEXED.fullmatch(part)
    if indexed is None:
        return [Segment(part)]
    names = [indexed["name"]] if indexed["name"] else []
    return [Segment(name) for name in [*names, *re.findall(r"\d+", indexed["places"])]]


def _matches(segments: tuple[Segment, ...], path: FieldPath, depth: int, roles: Mapping[FieldPath, str]) -> bool:
    if not segments:
        return depth == len(path)
    head, rest = segments[0], segments[1:]
    if head.is_any_depth:
        return any(_matches(rest, path, further, roles) for further in range(depth, len(path) + 1))
    if depth == len(path):
        return False
    key = path[depth]
    is_met = head.matches(str(key)) or (
        isinstance(key, int) and head.matches(roles.get(path[: depth + 1], "")) and not head.has_wildcard
    )
    return is_met and _matches(rest, path, depth + 1, roles)
