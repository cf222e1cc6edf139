"""Finding components: from the patterns of the settings to the files that they name and the texts in them.

How files are walked is in `globbing`, how they are read in `reading`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path, PurePosixPath

from pytest_gepa.errors import PromptError
from pytest_gepa.prompts.addresses import (
    SEPARATOR,
    AddressPattern,
    FieldPath,
    parse_address,
    split_pattern,
    write_address,
)
from pytest_gepa.prompts.components import Component, by_file, check_overlap
from pytest_gepa.prompts.formats.document import Document, FormatError, Refusal
from pytest_gepa.prompts.formats.setting import FRONT_MATTER, PYTHON, TEXT, format_name, parsed
from pytest_gepa.prompts.globbing import expanded, has_wildcard
from pytest_gepa.prompts.likely import is_called_a_prompt, looks_like_a_prompt
from pytest_gepa.prompts.programs import CODE_SUFFIXES
from pytest_gepa.prompts.reading import NotTextError, SourceFile, inside, plain, read_file, resolved, whole

DEFAULT_PATTERNS = ("prompts/**/*",)
TEXT_SUFFIXES = (".md", ".markdown", ".txt", ".prompt", ".prompty", ".jinja", ".jinja2", ".j2")
DATA_SUFFIXES = (".yaml", ".yml", ".toml", ".json")
PROMPT_SUFFIXES = TEXT_SUFFIXES + DATA_SUFFIXES
LARGEST_UNASKED = 1_000_000  # bytes; a larger file is data, and would take seconds to parse
SHOWN = 8
_ABOUT = frozenset({"readme", "changelog", "contributing", "license", "licence"})
"""Files that speak of prompts to people; they are taken only where they are asked for."""


class _Takes(Enum):
    """What a pattern takes of the files that it matches."""

    prompts = "files with a prompt's suffix"
    texts = "text of any suffix"
    matches = "all that it matches"
    named = "the one file that it names"


@dataclass(frozen=True, slots=True)
class _Pattern:
    """One pattern of the settings. `address` is None where it has none, and "" for whole files."""

    written: str
    parts: tuple[str, ...]
    takes: _Takes
    address: AddressPattern | str | None

    @property
    def is_for_all(self) -> bool:
        """Whether every file that it matches was asked for, so that one that cannot be used is a mistake."""
        return self.takes in (_Takes.named, _Takes.matches)


def find_components(root: Path, base: Path, patterns: Sequence[str]) -> tuple[Component, ...]:
    """Return the components that `patterns` mean, read against `base`, sorted by file and place in it.

    A pattern is a glob for files, and may have an address for texts inside them behind `::` (`docs/prompts.md`
    tells all of it). A pattern of `DEFAULT_PATTERNS`, or one that names a directory, takes files with a suffix of
    `PROMPT_SUFFIXES`. One that says its suffix (`*.xml`, `route.md`) takes all that it matches; one that does not
    (`texts/*`) takes whatever is text and no program. Wildcards pass over hidden names. Two names for one file are
    one file. Raises `PromptError`, naming the file, for one that lies outside `root`, cannot be read, is not
    UTF-8, is a program and not named outright, or is named without a wildcard and is not there; for a text that
    is asked for and cannot be set; and for a file that is asked for as a whole and in parts.
    """
    found: dict[str, Component] = {}
    try:
        for written in patterns:
            pattern = _parsed(base, written)
            for path in expanded(base, pattern.parts):
                found |= {component.id: component for component in _matched(root, path, pattern)}
    except OSError as error:  # a folder that may not be listed or entered
        raise PromptError(f"{error.filename}: cannot be read: {error.strerror or error}") from error
    _check_overlaps(found.values())
    return tuple(found[id] for id in sorted(found))


def matched_files(base: Path, patterns: Iterable[str]) -> Iterator[Path]:
    """Yield the files in which `find_components` would look, without reading any; what is not there is passed over."""
    for written in patterns:
        try:
            pattern = _parsed(base, written)
        except PromptError:
            continue
        yield from (path for path in expanded(base, pattern.parts) if path.is_file() and _may_take(path, pattern))


def named_outright(base: Path, patterns: Sequence[str]) -> list[str]:
    """Return those of the patterns that name one file, or one text in it, without a wildcard."""

    def is_whole(address: AddressPattern | str | None) -> bool:
        return not isinstance(address, AddressPattern) or not address.has_wildcard

    parsed = [_parsed(base, written) for written in patterns]
    return [one.written for one in parsed if one.takes is _Takes.named and is_whole(one.address)]


def has_called_prompts(component: Component) -> bool:
    """Whether a Python file holds texts whose names say that they are prompts."""
    if component.path.suffix.lower() not in CODE_SUFFIXES or format_name(component.path) != PYTHON:
        return False
    try:
        document = parsed(PYTHON, component.source)
    except FormatError:
        return False
    return any(is_called_a_prompt(path, field.text, document.roles) for path, field in document.fields.items())


def _parsed(base: Path, written: str) -> _Pattern:
    file, address = split_pattern(written)
    parts = PurePosixPath(file).parts
    if not parts:
        raise PromptError("a pattern for prompt files is empty")
    inside = parse_address(address) if address else address
    if file in DEFAULT_PATTERNS:
        return _Pattern(written, parts, _Takes.prompts, inside)
    if not has_wildcard(file):
        path = base.joinpath(*parts)
        if path.is_dir():
            return _Pattern(written, (*parts, "**"), _Takes.prompts, inside)
        if not path.exists():
            raise PromptError(f"{path}: no such file")
        return _Pattern(written, parts, _Takes.named, inside)
    last = PurePosixPath(file).name
    says_suffix = not has_wildcard(PurePosixPath(last).suffix or last)
    return _Pattern(written, parts, _Takes.matches if says_suffix else _Takes.texts, inside)


def _matched(root: Path, path: Path, pattern: _Pattern) -> list[Component]:
    """The components in a file that a pattern has matched; none if the pattern takes no file of that kind."""
    if not path.is_file():
        if pattern.is_for_all and path.exists() and not path.is_dir():
            raise PromptError(f"{path}: not a regular file")
        return []
    if not _may_take(path, pattern):
        return []
    suffix = path.suffix.lower()
    if suffix in DATA_SUFFIXES and not pattern.is_for_all and path.stat().st_size > LARGEST_UNASKED:
        return []
    is_asked_for = pattern.is_for_all or suffix in TEXT_SUFFIXES
    if pattern.address is None and _is_program(path):
        if not is_asked_for:
            return []
        if pattern.takes is not _Takes.named or suffix not in CODE_SUFFIXES:
            raise PromptError(
                f"{path}: is a program; name it outright, without wildcards, to have its code rewritten, or address "
                f"a text in it (file{SEPARATOR}NAME)"
            )
    try:
        return _taken(read_file(root, path), pattern)
    except NotTextError:
        if is_asked_for:
            raise
        return []


def _may_take(path: Path, pattern: _Pattern) -> bool:
    """Whether a pattern takes a file that it matches, as far as the file's name tells."""
    if not pattern.is_for_all and path.stem.lower() in _ABOUT:
        return False
    if pattern.takes is not _Takes.prompts or path.suffix.lower() in PROMPT_SUFFIXES:
        return True
    return isinstance(pattern.address, AddressPattern) and format_name(path) != TEXT


