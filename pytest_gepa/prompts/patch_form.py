"""What every patch of ours looks like: lines, headers, the spelling of paths, the names of contents."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence

from pytest_gepa.errors import PatchError

_ESCAPED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # what a terminal obeys or a reader cannot see
_C_ESCAPES = {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 34: '"', 92: "\\"}


def blob_hash(data: bytes) -> str:
    """The name that git has for these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def visible(text: str) -> str:
    """A line of text from elsewhere as a terminal may show it: what a terminal obeys is spelled out."""
    return "".join(
        _escape(character) if unicodedata.category(character) in _ESCAPED else character for character in text
    )


def check_path(path: str) -> None:
    """Raise `PatchError` for a path that git refuses: absolute, climbing, through `.git`, or of no file system."""
    is_name = "\0" not in path and not re.search("[\ud800-\udbff]", path)  # what a file system can hold
    if not is_name or any(part.lower() in ("", ".", "..", ".git") for part in path.split("/")):
        raise PatchError(f"{path!a} cannot be the path of a file in a patch")


def split_lines(data: bytes) -> list[bytes]:
    """Split at line feeds only, and keep them: all other bytes that may end a line are content to git."""
    return re.findall(rb"[^\n]*\n|[^\n]+", data)


def first_file(lines: Sequence[bytes]) -> int:
    """Where the message of a patch ends and its first file begins."""
    return next((at for at, line in enumerate(lines) if line.startswith(b"diff --git ")), len(lines))


def header_lines(path: str, old_hash: str, new_hash: str) -> list[bytes]:
    """Return the lines above the hunks.

    No file mode is named, so the file keeps its own; the hashes of the contents allow `git apply --3way`.
    """
    old, new = quoted("a/" + path), quoted("b/" + path)
    # Without a tab behind it, a name with a space would be cut at the space.
    end = "\t" if " " in old else ""
    lines = [
        f"diff --git {old} {new}\n",
        f"index {old_hash}..{new_hash}\n",
        f"--- {old}{end}\n",
        f"+++ {new}{end}\n",
    ]
    return [line.encode() for line in lines]


def quoted(name: str) -> str:
    """Write a path as git does: as it is, or as a C string if it holds bytes that need it.

    So is one with spaces where `diff --git a/x b/x` could be cut at another place, or lose one.
    Spaces inside a C string are escaped too, for parsers that cut the line at its last space.
    """
    raw = name.encode("utf-8", "surrogateescape")
    is_plain = all(0x20 <= byte < 0x7F and byte not in _C_ESCAPES for byte in raw)
    if is_plain and " b/" not in name and "  " not in name and not name.endswith(" "):
        return name
    return '"' + "".join(_c_escape(byte) for byte in raw) + '"'


def unquoted(name: str) -> str:
    """The path that `quoted` wrote. Raises `PatchError` for another spelling of it."""
    raw = name
    if name.startswith('"'):
        codes = {letter: code for code, letter in _C_ESCAPES.items()}
        data = bytearray()
        for escape, plain in re.findall(r"\\([0-7]{3}|.)|([^\\])", name[1:-1], re.DOTALL):
            data.append(ord(plain) if plain else int(escape, 8) & 255 if escape.isdecimal() else codes.get(escape, 0))
        raw = data.decode("utf-8", "surrogateescape")
    if quoted(raw) != name:
        raise PatchError(f"{name!a} is not how a patch of ours spells a path")
    return raw


def _c_escape(byte: int) -> str:
    if byte in _C_ESCAPES:
        return "\\" + _C_ESCAPES[byte]
    return chr(byte) if 0x20 < byte < 0x7F else f"\\{byte:03o}"


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
