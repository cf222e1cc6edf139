"""Setting texts inside a file of any format: their spans change, and parsing again proves that all else is equal."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import PurePath
from typing import cast

from pytest_gepa.prompts.addresses import FieldPath
from pytest_gepa.prompts.formats.document import Document, Field, Format, FormatError, has_surrogate

TEXT = "text"
FRONT_MATTER = "front matter"
PYTHON = "Python"

_MODULES = {
    FRONT_MATTER: "front_matter",
    "YAML": "yaml_fields",
    "TOML": "toml_fields",
    "JSON": "json_fields",
    PYTHON: "python_constants",
}
_SUFFIXES = {
    ".md": FRONT_MATTER,
    ".markdown": FRONT_MATTER,
    ".prompt": FRONT_MATTER,
    ".prompty": FRONT_MATTER,
    ".yaml": "YAML",
    ".yml": "YAML",
    ".toml": "TOML",
    ".json": "JSON",
    ".py": PYTHON,
    ".pyi": PYTHON,
    ".pyw": PYTHON,
}


class FieldError(FormatError):
    """A text cannot be set at a place of a file; `path` is the place."""

    def __init__(self, path: FieldPath, reason: str) -> None:
        super().__init__(reason)
        self.path = path


def format_name(path: PurePath) -> str:
    """The name of the format that a file's suffix says; `TEXT` for every other suffix."""
    return _SUFFIXES.get(path.suffix.lower(), TEXT)


@lru_cache(maxsize=64)
def parsed(format: str, data: bytes) -> Document:
    """Take a file of the named format apart; raises `FormatError` for one that is not well-formed."""
    return _format(format).parse(data)


@lru_cache(maxsize=128)
def with_texts(format: str, data: bytes, texts: tuple[tuple[FieldPath, str], ...]) -> bytes:
    """Return the file with other texts at some paths. Raises `FieldError` for one that cannot be set there."""
    document = parsed(format, data)
    changes = [(document.fields[path], text) for path, text in texts if document.fields[path].text != text]
    changes.sort(key=lambda change: change[0].start)
    for field, text in changes:
        if has_surrogate(text):
            raise FieldError(field.path, "the new text holds half of a surrogate pair, which no encoding can hold")
    if not changes:
        return data
    return _all_at_once(format, document, changes) or _one_by_one(format, document, changes)


def _format(name: str) -> Format:
    # Imported when there is such a file: the parsers of YAML and TOML are not for everyone.
    return cast("Format", importlib.import_module(f"pytest_gepa.prompts.formats.{_MODULES[name]}"))


def _all_at_once(format: str, document: Document, changes: Sequence[tuple[Field, str]]) -> bytes | None:
    """Take the first spelling of each text, which nearly always is right, and parse but once."""
    content = document.content
    try:
        for field, text in reversed(changes):
            content = content[: field.start] + next(field.spellings(text)) + content[field.end :]
    except (StopIteration, FormatError):
        return None
    return _proven(format, document, content, {field.path: text for field, text in changes})


def _one_by_one(format: str, document: Document, changes: Sequence[tuple[Field, str]]) -> bytes:
    """Set the last text first, so that no span moves before it is used; take the first spelling that is right."""
    content, data = document.content, b""
    expected: dict[FieldPath, str] = {}
    for field, text in reversed(changes):
        expected[field.path] = text
        try:
            for spelling in field.spellings(text):
                attempt = content[: field.start] + spelling + content[field.end :]
                proven = _proven(format, document, attempt, expected)
                if proven is not None:
                    content, data = attempt, proven
                    break
            else:
                raise FormatError("the new text cannot be written there so that it reads back as it is")
        except FormatError as error:
            raise FieldError(field.path, str(error)) from None
    return data


def _proven(format: str, document: Document, content: str, expected: Mapping[FieldPath, str]) -> bytes | None:
    """The bytes of a new content if it has the expected texts, and otherwise says what the document says."""
    try:
        data = document.encoding.encode(content)
        made = _format(format).parse(data)
    except FormatError:
        return None
    is_right = (
        made.encoding == document.encoding
        and made.content == content
        and made.rest == document.rest
        and made.refused.keys() == document.refused.keys()
        and {path: field.text for path, field in made.fields.items()}
        == {path: expected.get(path, field.text) for path, field in document.fields.items()}
    )
    return data if is_right else None
