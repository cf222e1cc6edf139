"""Reading a file of prompts, and making components of it: all of it, its body, or a text inside."""

from __future__ import annotations

import codecs
import tokenize
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pytest_gepa.errors import PromptError
from pytest_gepa.prompts.addresses import SEPARATOR, FieldPath, write_address
from pytest_gepa.prompts.components import Component
from pytest_gepa.prompts.formats.document import Document, FormatError
from pytest_gepa.prompts.formats.front_matter import BODY, has_block, without_line_ends
from pytest_gepa.prompts.formats.setting import FRONT_MATTER, PYTHON, TEXT, format_name, parsed


class NotTextError(PromptError):
    """The file holds no UTF-8 text, which is a mistake only where the file was asked for."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file as it was read. `path` is the real one, `id` that path below the rootdir."""

    id: str
    path: Path
    data: bytes
    format: str

    @property
    def has_front_matter(self) -> bool:
        """Whether the text of the file begins below a block of front matter."""
        return self.format == FRONT_MATTER and has_block(self.data.decode("utf-8-sig", "replace"))

    def document(self) -> Document:
        """The file taken apart; raises `FormatError` for one that is not well-formed."""
        return parsed(self.format, self.data)


def read_file(root: Path, path: Path) -> SourceFile:
    """Read one file; a symlink stands for its target.

    Raises `PromptError`, naming the file, for one that lies outside `root`, is no regular file or cannot be read.
    """
    target = resolved(path)
    try:
        id = target.relative_to(root.resolve()).as_posix()
    except ValueError:
        raise PromptError(
            f"{path}: the file ({target}) lies outside the rootdir {root}; start pytest with --rootdir and a directory "
            "that holds both"
        ) from None
    if not target.is_file():
        raise PromptError(f"{path}: not a regular file")
    if SEPARATOR in id:
        raise PromptError(f"{id}: {SEPARATOR} in a file's name would part it in two; rename the file")
    try:
        id.encode()
        return SourceFile(id, target, target.read_bytes(), format_name(target))
    except UnicodeEncodeError:
        raise PromptError(f"{id!a}: the file's name is not UTF-8") from None
    except OSError as error:
        raise PromptError(f"{id}: cannot be read: {error.strerror or error}") from error


def resolved(path: Path) -> Path:
    """The real path of a file; raises `PromptError` where there is none."""
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # a loop of symlinks is a RuntimeError before Python 3.13
        raise PromptError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def plain(file: SourceFile) -> Component:
    """The component that a file is without an address: its body, or the whole file."""
    if not file.has_front_matter:
        return whole(file)
    try:
        return inside(file, file.document(), BODY)
    except FormatError as error:
        raise NotTextError(f"{file.id}: {error}") from None


def whole(file: SourceFile) -> Component:
    """The component that is all of a file. Its id ends in `::` where the plain one means texts inside of it."""
    try:
        content = file.data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotTextError(f"{file.id}: not UTF-8 (byte {error.start}); a prompt must be UTF-8 text") from None
    if "\0" in content:
        raise NotTextError(f"{file.id}: holds NUL bytes; a prompt must be UTF-8 text")
    if file.format == PYTHON and not _is_read_as_utf_8(file.data):
        raise NotTextError(f"{file.id}: its first lines declare another encoding than UTF-8; save it as UTF-8")
    text, newline = without_line_ends(content)
    bom = file.data.startswith(codecs.BOM_UTF8)
    is_plain = file.format in (TEXT, PYTHON) or (file.format == FRONT_MATTER and not file.has_front_matter)
    id = file.id if is_plain else file.id + SEPARATOR
    return Component(id, file.path, text, newline, bom, source=file.data)


def inside(file: SourceFile, document: Document, path: FieldPath) -> Component:
    """The component that is one text inside of a file."""
    address = write_address(path)
    id = f"{file.id}{SEPARATOR}{address}" if address else file.id
    text = document.fields[path].text
    return Component(id, file.path, text, address=address, source=file.data, format=file.format, place=path)


def _is_read_as_utf_8(source: bytes) -> bool:
    try:
        return tokenize.detect_encoding(BytesIO(source).readline)[0] in ("utf-8", "utf-8-sig")
    except SyntaxError:
        return False
