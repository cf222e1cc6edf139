"""What a model has thought before it answers, where its server does not tell the two apart: `<think>...</think>`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_gepa.reflect.fence import UnclosedFenceError, find_fences

OBJECT = re.compile(r"^[ \t]*(?:<\w+>[ \t]*)?\{", re.MULTILINE)
"""What begins an object of JSON on a line of its own."""

_TAG = re.compile(r"<(/?)think(?:ing)?>", re.IGNORECASE)
_TRIED = 8
"""Closing tags behind which an answer is looked for."""


class UnclosedThoughtError(Exception):
    """A reply that ends inside a thought."""


def without_thoughts(text: str) -> str:
    """The text without closed thoughts that stand outside fences; the first may lack its opening tag.

    Raises `UnclosedThoughtError`.
    """
    kept: list[str] = []
    first = _TAG.search(text)
    if first and first[1] and _is_outside(text, first.start()):
        text = text[first.end() :]
    while opened := _first_thought(text):
        closed = next((tag for tag in _TAG.finditer(text, opened.end()) if tag[1]), None)
        if closed is None:
            raise UnclosedThoughtError
        kept.append(text[: opened.start()])
        text = text[closed.end() :]
    return "".join([*kept, text])


def behind_thoughts(text: str) -> Iterator[str]:
    """What may be the answer behind a thought without its opening tag, which a template has put into the request: what
    stands behind the last closing tag, and behind those before it, as the answer may speak of tags itself.
    """
    tags = list(_TAG.finditer(text))
    if not tags or not tags[0][1]:
        return
    for tag in [tag for tag in reversed(tags) if tag[1]][:_TRIED]:
        behind = text[tag.end() :].strip()
        if behind and not _inside_a_fence(text, tag.start()):
            yield behind


def _first_thought(text: str) -> re.Match[str] | None:
    opened = next((tag for tag in _TAG.finditer(text) if not tag[1]), None)
    return opened if opened is not None and _is_outside(text, opened.start()) else None


def _is_outside(text: str, position: int) -> bool:
    """Whether a tag stands before the answer, which may speak of such tags itself."""
    return not _inside_a_fence(text, position) and OBJECT.search(text, 0, position) is None


def _inside_a_fence(text: str, position: int) -> bool:
    try:
        find_fences(text[:position])
    except UnclosedFenceError:
        return True
    return False
