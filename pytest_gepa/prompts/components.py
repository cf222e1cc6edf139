"""Components: the texts that are optimised, each a file or a text inside one; and the bytes of files with new texts.

How they are found is in `finding`, how a kind of file holds them in `formats`."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from pytest_gepa.errors import PromptError
from pytest_gepa.prompts.addresses import FieldPath
from pytest_gepa.prompts.formats.document import FormatError
from pytest_gepa.prompts.formats.front_matter import has_block
from pytest_gepa.prompts.formats.setting import (
    FRONT_MATTER,
    TEXT,
    FieldError,
    format_name,
    parsed,
    with_texts,
)


@dataclass(frozen=True, slots=True)
class Component:
    """One text that is optimised: a file, the body of one below its front matter, or a text inside of one.

    `id` is the file's path relative to the rootdir with forward slashes (`prompts/route.md`), and for a text
    inside it its address behind `::` (`prompts/all.yaml::router.system`), nothing behind `::` being the whole of
    a file that has texts inside. `text` has "\\n" line ends only. Where it is the whole file, `newline` is the
    file's own line end ("\\n" or "\\r\\n"), and `bom` says whether it opens with a UTF-8 byte order mark; a file of
    mixed line ends is held as it is, with `newline` "". `address` is the place of the text inside its file, ""
    where the text is the whole file or its body, and `place` the same as keys; `source` is the whole file as it
    was read, `format` the name of the format that the text is read and set by.
    """

    id: str
    path: Path
    text: str
    newline: str = "\n"
    bom: bool = False
    address: str = ""
    source: bytes = field(default=b"", repr=False)
    format: str = TEXT
    place: FieldPath = ()


def todays_texts(components: Iterable[Component]) -> dict[str, str]:
    """Today's texts by id."""
    return {component.id: component.text for component in components}


def by_file(components: Iterable[Component]) -> dict[Path, list[Component]]:
    """The components of each file."""
    found: dict[Path, list[Component]] = {}
    for component in components:
        found.setdefault(component.path, []).append(component)
    return found


def compose(components: Iterable[Component], texts: Mapping[str, str]) -> dict[Path, bytes]:
    """Return each file of `components` with the texts that `texts` has for them by id, as bytes by path.

    A component without a text there keeps its own. Every byte outside of the components is as before. Raises
    `PromptError` for a text that its file cannot hold, and for components that overlap.
    """
    return {path: _composed(inside, texts) for path, inside in by_file(components).items()}


def format_problem(component: Component, text: str) -> str | None:
    """Why the component's file cannot hold `text`, or None; `compose` would raise with the same reason."""
    try:
        _composed([component], {component.id: text})
    except PromptError as error:
        return str(error).removeprefix(f"{component.id}: ")
    return None


def encode(component: Component, text: str) -> bytes:
    """Return the bytes of a component that is a whole file, with `text` in it and the file's line ends and BOM.

    Raises `PromptError` for a text that would not read back as it is.
    """
    if component.newline and "\r" in text:
        raise PromptError(f"{component.id}: the new text holds a carriage return; its line ends must be \\n")
    if not component.bom and text.startswith("\ufeff"):
        raise PromptError(f"{component.id}: the new text opens with a byte order mark, which the file has not")
    if component.newline == "\r\n":
        text = text.replace("\n", "\r\n")
    try:
        body = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise PromptError(f"{component.id}: the new text cannot be written as UTF-8: {error.reason}") from None
    return codecs.BOM_UTF8 + body if component.bom else body


def check_overlap(components: Sequence[Component]) -> None:
    """Raise `PromptError` if one of the components of a file is the whole of it."""
    if len(components) == 1:
        return
    for component in components:
        if component.format == TEXT:
            other = next(one for one in components if one is not component)
            raise PromptError(
                f"{component.id}: the whole file is a component, and so is {other.id} inside it; ask for only one "
                "of the two"
            )


def _composed(components: Sequence[Component], texts: Mapping[str, str]) -> bytes:
    """The one file of these components."""
    check_overlap(components)
    first = components[0]
    if first.format == TEXT:
        return _whole(first, texts.get(first.id, first.text))
    if any(one.source != first.source or one.format != first.format for one in components):
        raise PromptError(f"{first.id}: the file was read at different times, and has changed between them")
    changes = tuple((one.place, texts.get(one.id, one.text)) for one in components)
    try:
        return with_texts(first.format, first.source, changes)
    except FieldError as error:
        id = next(one.id for one in components if one.place == error.path)
        raise PromptError(f"{id}: {error}") from None
    except FormatError as error:
        raise PromptError(f"{first.id}: {error}") from None


def _whole(component: Component, text: str) -> bytes:
    if "\0" in text:
        raise PromptError(f"{component.id}: the new text holds a NUL character, which no file of text may")
    data = encode(component, text)
    if text != component.text:
        problem = _form_problem(component.path, component.id.endswith("::"), component.source, data)
        if problem is not None:
            raise PromptError(f"{component.id}: {problem}")
    return data


@lru_cache(maxsize=128)
def _form_problem(path: Path, is_everything: bool, old: bytes, new: bytes) -> str | None:
    """Why a new whole file is not of its format any more."""
    format = format_name(path)
    if format == TEXT or (format == FRONT_MATTER and is_everything):
        return None
    if format == FRONT_MATTER:
        if has_block(new.decode("utf-8-sig")):
            return "the new text opens with a block between --- lines, which would be read as front matter"
        return None
    try:
        parsed(format, old)
    except FormatError:
        return None  # a template of such a file, say
    try:
        parsed(format, new)
    except FormatError as error:
        return f"the new text is {error}"
    return None
