"""Patches: changed files as a diff that `git apply` takes, under a message for the reader, and its checks.

The message quotes text from language models, so it is written such that neither git nor GNU patch (which sees
through indents, and runs ed scripts) can take a line of it for a part of the diff.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import subprocess
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from unidiff.patch import PatchedFile, PatchSet

from pytest_gepa.errors import PatchError

_CONTEXT = 3
_NO_NEWLINE = b"\\ No newline at end of file\n"
_QUOTE = "    | "
# A heading that opens with one of these could be read as a diff; GNU patch looks behind a leading X too.
_PLAIN = re.compile(
    r"(?!X|(?:binary|copy|deleted|diff|dissimilarity|from|git|index|new|old|only|prereq|rename|similarity)\b)[a-z]",
    re.IGNORECASE | re.ASCII,
)
_ESCAPED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # what a terminal obeys or a reader cannot see
_C_ESCAPES = {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 34: '"', 92: "\\"}
# Set when git has started this process, as in a hook: they point to another place than the given directory.
_GIT_PLACES = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
)
_GIT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class FileChange:
    """The bytes of one file before and after; `path` is relative to where the patch applies, with slashes."""

    path: str
    old: bytes
    new: bytes


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
        made = _applied(self._hunks, data)
        if blob_hash(made) != self.new:
            raise PatchError(f"{self.path}: the patch does not give the file that it announces")
        return made


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


def read_patch(patch: bytes) -> tuple[FilePatch, ...]:
    """What a patch of `make_patch` does, file by file, in its order.

    Raises `PatchError` for any other: one that does more than to change the text of files, or that names a path
    which is absolute, climbs out of its directory or goes through `.git`.
    """
    found: list[FilePatch] = []
    lines = _lines(patch)
    at = _start(lines)
    for file in _parsed(lines):
        path, old, new = _header_values(lines[at : at + 4])
        _check_path(path)
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
    lines = _lines(patch)
    return b"".join(lines[: _start(lines)]).decode("utf-8", "replace")


def blob_hash(data: bytes) -> str:
    """The name that git has for these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def visible(text: str) -> str:
    """A line of text from elsewhere as a terminal may show it: what a terminal obeys is spelled out."""
    return "".join(
        _escape(character) if unicodedata.category(character) in _ESCAPED else character for character in text
    )


def check_patch(patch: bytes, changes: Sequence[FileChange]) -> None:
    """Raise `PatchError` unless `patch` changes exactly the files of `changes`, making `new` of each `old`.

    The whole patch, its message included, is read by a parser that did not write it.
    """
    changed = _changed(changes)
    lines = _lines(patch)
    start = _start(lines)
    for line in lines[:start]:
        if not _is_harmless(line.decode("utf-8", "replace").rstrip("\n")):
            raise PatchError(f"a line of the patch's message could be read as part of the diff: {line!r}")
    files = _parsed(lines)
    names = [(file.source_file, file.target_file) for file in files]
    expected = [(_quoted("a/" + change.path), _quoted("b/" + change.path)) for change in changed]
    if names != expected:
        raise PatchError(f"the patch touches {names}, not {expected}")
    at = start
    for file, change in zip(files, changed, strict=True):
        header = _header(change.path, blob_hash(change.old), blob_hash(change.new))
        if lines[at : at + len(header)] != header:
            raise PatchError(f"{change.path}: the patch does more to the file than to change its text")
        if _applied(file, change.old) != change.new:
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


def git_apply_check(patch_file: Path, top: Path) -> str | None:
    """Ask git if the patch would apply in `top`: None if so, or if there is no git, else git's message."""
    finished = _git(["apply", "--check", "--verbose", str(patch_file.resolve())], top)
    if finished is None:
        return None
    said = finished.stderr.decode("utf-8", "replace").strip()
    if finished.returncode != 0:
        return said or f"git apply --check ended with {finished.returncode}"
    # Below the top of a tree git passes over files elsewhere, and still ends with 0.
    skipped = [line for line in said.splitlines() if line.startswith("Skipped patch")]
    return "\n".join(skipped) or None


def _git(arguments: list[str], directory: Path) -> subprocess.CompletedProcess[bytes] | None:
    environment = {name: value for name, value in os.environ.items() if name not in _GIT_PLACES}
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
        _check_path(path)
        if paths.count(path) > 1:
            raise PatchError(f"{path!a}: the file stands twice in one patch")
    return [change for change in changes if change.old != change.new]


def _check_path(path: str) -> None:
    is_name = "\0" not in path and not re.search("[\ud800-\udbff]", path)  # what a file system can hold
    if not is_name or any(part.lower() in ("", ".", "..", ".git") for part in path.split("/")):
        raise PatchError(f"{path!a} cannot be the path of a file in a patch")


