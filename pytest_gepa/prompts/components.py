"""Components: the prompt files that are optimised. How to find and read them, and the bytes of a new text."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from pytest_gepa.errors import PromptError

DEFAULT_PATTERNS = ("prompts/**/*",)
PROMPT_SUFFIXES = (".md", ".txt", ".prompt", ".prompty", ".jinja", ".jinja2", ".j2")

# A text from a language model must not become a program that the tests run before anyone has read it.
_CODE_SUFFIXES = frozenset(
    {".py", ".pyi", ".pyw", ".pyx", ".pth", ".ipynb", ".sh", ".bash", ".zsh", ".js", ".mjs", ".cjs", ".ts"}
)
_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Component:
    """One prompt file.

    `id` is its path relative to the rootdir with forward slashes (`prompts/route.md`). `text` has "\\n" line
    ends only; `newline` is the file's own ("\\n" or "\\r\\n"), and `bom` says whether it opens with a UTF-8
    byte order mark. A file of mixed line ends is held as it is, with `newline` "". `address` is the place of
    the text inside its file, "" where the text is the whole file; `source` is the whole file as it was read.
    """

    id: str
    path: Path
    text: str
    newline: str = "\n"
    bom: bool = False
    address: str = ""
    source: bytes = field(default=b"", repr=False)


def find_components(root: Path, base: Path, patterns: Sequence[str]) -> tuple[Component, ...]:
    """Return the prompt files that the globs in `patterns` match, read against `base`, sorted by id.

    A pattern of `DEFAULT_PATTERNS`, or one that names a directory, takes files with a suffix of
    `PROMPT_SUFFIXES`. One that says its suffix (`*.xml`, `route.md`) takes all that it matches; one that does
    not (`texts/*`) takes whatever is text and no program. Wildcards pass over hidden names. Two names for one
    file are one component. Raises `PromptError`, naming the file, for one that lies outside `root`, cannot be
    read, is not UTF-8, is a program, or is named without a wildcard and is not there.
    """
    found: dict[str, Component] = {}
    try:
        for pattern in patterns:
            parts, takes = _parsed(base, pattern)
            for path in _expanded(base, parts):
                component = _matched(root, path, takes)
                if component is not None:
                    found[component.id] = component
    except OSError as error:  # a folder that may not be listed or entered
        raise PromptError(f"{error.filename}: cannot be read: {error.strerror or error}") from error
    return tuple(found[id] for id in sorted(found))


def read_component(root: Path, path: Path) -> Component:
    """Read one prompt file; a symlink stands for its target.

    Raises `PromptError`, naming the file, for one that lies outside `root`, is no regular file, cannot be
    read, or is not UTF-8 text.
    """
    target = _resolved(path)
    try:
        id = target.relative_to(root.resolve()).as_posix()
    except ValueError:
        raise PromptError(f"{path}: the file ({target}) lies outside the rootdir {root}") from None
    if not target.is_file():
        raise PromptError(f"{path}: not a regular file")
    try:
        id.encode()
        data = target.read_bytes()
        content = data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeEncodeError:
        raise PromptError(f"{id!a}: the file's name is not UTF-8") from None
    except UnicodeDecodeError as error:
        raise _NotTextError(f"{id}: not UTF-8 (byte {error.start}); a prompt must be UTF-8 text") from None
    except OSError as error:
        raise PromptError(f"{id}: cannot be read: {error.strerror or error}") from error
    if "\0" in content:
        raise _NotTextError(f"{id}: holds NUL bytes; a prompt must be UTF-8 text")
    text, newline = _without_line_ends(content)
    return Component(id, target, text, newline, bom=data.startswith(codecs.BOM_UTF8), source=data)


def compose(components: Iterable[Component], texts: Mapping[str, str]) -> dict[Path, bytes]:
    """Return each file of `components` with the texts that `texts` has for them by id, as bytes by path.

    A component without a text there keeps its own. Raises `PromptError` for a text that its file cannot hold.
    """
    return {
        component.path: encode(component, texts.get(component.id, component.text)) for component in components
    }


def encode(component: Component, text: str) -> bytes:
    """Return the bytes of the component's file with `text` in it, with the file's own line ends and BOM.

    Raises `PromptError` for a text that would not read back as it is.
    """
    if component.newline and "\r" in text:
        raise PromptError(f"{component.id}: the new text holds a carriage return; its line ends must be \\n")
    if not component.bom and text.startswith("\ufeff"):
        raise PromptError(
            f"{component.id}: the new text opens with a byte order mark, which the file has not"
        )
    if component.newline == "\r\n":
        text = text.replace("\n", "\r\n")
    try:
        body = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise PromptError(
            f"{component.id}: the new text cannot be written as UTF-8: {error.reason}"
        ) from None
    return codecs.BOM_UTF8 + body if component.bom else body


class _NotTextError(PromptError):
    """The file holds no UTF-8 text, which is a mistake only where the file was asked for."""


class _Takes(Enum):
    """What a pattern takes of the files that it matches."""

    prompts = "files with a prompt's suffix"
    texts = "text of any suffix"
    named = "all"


def _parsed(base: Path, pattern: str) -> tuple[tuple[str, ...], _Takes]:
    parts = PurePosixPath(pattern).parts
    if not parts:
        raise PromptError("a pattern for prompt files is empty")
    if pattern in DEFAULT_PATTERNS:
        return parts, _Takes.prompts
    if not _has_wildcard(pattern):
        path = base.joinpath(*parts)
        if path.is_dir():
            return (*parts, "**"), _Takes.prompts
        if not path.exists():
            raise PromptError(f"{path}: no such file")
    last = PurePosixPath(pattern).name
    return parts, _Takes.texts if _has_wildcard(PurePosixPath(last).suffix or last) else _Takes.named


def _has_wildcard(part: str) -> bool:
    return any(character in part for character in "*?[")


def _expanded(directory: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    """Yield the paths that match. (The standard globs miss symlinked folders or run round their loops.)"""
    if not parts:
        yield directory
        return
    head, rest = parts[0], parts[1:]
    if head == "**":
        for folder in _folders_under(directory):
            yield from _expanded(folder, rest or ("*",))
    elif _has_wildcard(head):
        for child in _children(directory):
            if fnmatchcase(child.name, head) and (head.startswith(".") or not child.name.startswith(".")):
                yield from _expanded(child, rest)
    else:
        yield from _expanded(directory / head, rest)


def _folders_under(top: Path) -> Iterator[Path]:
    """Yield `top` and the folders below it, but no hidden ones, each once however many names lead to it."""
    waiting, seen = [top], set()
    while waiting:
        folder = waiting.pop()
        place = folder.resolve()
        if place in seen:
            continue
        seen.add(place)
        yield folder
        waiting += [child for child in _children(folder) if not child.name.startswith(".") and child.is_dir()]


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _matched(root: Path, path: Path, takes: _Takes) -> Component | None:
    """Read a file that a pattern has matched; None if the pattern does not take a file of that kind."""
    if not path.is_file():
        if takes is _Takes.named and path.exists() and not path.is_dir():
            raise PromptError(f"{path}: not a regular file")
        return None
    is_prompt = path.suffix.lower() in PROMPT_SUFFIXES
    if takes is _Takes.prompts and not is_prompt:
        return None
    is_asked_for = is_prompt or takes is _Takes.named
    if {path.suffix.lower(), _resolved(path).suffix.lower()} & _CODE_SUFFIXES:
        if is_asked_for:
            raise PromptError(f"{path}: is a program; only files of text can be optimised")
        return None
    try:
        return read_component(root, path)
    except _NotTextError:
        if is_asked_for:
            raise
        return None


def _resolved(path: Path) -> Path:
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # a loop of symlinks is a RuntimeError before Python 3.13
        raise PromptError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _without_line_ends(content: str) -> tuple[str, str]:
    kinds = set(_LINE_END.findall(content))
    if kinds <= {"\n"}:
        return content, "\n"
    if kinds == {"\r\n"}:
        return content.replace("\r\n", "\n"), "\r\n"
    return content, ""
