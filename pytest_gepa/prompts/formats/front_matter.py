"""Front matter: a text below a block of YAML between `---` lines, as in `.prompty` and `.prompt` files.

The body is the text of the file itself (its path is empty); the fields of the block are texts of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from pytest_gepa.prompts.addresses import FieldPath
from pytest_gepa.prompts.formats.document import (
    Document,
    Encoding,
    Field,
    FormatError,
    decoded_utf_8,
    line_at,
)

BODY: FieldPath = ()

_DASHES = re.compile(r"(?:---|\+\+\+)[ \t]*$", re.MULTILINE)
_LINE_END = re.compile(r"\r\n|\r|\n")
# What stands between the lines must open with a key: a text may have rules of dashes too.
_BLOCK = re.compile(
    r"---[ \t]*\r?\n"
    r"(?P<yaml>(?:[ \t]*(?:\#[^\n]*)?\r?\n)*"
    r"(?:[\w\"'$][^\n]*?:(?:[ \t][^\n]*)?\r?\n(?:(?!---[ \t]*(?:\r?\n|\Z))[^\n]*\n)*)?)"
    r"---[ \t]*(?:\r?\n|\Z)"
)


def parse(data: bytes) -> Document:
    """Take a file with front matter apart; the whole file is the body of one without."""
    content, encoding = decoded_utf_8(data)
    block = _BLOCK.match(content)
    body_start = block.end() if block is not None else 0
    text, newline = without_line_ends(content[body_start:])
    spellings = partial(_body_spellings, newline)
    body = Field(BODY, text, body_start, len(content), line_at(content, body_start), spellings)
    if block is None:
        return Document(content, encoding, {BODY: body}, {}, {}, "no block")
    block_document = _parsed_block(block["yaml"])
    offset = block.start("yaml")
    fields = {
        path: replace(
            field,
            start=field.start + offset,
            end=field.end + offset,
            line=field.line + 1,
            spellings=partial(_field_spellings, field),
        )
        for path, field in block_document.fields.items()
    }
    refused = {path: replace(refusal, line=refusal.line + 1) for path, refusal in block_document.refused.items()}
    return Document(content, encoding, {BODY: body, **fields}, refused, block_document.roles, block_document.rest)


def has_block(content: str) -> bool:
    """Whether a file with this content has front matter."""
    return _BLOCK.match(content) is not None


def without_line_ends(content: str) -> tuple[str, str]:
    """Return the content with "\\n" for its line ends, and what they were; as it is, with "", if they were mixed."""
    kinds = set(_LINE_END.findall(content))
    if kinds <= {"\n"}:
        return content, "\n"
    if kinds == {"\r\n"}:
        return content.replace("\r\n", "\n"), "\r\n"
    return content, ""


def _parsed_block(block: str) -> Document:
    """The block as YAML. Where it is none (a template, say), the body can be set all the same."""
    from pytest_gepa.prompts.formats import yaml_fields  # for the files that have a block

    try:
        return yaml_fields.parse(block.encode())
    except FormatError as error:
        return Document(block, Encoding("utf-8"), {}, {}, {}, str(error))


def _field_spellings(field: Field, text: str) -> Iterator[str]:
    # Some readers take dashes at the end of any line for the end of the block.
    if _DASHES.search(text) is not None:
        raise FormatError(
            "a line of the new text ends in dashes, which some readers take for the end of the front matter"
        )
    yield from field.spellings(text)


def _body_spellings(newline: str, text: str) -> Iterator[str]:
    if "\0" in text:
        raise FormatError("the new text holds a NUL character, which no file of text may")
    if newline and "\r" in text:
        raise FormatError("the new text holds a carriage return; its line ends must be \\n")
    yield text.replace("\n", "\r\n") if newline == "\r\n" else text
    raise FormatError("the new text would be read in another way there: as front matter, or with other line ends")
