"""The overlay: who opens a component's file gets a copy with the candidate's text; the file itself is untouched.

Lives in child sessions only, for patches and an audit hook stay. How reads are redirected is told in `redirect`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pytest_gepa.shared_lines import NewLines
from pytest_gepa.suite import bind_mounts
from pytest_gepa.suite.job import PromptFile
from pytest_gepa.suite.redirect import install
from pytest_gepa.suite.redirect.current import Listener, current
from pytest_gepa.suite.redirect.table import PromptCopy


class Overlay(Listener):
    """The overlay of the process that runs cases. `on_read` is told the id of each component that is read."""

    def __init__(self, on_read: Callable[[str], None]) -> None:
        self._on_read = on_read
        self._reports: list[NewLines] = []
        self._leaks: dict[str, str] = {}
        self._trouble = ""
        self._has_unheard = False

    @property
    def hears_all(self) -> bool:
        """Whether every read of a prompt file by the cases of this process, and by what they start, is heard of.

        Where a program that is not Python was started, or a report was cut short, that a file was not opened is no
        longer known.
        """
        return not self._has_unheard

    def install(self, prompts: Sequence[PromptFile], directory: Path, root: str) -> None:
        """Redirect the prompts' files from now on; `directory`, which is made, keeps the candidate's texts.

        `root` is the project's directory.
        """
        directory.mkdir(mode=0o700)
        files = []
        for number, prompt in enumerate(prompts):
            copy = directory / f"{number}-{os.path.basename(prompt.path)}"
            copy.write_bytes(prompt.content)
            files.append(PromptCopy(prompt.path, tuple(prompt.texts), str(copy)))
        install.install(tuple(files), self, root)
        self._describe(directory)

    def begin_worker(self, directory: Path) -> None:
        """Go on in a fork of the process that installed the overlay; `directory`, which is made, is its own.

        What children of the former process report is heard here too: it is not known for whom they read.
        """
        directory.mkdir(mode=0o700)
        current.listener = self
        self._part_copies(directory)
        self._describe(directory)

    def hear_children(self) -> None:
        """Take in what child processes have reported since the last time."""
        for report in self._reports:
            try:
                lines = report.take()
            except OSError:
                continue
            for line in lines:
                if line is None:  # cut short: a read may be lost
                    self._has_unheard = True
                else:
                    self._hear(line)

    def problem(self) -> str:
        """Why what this process has seen may not be the candidate's text, "" if nothing speaks against it.

        It stands for the rest of the process: a text that was read once may be kept.
        """
        if self._trouble:
            return (
                "the candidate was not in effect: the overlay could not be set up in a Python child "
                f"({self._trouble}); run it with the Python of the session, or call its code in the test's own process"
            )
        for component, how in sorted(self._leaks.items()):
            return (
                f"the candidate was not in effect: {component} was read past the overlay, as {how}; read it with "
                "open(), pathlib or importlib.resources, in the test's own process or in a Python child; or set "
                "gepa_isolation = strict (Linux), by which every program reads the candidate"
            )
        return ""

    def read(self, file: PromptCopy) -> None:
        """A prompt file was read and the candidate's text given."""
        for component in file.components:
            self._on_read(component)

    def leak(self, file: PromptCopy, how: str) -> None:
        """A prompt file was read past the overlay, or would have been written to."""
        for component in file.components:
            self._leaks.setdefault(component, how)

    def start(self, program: str) -> None:
        """A program was started that reads what it likes."""
        self._has_unheard = True

    def _part_copies(self, directory: Path) -> None:
        """Go on with copies of one's own: what a case writes to them is not for the workers beside this one."""
        for file in current.table.files:
            copy = directory / os.path.basename(file.copy)
            with contextlib.suppress(FileNotFoundError):  # removed in collection
                copy.write_bytes(Path(file.copy).read_bytes())
            file.copy = str(copy)

    def _describe(self, directory: Path) -> None:
        install.describe(str(directory))
        self._reports.append(NewLines(Path(install.report_of(current.description))))

    def _hear(self, line: dict[str, Any]) -> None:
        for component in line.get("read", ()):
            self._on_read(component)
        for component in line.get("leak", ()):
            self._leaks.setdefault(component, f"{line['how']}, in a child process")
        self._has_unheard = self._has_unheard or "started" in line
        self._trouble = self._trouble or line.get("trouble", "")


class BoundOverlay(Overlay):
    """The same under strict isolation: whoever opens a prompt's path gets the candidate, so no read is past it."""

    def install(self, prompts: Sequence[PromptFile], directory: Path, root: str) -> None:
        """See the class. Raises `RunnerError` if the system does not allow it."""
        super().install(prompts, directory, root)
        bind_mounts.bind((file.path, file.copy) for file in current.table.files)

    @property
    def hears_all(self) -> bool:
        """Programs and readers in C may read the candidate here, unheard."""
        return False

    def leak(self, file: PromptCopy, how: str) -> None:
        """A read that was not redirected; it needs not be."""
        self.read(file)

    def _part_copies(self, directory: Path) -> None:
        """There is one copy, which lies over the file."""

    def _hear(self, line: dict[str, Any]) -> None:
        super()._hear({"read": [*line.get("read", ()), *line.get("leak", ())]})