def _start(lines: Sequence[bytes]) -> int:
    return next((at for at, line in enumerate(lines) if line.startswith(b"diff --git ")), len(lines))


def _parsed(lines: Sequence[bytes]) -> list[PatchedFile]:
    try:
        # Latin-1 maps every byte to one character and back, so nothing is lost or taken for another line end.
        return list(PatchSet([line.decode("latin-1") for line in lines]))
    except Exception as error:  # on malformed input the parser also fails by accident, in any way
        raise PatchError(f"the patch cannot be parsed: {error}") from error


def _message(line: PatchLine) -> list[str]:
    if line.quoted:
        return [_QUOTE + visible(part) for part in line.text.split("\n")]
    text = visible(line.text)
    return [text if _is_harmless(text) else _QUOTE + text]


def _is_harmless(line: str) -> bool:
    return not line or line.startswith(_QUOTE) or _PLAIN.match(line) is not None


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _quoted(name: str) -> str:
    """Write a path as git does: as it is, or as a C string if it holds bytes that need it.

    So is one with spaces where `diff --git a/x b/x` could be cut at another place, or lose one.
    Spaces inside a C string are escaped too, for parsers that cut the line at its last space.
    """
    raw = name.encode("utf-8", "surrogateescape")
    is_plain = all(0x20 <= byte < 0x7F and byte not in _C_ESCAPES for byte in raw)
    if is_plain and " b/" not in name and "  " not in name and not name.endswith(" "):
        return name
    return '"' + "".join(_c_escape(byte) for byte in raw) + '"'


def _c_escape(byte: int) -> str:
    if byte in _C_ESCAPES:
        return "\\" + _C_ESCAPES[byte]
    return chr(byte) if 0x20 < byte < 0x7F else f"\\{byte:03o}"


def _unquoted(name: str) -> str:
    """The path that `_quoted` wrote. Raises `PatchError` for another spelling of it."""
    raw = name
    if name.startswith('"'):
        codes = {letter: code for code, letter in _C_ESCAPES.items()}
        data = bytearray()
        for escape, plain in re.findall(r"\\([0-7]{3}|.)|([^\\])", name[1:-1], re.DOTALL):
            data.append(
                ord(plain) if plain else int(escape, 8) & 255 if escape.isdecimal() else codes.get(escape, 0)
            )
        raw = data.decode("utf-8", "surrogateescape")
    if _quoted(raw) != name:
        raise PatchError(f"{name!a} is not how a patch of ours spells a path")
    return raw


def _header_values(header: Sequence[bytes]) -> tuple[str, str, str]:
    """Path and hashes from the lines above a file's hunks, which must be exactly those that `_header` writes."""
    index = re.fullmatch(rb"index ([0-9a-f]{40})\.\.([0-9a-f]{40})\n", header[1] if len(header) == 4 else b"")
    if index is None:
        raise PatchError(
            "the patch does more to a file than to change its text, or was not made by pytest-gepa"
        )
    name = header[3].removeprefix(b"+++ ").removesuffix(b"\n").removesuffix(b"\t")
    path = _unquoted(name.decode("ascii", "replace")).removeprefix("b/")
    old, new = index[1].decode(), index[2].decode()
    if _header(path, old, new) != list(header):
        raise PatchError(f"{path!a}: the patch does more to the file than to change its text")
    return path, old, new


def _header(path: str, old_hash: str, new_hash: str) -> list[bytes]:
    """Return the lines above the hunks.

    No file mode is named, so the file keeps its own; the hashes of the contents allow `git apply --3way`.
    """
    old, new = _quoted("a/" + path), _quoted("b/" + path)
    # Without a tab behind it, a name with a space would be cut at the space.
    end = "\t" if " " in old else ""
    lines = [
        f"diff --git {old} {new}\n",
        f"index {old_hash}..{new_hash}\n",
        f"--- {old}{end}\n",
        f"+++ {new}{end}\n",
    ]
    return [line.encode() for line in lines]


def _diff(change: FileChange) -> bytes:
    header = _header(change.path, blob_hash(change.old), blob_hash(change.new))
    return b"".join([*header, *_hunks(_lines(change.old), _lines(change.new))])


def _lines(data: bytes) -> list[bytes]:
    """Split at line feeds only, and keep them: all other bytes that may end a line are content to git."""
    return re.findall(rb"[^\n]*\n|[^\n]+", data)


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


def _applied(file: PatchedFile, old: bytes) -> bytes:
    """Return what the hunks make of `old`; raises `PatchError` where they do not fit."""
    lines = _lines(old)
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
