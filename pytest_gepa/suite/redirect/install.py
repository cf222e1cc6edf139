"""The overlay put in force in a process, and the account that other processes than the case's own give of it."""

from __future__ import annotations

import json
import os
import sys

from . import opening, processes, watch, writing
from .current import Listener, current
from .table import PromptCopy, Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

REPORT = "report"
DESCRIPTION = "overlay.json"

_is_patched = False


def prepare() -> None:
    """Patch what opens files and starts programs, once in a process; without a table that changes nothing.

    Best done before modules are imported that keep a reference to `open`.
    """
    global _is_patched
    if not _is_patched:
        _is_patched = True
        opening.patch()
        writing.patch()
        processes.patch()
        watch.watch()
        if os.name == "posix":
            os.register_at_fork(after_in_child=_report_by_file)


def install(files: tuple[PromptCopy, ...], listener: Listener, root: str) -> None:
    """Answer reads of these files from now on, and tell `listener` of them."""
    prepare()
    current.root = root
    current.listener = listener
    current.table = Table(files)
    if current.table.holds_python:
        sys.dont_write_bytecode = True


def describe(directory: str) -> None:
    """Write down, in a private directory, what a Python child must know; its environment leads there."""
    files = [{"path": file.path, "components": file.components, "copy": file.copy} for file in current.table.files]
    path = os.path.join(directory, DESCRIPTION)
    with open(path, "w", encoding="utf-8") as stream:
        json.dump({"files": files, "root": current.root}, stream)
    current.description = path
    processes.complete_own()


def install_in_child(description: str) -> None:
    """The same in a Python child, from what its parent wrote down."""
    with open(description, encoding="utf-8") as stream:
        told = json.load(stream)
    current.description = description
    files = tuple(PromptCopy(file["path"], tuple(file["components"]), file["copy"]) for file in told["files"])
    install(files, Reporter(report_of(description)), told["root"])


def report_of(description: str) -> str:
    """Where the children that were started with a description report."""
    return os.path.join(os.path.dirname(description), REPORT)


class Reporter(Listener):
    """Appends what it hears to a file, a line at a time, for the process that runs the case."""

    def __init__(self, path: str) -> None:
        self._path = path

    def read(self, file: PromptCopy) -> None:
        """Report a read."""
        self.report(read=file.components)

    def leak(self, file: PromptCopy, how: str) -> None:
        """Report a read past the overlay."""
        self.report(leak=file.components, how=how)

    def start(self, program: str) -> None:
        """Report that a program is started whose reads nobody hears of."""
        self.report(started=program)

    def report(self, **line: Any) -> None:
        """Append a line. Where even that fails, the search still sees that the candidate had no effect: the code that
        reads a prompt must not be told of our disk."""
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, json.dumps(line).encode("ascii") + b"\n")
            finally:
                os.close(descriptor)
        except OSError:
            pass


def _report_by_file() -> None:
    """A process that the case forks has a memory of its own: what it reads is told through the file."""
    if current.description:
        current.listener = Reporter(report_of(current.description))
