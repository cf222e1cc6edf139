"""The last steps of a run, each of which is taken whatever became of the others: what was paid for is written down."""

from __future__ import annotations

from collections.abc import Callable


class LastSteps:
    """Takes steps one by one; the first error is kept, to be raised when all are taken.

    `later` tells of the errors that came after it, each as it was worded.
    """

    def __init__(self) -> None:
        self._first: BaseException | None = None
        self.later: list[str] = []

    def take(self, step: Callable[[], object]) -> bool:
        """Take a step; False if it has raised."""
        try:
            step()
        except BaseException as error:  # `pytest.fail` in a hook is no exception, nor is Ctrl-C
            if self._first is None:
                self._first = error
            elif not (type(error) is type(self._first) and str(error) == str(self._first)):
                self.later.append(f"{type(error).__name__}: {error}")
            return False
        return True

    def raise_first(self) -> None:
        """Raise the first error, if there was any."""
        if self._first is not None:
            raise self._first
