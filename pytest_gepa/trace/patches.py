"""Functions of other people's classes that are replaced for a time, and put back. What the replacements do is not
here."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class _Patch:
    """A function of ours on a class, and the one that was there before."""

    owner: type
    name: str
    original: Function
    ours: Function


class Patches:
    """The replacements that are in place."""

    def __init__(self) -> None:
        self._patches: list[_Patch] = []

    def replace(self, owner: type, name: str, make: Callable[[Function], Function]) -> None:
        """Put `make(original)` in the place of a method; it gets the name, the signature and the rest of the original.

        Not twice: `httpx`, for one, may be another name of the module `httpx2`.
        """
        if any(patch.owner is owner and patch.name == name for patch in self._patches):
            return
        original: Function = getattr(owner, name)
        ours = functools.wraps(original)(make(original))
        setattr(owner, name, ours)
        self._patches.append(_Patch(owner, name, original, ours))

    def undo(self) -> None:
        """Put everything back, the last first; a function that somebody has wrapped since stays."""
        while self._patches:
            patch = self._patches.pop()
            if vars(patch.owner).get(patch.name) is patch.ours:
                setattr(patch.owner, patch.name, patch.original)