def _is_program(path: Path) -> bool:
    return not {path.suffix.lower(), resolved(path).suffix.lower()}.isdisjoint(CODE_SUFFIXES)


def _taken(file: SourceFile, pattern: _Pattern) -> list[Component]:
    """The components that a pattern means in a file."""
    if isinstance(pattern.address, AddressPattern):
        return _addressed(file, pattern, pattern.address)
    if pattern.address == "":
        return [whole(file)]
    if file.path.suffix.lower() in DATA_SUFFIXES:
        return _likely(file, pattern)
    return [plain(file)]


def _likely(file: SourceFile, pattern: _Pattern) -> list[Component]:
    """The texts of a data file that look like prompts; unasked, only those whose keys say so."""
    is_prompt = is_called_a_prompt if pattern.takes is _Takes.prompts else looks_like_a_prompt
    try:
        document = file.document()
    except FormatError as error:
        if pattern.is_for_all:
            raise PromptError(
                f"{file.id}: {error}. Mend it, or take all of it as one text: {file.id}{SEPARATOR}"
            ) from None
        return [_keyless(file)] if pattern.takes is _Takes.texts else []
    if not document.fields and pattern.takes is _Takes.texts:
        return [_keyless(file)]
    found = [path for path, field in document.fields.items() if is_prompt(path, field.text, document.roles)]
    if not found and pattern.takes is _Takes.named:
        raise PromptError(
            f"{file.id}: no text in it looks like a prompt; address one ({_examples(file.id, document.fields)}) or "
            f"take all of it as one text ({file.id}{SEPARATOR})"
        )
    return [inside(file, document, path) for path in found]


