"""What the formats share: a file taken apart into its texts and the rest, its encoding, and the errors."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pytest_gepa.errors import PromptError
from pytest_gepa.prompts.addresses import FieldPath


class FormatError(PromptError):
    """Why a file or a text in it cannot be read or set. The message names no file: who knows the file adds it."""


@dataclass(frozen=True, slots=True)
class Field:
    """A text inside a file: its span in the file's characters, and how another text would be written there.

    `text` is what the application gets to see. `line` is counted from 1. `spellings` gives replacements of the
    span for a new text, the one most like today's first, each still to be proven by parsing; it may end by
    raising a `FormatError` that says why there are no more.
    """

    path: FieldPath
    text: str
    start: int
    end: int
    line: int
    spellings: Callable[[str], Iterator[str]] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why what stands at a place cannot be a component; it goes for all that lies below the place too."""

    reason: str
    line: int


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the characters of a file are kept as bytes."""

    codec: str
    bom: bytes = b""

    def encode(self, content: str) -> bytes:
        """The bytes of a file with this content; raises `FormatError` for what they cannot hold."""
        try:
            return self.bom + content.encode(self.codec)
        except UnicodeEncodeError as error:
            character = ascii(content[error.start])
            raise FormatError(f"the text holds {character}, which {self.codec} cannot hold") from None

    def can_hold(self, character: str) -> bool:
        """Whether a character can be written as it is."""
        try:
            character.encode(self.codec)
        except UnicodeEncodeError:
            return False
        return True


UTF_8 = Encoding("utf-8")


@dataclass(frozen=True, slots=True)
class Document:
    """A file taken apart. `rest` is everything that it says besides the texts of `fields`, for comparing.

    `roles` has the role of each chat message by the path of the message.
    """

    content: str
    encoding: Encoding
    fields: Mapping[FieldPath, Field]
    refused: Mapping[FieldPath, Refusal]
    roles: Mapping[FieldPath, str]
    rest: object


class Format(Protocol):
    """A kind of file that holds texts; each module of a format is one."""

    def parse(self, data: bytes) -> Document:
        """Take a file apart; raises `FormatError` for one that is not well-formed."""


def decoded(data: bytes) -> tuple[str, Encoding]:
    """Read UTF-8, or UTF-16 that says so by its byte order mark; raises `FormatError` for all else."""
    for encoding in (
        Encoding("utf-8", codecs.BOM_UTF8),
        Encoding("utf-16-le", codecs.BOM_UTF16_LE),
        Encoding("utf-16-be", codecs.BOM_UTF16_BE),
        UTF_8,
    ):
        if data.startswith(encoding.bom):
            break
    try:
        content = data[len(encoding.bom) :].decode(encoding.codec)
    except UnicodeDecodeError as error:
        raise FormatError(
            f"not {encoding.codec.upper()} (byte {error.start + len(encoding.bom)}); save the file as UTF-8"
        ) from None
    if "\0" in content:
        raise FormatError("holds NUL characters; save the file as UTF-8 text")
    return content, encoding


def decoded_utf_8(data: bytes) -> tuple[str, Encoding]:
    """Read UTF-8 with or without a byte order mark; raises `FormatError` for all else."""
    content, encoding = decoded(data)
    if encoding.codec != "utf-8":
        raise FormatError(f"not UTF-8 but {encoding.codec.upper()}; save the file as UTF-8")
    return content, encoding


def line_end_of(content: str) -> str:
    """The line end that new lines of the file get: the one of its first line."""
    end = content.find("\n")
    return "\r\n" if end > 0 and content[end - 1] == "\r" else "\n"


def line_at(content: str, position: int) -> int:
    """The number of the line that holds a position, from 1."""
    return content.count("\n", 0, position) + 1


def has_surrogate(text: str) -> bool:
    """Whether a text holds half of a surrogate pair, which no encoding can hold."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def forget(fields: dict[FieldPath, Field], path: FieldPath) -> None:
    """Take out the texts at a place and below it."""
    for known in [known for known in fields if known[: len(path)] == path]:
        del fields[known]


def roles_of(fields: Mapping[FieldPath, Field], refused: Mapping[FieldPath, Refusal]) -> dict[FieldPath, str]:
    """The roles of the chat messages among texts: mappings in a list that have a `role` and a `content`."""
    contents = {path[:length] for path in (*fields, *refused) for length in range(1, len(path) + 1)}
    return {
        path[:-1]: field.text
        for path, field in fields.items()
        if len(path) > 1 and path[-1] == "role" and isinstance(path[-2], int) and (*path[:-1], "content") in contents
    }
