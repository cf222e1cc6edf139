"""Patches read again: what they do to which file, strictly, and the bytes that they make."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from unidiff.patch import PatchedFile, PatchSet

from pytest_gepa.errors import PatchError
from pytest_gepa.prompts.patch_form import (
    blob_hash,
    check_path,
    first_file,
    header_lines,
    split_lines,
    unquoted,
)


@dataclass(frozen=True, slots=True)
class FilePatch:
    """What a patch does to one file: `old` and `new` are the hashes of its bytes before and after, see `blob_hash`."""

    path: str
    old: str
    new: str
    _hunks: PatchedFile

    @property
    def counts(self) -> tuple[int, int]:
        """How many lines are added, and how many removed."""
        return self._hunks.added, self._hunks.removed

    def apply(self, data: bytes) -> bytes:
        """The file's bytes after. Raises `PatchError` unless `data` is the file that the patch was made for."""
        if blob_hash(data) != self.old:
            raise PatchError(f"{self.path}: not the file that the patch was made for")
        made = applied(self._hunks, data)
        if blob_hash(made) != self.new:
            raise PatchError(f"{self.path}: the patch does not give the file that it announces")
        return made


def read_patch(patch: bytes) -> tuple[FilePatch, ...]:
    """What a patch of `make_patch` does, file by file, in its order.

    Raises `PatchError` for any other: one that does more than to change the text of files, or that names a path
    which is absolute, climbs out of its directory or goes through `.git`.
    """
    found: list[FilePatch] = []
    lines = split_lines(patch)
    at = first_file(lines)
    for file in parsed(lines):
        path, old, new = _header_values(lines[at : at + 4])
        check_path(path)
        if path in [earlier.path for earlier in found]:
            raise PatchError(f"{path!a}: the file stands twice in one patch")
        found.append(FilePatch(path, old, new, file))
        at += 4 + sum(1 + len(hunk) for hunk in file)
    if at != len(lines):
        raise PatchError("the patch holds lines that belong to no file")
    if not found:
        raise PatchError("the patch changes no file")
    return tuple(found)


def patch_message(patch: bytes) -> str:
    """The text above the first file of a patch."""
    lines = split_lines(patch)
    return b"".join(lines[: first_file(lines)]).decode("utf-8", "replace")


def parsed(lines: Sequence[bytes]) -> list[PatchedFile]:
    """The files of a patch as a parser reads them that did not write it. Raises `PatchError`."""
    try:
        # Latin-1 maps every byte to one character and back, so nothing is lost or taken for another line end.
        return list(PatchSet([line.decode("latin-1") for line in lines]))
    except Exception as error:  # on malformed input the parser also fails by accident, in any way
        raise PatchError(f"the patch cannot be parsed: {error}") from error


def applied(file: PatchedFile, old: bytes) -> bytes:
    """Return what the hunks make of `old`; raises `PatchError` where they do not fit."""
    lines = split_lines(old)
    made: list[bytes] = []
    position = 0
    for hunk in file:
        start = hunk.source_start - 1 if hunk.source_length else hunk.source_start
        if start < position:
            raise PatchError(f"{file.path}: the hunks of the patch are not in order")
        made += lines[position:start]
        before, after = _sides([(line.line_type, line.value.encode("latin-1")) for line in hunk])
        if lines[start : start + len(before)] != before:
            raise PatchError(f"{file.path}: the patch does not fit the file at line {start + 1}")
        made += after
        position = start + len(before)
    return b"".join(made + lines[position:])


def _header_values(header: Sequence[bytes]) -> tuple[str, str, str]:
    """Path and hashes from the lines above a file's hunks, which must be exactly those that `header_lines` writes."""
    index = re.fullmatch(rb"index ([0-9a-f]{40})\.\.([0-9a-f]{40})\n", header[1] if len(header) == 4 else b"")
    if index is None:
        raise PatchError("the patch does more to a file than to change its text, or was not made by pytest-gepa")
    name = header[3].removeprefix(b"+++ ").removesuffix(b"\n").removesuffix(b"\t")
    path = unquoted(name.decode("ascii", "replace")).removeprefix("b/")
    old, new = index[1].decode(), index[2].decode()
    if header_lines(path, old, new) != list(header):
        raise PatchError(f"{path!a}: the patch does more to the file than to change its text")
    return path, old, new


def _sides(body: list[tuple[str, bytes]]) -> tuple[list[bytes], list[bytes]]:
    before: list[bytes] = []
    after: list[bytes] = []
    for at, (sign, value) in enumerate(body):
        if sign == "\\":
            continue
        if sign not in (" ", "-", "+"):
            raise PatchError(f"the patch holds a line that is neither kept, removed nor added: {value!r}")
        if at + 1 < len(body) and body[at + 1][0] == "\\":
            value = value.removesuffix(b"\n")
        if sign != "+":
            before.append(value)
        if sign != "-":
            after.append(value)
    return before, after