def _keyless(file: SourceFile) -> Component:
    """All of a file that holds no data, whatever its suffix says, so that its plain name means nothing else."""
    return replace(whole(file), id=file.id)


def _addressed(file: SourceFile, pattern: _Pattern, address: AddressPattern) -> list[Component]:
    """The texts of a file that an address means."""
    is_named = pattern.takes is _Takes.named
    if file.format == TEXT or (file.format == FRONT_MATTER and not file.has_front_matter):
        if is_named:
            raise PromptError(
                f"{pattern.written}: {file.id} is a text without fields; leave out what stands behind {SEPARATOR}"
            )
        return []
    try:
        document = file.document()
    except FormatError as error:
        if pattern.is_for_all:
            raise PromptError(f"{file.id}: {error}") from None
        return []
    found = [path for path in document.fields if path and address.matches(path, document.roles)]
    if address.names_nothing:
        found = [path for path in found if looks_like_a_prompt(path, document.fields[path].text, document.roles)]
    if not address.has_wildcard:
        _check_single(file, pattern, address, document, found)
    elif not found and is_named:
        what = "no text there looks like a prompt" if address.names_nothing else "no text is there"
        raise PromptError(f"{pattern.written}: {what}; {file.id} has {_examples('', document.fields)}")
    return [inside(file, document, path) for path in found]


def _check_single(
    file: SourceFile,
    pattern: _Pattern,
    address: AddressPattern,
    document: Document,
    found: Sequence[FieldPath],
) -> None:
    """Raise `PromptError` if an address without wildcards means no text that can be set, or several."""
    if len(found) > 1:
        raise PromptError(
            f"{pattern.written}: several messages have this role; address one by its place: "
            f"{', '.join(write_address(path) for path in found)}"
        )
    if found:
        return
    refused = _refusal(document, address)
    if refused is not None:
        path, refusal = refused
        raise PromptError(f"{file.id}{SEPARATOR}{write_address(path)}: {refusal.reason}")
    if pattern.takes is _Takes.named:
        written = pattern.written.partition(SEPARATOR)[2]
        names = {write_address(path): path for path in document.fields if path}
        below = [name for name in names if name.startswith((f"{written}.", f"{written}["))]
        close = below or difflib.get_close_matches(written, names, n=SHOWN, cutoff=0.5)
        shown = {names[name]: None for name in close} or document.fields
        raise PromptError(f"{pattern.written}: no text is there; {file.id} has {_examples('', shown)}")


def _refusal(document: Document, address: AddressPattern) -> tuple[FieldPath, Refusal] | None:
    """What was refused at the place that an address means, or above it."""
    for path, refusal in document.refused.items():
        for length in range(len(address.segments), 0, -1):
            if path and AddressPattern(address.segments[:length]).matches(path, document.roles):
                return path, refusal
    return None


def _examples(file: str, paths: Iterable[FieldPath]) -> str:
    """Some addresses for a message."""
    names = [write_address(path) for path in paths if path]
    head = f"{file}{SEPARATOR}" if file else ""
    shown = ", ".join(head + name for name in names[: 1 if file else SHOWN])
    more = f" and {len(names) - SHOWN} more" if not file and len(names) > SHOWN else ""
    return (shown or "none") + more


def _check_overlaps(components: Iterable[Component]) -> None:
    for inside_file in by_file(components).values():
        check_overlap(inside_file)
