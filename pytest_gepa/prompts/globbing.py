"""Walking the files that a glob names, hidden ones left out, symlinked folders taken in."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path


def has_wildcard(part: str) -> bool:
    """Whether a glob, or a part of one, may name more than one file."""
    return any(character in part for character in "*?[")


def expanded(directory: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    """Yield the paths that match. (The standard globs miss symlinked folders or run round their loops.)"""
    if not parts:
        yield directory
        return
    head, rest = parts[0], parts[1:]
    if head == "**":
        for folder in _folders_under(directory):
            yield from expanded(folder, rest or ("*",))
    elif has_wildcard(head):
        for child in _children(directory):
            if fnmatchcase(child.name, head) and (head.startswith(".") or not child.name.startswith(".")):
                yield from expanded(child, rest)
    else:
        yield from expanded(directory / head, rest)


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
