"""The overlay of this process: its table of prompt files and who hears of reads. One at most, for patches stay."""

from __future__ import annotations

import os
import sys
from _thread import get_ident

from .table import PromptCopy, Table

HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
STANDARD_LIBRARY = os.path.dirname(os.path.abspath(os.__file__)) + os.sep


class Listener:
    """Hears of reads; the two kinds of processes that read prompts have one each."""

    def read(self, file: PromptCopy) -> None:
        """A prompt file was opened and the candidate's text given."""

    def leak(self, file: PromptCopy, how: str) -> None:
        """A prompt file was read, or is about to be, past the overlay."""

    def start(self, program: str) -> None:
        """A program is started of which nobody hears what it reads."""


class Current:
    """What the patches and the audit hook work with."""

    def __init__(self) -> None:
        self.table = Table(())
        self.listener = Listener()
        self.description = ""
        self.root = ""
        self._expected: dict[int, object] = {}

    def expect(self, path: object) -> None:
        """The next open of this very object in this thread is one that the overlay has looked at."""
        self._expected[get_ident()] = path

    def forget(self) -> None:
        """Expect no open in this thread any more."""
        self._expected.pop(get_ident(), None)

    def is_expected(self, path: object) -> bool:
        """Whether an open is the one expected; only the first is."""
        return self._expected.get(get_ident()) is path and self._expected.pop(get_ident(), path) is path

    def leak(self, file: PromptCopy, how: str) -> None:
        """Tell of a read past the overlay, and where in the code it is."""
        place = self._place()
        self.listener.leak(file, f"{how} ({place})" if place else how)

    def _place(self) -> str:
        """File and line of the innermost frame outside the standard library, the file relative to the project."""
        frame = sys._getframe(1)
        while frame is not None:
            name = frame.f_code.co_filename
            in_library = name.startswith(STANDARD_LIBRARY) and "site-packages" not in name
            if not in_library and not name.startswith((HERE, "<frozen")):
                shown = os.path.relpath(name, self.root) if name.startswith(self.root + os.sep) else ""
                return f"{shown or os.path.basename(name)}:{frame.f_lineno}"
            frame = frame.f_back  # type: ignore[assignment]
        return ""


current = Current()
