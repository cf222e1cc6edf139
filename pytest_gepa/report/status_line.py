"""The line on a terminal that tells how a run stands, below pytest's own; a log or a pipe has none."""

from __future__ import annotations

from typing import IO

from rich.console import Console
from rich.status import Status

from pytest_gepa.report.section import encodable


class StatusLine:
    """A line that is drawn anew. What is printed to its `console` stands above it."""

    def __init__(self, stream: IO[str]) -> None:
        self.console = Console(file=stream, markup=False, highlight=False, emoji=False, soft_wrap=True)
        # FORCE_COLOR makes a terminal of any stream in rich's eyes; a log would keep every frame.
        self.is_live = self.console.is_terminal and stream.isatty()
        self._status: Status | None = None

    def show(self, line: str) -> None:
        """Show a line in place of the one before."""
        if not self.is_live:
            return
        if self._status is None:
            self._status = Status("", console=self.console, spinner="line")
            self._status.start()
        self._status.update(encodable(self.console.file, line))

    def close(self) -> None:
        """Take the line away."""
        if self._status is not None:
            self._status.stop()
            self._status = None
