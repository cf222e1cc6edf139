"""What the `gepa` fixture gives to a test. Loaded with every pytest session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, SupportsFloat

if TYPE_CHECKING:
    from pytest_gepa.trace.recorder import Recorder


class Gepa:
    """What the `gepa` fixture gives to a test. What it is given is checked in every session, also in one without us."""

    def __init__(self, recorder: Recorder | None) -> None:
        self._recorder = recorder
        self._names: set[str] = set()

    def score(self, value: SupportsFloat, *, feedback: str | None = None, name: str = "") -> None:
        """Give the case a score in [0, 1] in place of 1 for passed and 0 for failed.

        With a `name` it is the score of one objective, and the case's score is the mean of all of them. A later call
        of the same name replaces the earlier one. `feedback` is read by the reflection model. Numbers of any type
        will do; True is 1. Raises `ValueError` for anything else, and where scores with and without a name meet.
        """
        number = _in_unit_interval(value)
        if number is None:
            raise ValueError(f"gepa.score takes a number from 0 to 1, not {value!r}")
        if not isinstance(name, str):
            raise ValueError(f"gepa.score: the name of an objective is text, not {name!r}")
        if self._names and ("" in self._names) != (name == ""):
            raise ValueError(
                "gepa.score: a score without a name is that of the whole case, so it cannot stand beside those of "
                "objectives; give every score of the case a name, or only one and no name"
            )
        self._names.add(name)
        if self._recorder is not None:
            self._recorder.score(number, "" if feedback is None else str(feedback), name)

    def log(self, name: str, value: Any) -> None:
        """Add a step to the trajectory: an intermediate result that the reflection model should see."""
        if self._recorder is not None:
            self._recorder.log(name, value)


def _in_unit_interval(value: Any) -> float | None:
    """The value as a float in [0, 1]: also of NumPy's and torch's scalars. Text would be parsed, so not that."""
    if isinstance(value, (str, bytes, bytearray)):
        return None
    try:
        number = float(value)
    except Exception:  # whatever a type may raise in its `__float__`
        return None
    return number if 0 <= number <= 1 else None
