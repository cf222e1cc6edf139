"""Patches: changed files as a diff that `git apply` takes, under a message for the reader, and its checks.

The message quotes text from language models, so it is written such that neither git nor GNU patch (which sees
through indents, and runs ed scripts) can take a line of it for a part of the diff.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_gepa.errors import PatchError
from pytest_gepa.prompts.patch_form import (
    blob_hash,
    check_path,
    first_file,
    header_lines,
    quoted,
    split_lines,
    visible,
)
from pytest_gepa.prompts.patch_reading import applied, parsed

_CONTEXT = 3
_NO_NEWLINE = b"\\ No newline at end of file\n"
_QUOTE = "    | "
# A heading that opens with one of these could be read as a diff; GNU patch looks behind a leading X too.
_PLAIN = re.compile(
    r"(?!X|(?:binary|copy|deleted|diff|dissimilarity|from|git|index|new|old|only|prereq|rename|similarity)\b)[a-z]",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class FileChange:
    """The bytes of one file before and after; `path` is relative to where the patch applies, with slashes."""

    path: str
    old: bytes
    new: bytes


@dataclass(frozen=True, slots=True)
class PatchLine:
    """A line of a patch's message. What others have written must be `quoted`; headings of ours need not."""

    text: str
    quoted: bool = True


def make_patch(changes: Sequence[FileChange], message_lines: Sequence[PatchLine]) -> bytes:
    """Return a patch, in UTF-8, that turns every `old` into its `new`, below a message.

    Files without a change are left out. Raises `PatchError` if none is left, or for a path that git refuses.
    """
    changed = _changed(changes)
    if not changed:
        raise PatchError("there is nothing to put into a patch: no file changes")
    message = "".join(f"{line}\n" for message_line in message_lines for line in _message(message_line))
    return message.encode() + (b"\n" if message else b"") + b"".join(_diff(change) for change in changed)


def check_patch(patch: bytes, changes: Sequence[FileChange]) -> None:
    """Raise `PatchError` unless `patch` changes exactly the files of `changes`, making `new` of each `old`.

    The whole patch, its message included, is read by a parser that did not write it.
    """
    changed = _changed(changes)
    lines = split_lines(patch)
    start = first_file(lines)
    for line in lines[:start]:
        if not _is_harmless(line.decode("utf-8", "replace").rstrip("\n")):
            raise PatchError(f"a line of the patch's message could be read as part of the diff: {line!r}")
    files = parsed(lines)
    names = [(file.source_file, file.target_file) for file in files]
    expected = [(quoted("a/" + change.path), quoted("b/" + change.path)) for change in changed]
    if names != expected:
        raise PatchError(f"the patch touches {names}, not {expected}")
    at = start
    for file, change in zip(files, changed, strict=True):
        header = header_lines(change.path, blob_hash(change.old), blob_hash(change.new))
        if lines[at : at + len(header)] != header:
            raise PatchError(f"{change.path}: the patch does more to the file than to change its text")
        if applied(file, change.old) != change.new:
            raise PatchError(f"{change.path}: the patch gives another file than the candidate's")
        at += len(header) + sum(1 + len(hunk) for hunk in file)
    if at != len(lines):
        raise PatchError("the patch holds lines that belong to no file")


def _changed(changes: Sequence[FileChange]) -> list[FileChange]:
    paths = [change.path for change in changes]
    for path in paths:
        check_path(path)
        if paths.count(path) > 1:
            raise PatchError(f"{path!a}: the file stands twice in one patch")
    return [change for change in changes if change.old != change.new]


def _message(line: PatchLine) -> list[str]:
    if line.quoted:
        return [_QUOTE + visible(part) for part in line.text.split("\n")]
    text = visible(line.text)
    return [text if _is_harmless(text) else _QUOTE + text]


def _is_harmless(line: str) -> bool:
    return not line or line.startswith(_QUOTE) or _PLAIN.match(line) is not None


def _diff(change: FileChange) -> bytes:
    header = header_lines(change.path, blob_hash(change.old), blob_hash(change.new))
    return b"".join([*header, *_hunks(split_lines(change.old), split_lines(change.new))])


def _hunks(old: list[bytes], new: list[bytes]) -> Iterator[bytes]:
    for group in difflib.SequenceMatcher(None, old, new).get_grouped_opcodes(_CONTEXT):
        _, old_start, _, new_start, _ = group[0]
        _, _, old_end, _, new_end = group[-1]
        yield f"@@ -{_extent(old_start, old_end)} +{_extent(new_start, new_end)} @@\n".encode()
        for tag, i, j, k, m in group:
            if tag == "equal":
                yield from (_body_line(b" ", line) for line in old[i:j])
            else:
                yield from (_body_line(b"-", line) for line in old[i:j])
                yield from (_body_line(b"+", line) for line in new[k:m])


def _extent(start: int, end: int) -> str:
    # An empty extent is counted from the line before it; only an empty file gives one here.
    return f"{start + 1 if end > start else start},{end - start}"


def _body_line(sign: bytes, line: bytes) -> bytes:
    return sign + line if line.endswith(b"\n") else sign + line + b"\n" + _NO_NEWLINE
