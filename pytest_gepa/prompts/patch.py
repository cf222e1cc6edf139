"""Patches: changed files as a diff that `git apply` takes, under a message for the reader, and its checks.

The message quotes text from language models, so it is written such that neither git nor GNU patch (which sees
through indents, and runs ed scripts) can take a line of it for a part of the diff.
"""

from __future__ import annotations

import difflib
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

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
# Set when git has started this process, as in a hook: they point to another place than the given directory.
GIT_PLACES = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
)
KEEP_SPACES = "--whitespace=nowarn"
"""Has `git apply` take lines as they are, whatever `apply.whitespace` says."""

_GIT_SECONDS = 60


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


def git_top(root: Path) -> Path | None:
    """Return the top of the git working tree that holds `root`; None outside of one, or without git."""
    finished = _git(["rev-parse", "--show-toplevel"], root)
    if finished is None or finished.returncode != 0:
        return None
    top = Path(os.fsdecode(finished.stdout.removesuffix(b"\n"))).resolve()
    return top if root.resolve().is_relative_to(top) else None


def path_from(top: Path, path: Path) -> str:
    """The path of a file from the top of the repository; as it is, where it lies outside."""
    try:
        return path.resolve().relative_to(top.resolve()).as_posix()
    except ValueError:
        return path.as_posix()


def git_words(root: Path) -> str:
    """Git's own words on why it has no working tree that holds `root`; "" where it has one, or is missing."""
    finished = _git(["rev-parse", "--show-toplevel"], root)
    return "" if finished is None else finished.stderr.decode("utf-8", "replace").strip()


def git_keeps_spaces(top: Path) -> bool:
    """Whether a plain `git apply` in `top` takes lines that end in spaces, as they are: `apply.whitespace` may refuse
    them, or cut the spaces off."""
    finished = _git(["config", "--get", "apply.whitespace"], top)
    return finished is None or finished.stdout.strip() in (b"", b"nowarn", b"warn")


def git_apply_check(patch_file: Path, top: Path) -> str | None:
    """Ask git if the patch would apply in `top`: None if so, or if there is no git, else git's message.

    What the user has git say of spaces at the end of lines is passed over: they are the text's.
    """
    finished = _git(["apply", "--check", "--verbose", KEEP_SPACES, str(patch_file.resolve())], top)
    if finished is None:
        return None
    said = finished.stderr.decode("utf-8", "replace").strip()
    if finished.returncode != 0:
        return said or f"git apply --check ended with {finished.returncode}"
    # Below the top of a tree git passes over files elsewhere, and still ends with 0.
    skipped = [line for line in said.splitlines() if line.startswith("Skipped patch")]
    return "\n".join(skipped) or None


def _git(arguments: list[str], directory: Path) -> subprocess.CompletedProcess[bytes] | None:
    environment = {name: value for name, value in os.environ.items() if name not in GIT_PLACES}
    environment["LC_ALL"] = "C"
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


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
