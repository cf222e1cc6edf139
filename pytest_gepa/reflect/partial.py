"""Finding long pieces of given texts inside others: what is left of a text when a report has cut it short."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from pytest_gepa.trace.spans import Span

LEAST = 24
"""Characters in a row that are taken for a piece of a text, and not for chance."""

_WINDOW = 12
_STEP, _STRIDE = 4, 3
"""Every fourth window of a text is known, and every third of another looked at: a run of 24 has one that is both."""


class Pieces:
    """Finds every run of `LEAST` characters or more that one of the texts has, and none of those that may be shown."""

    def __init__(self, texts: Iterable[str], shown: Iterable[str]) -> None:
        self._windows: dict[str, tuple[str, int]] = {}
        for text in texts:
            for at in range(0, len(text) - _WINDOW + 1, _STEP):
                self._windows.setdefault(text[at : at + _WINDOW], (text, at))
        if not self._windows:
            return
        for text in shown:
            starts = range(len(text) - _WINDOW + 1)
            for window in {one for at in starts if (one := text[at : at + _WINDOW]) in self._windows}:
                del self._windows[window]

    def find(self, text: str) -> Iterator[Span]:
        """Where these runs stand, in order and apart."""
        if not self._windows:
            return
        windows, starts = self._windows, range(0, len(text) - _WINDOW + 1, _STRIDE)
        done = 0
        for at in [at for at in starts if text[at : at + _WINDOW] in windows]:
            if at < done:
                continue
            start, end = _whole_run(text, at, *windows[text[at : at + _WINDOW]], done)
            if end - start >= LEAST:
                # The blanks around it may be the ends of lines.
                yield start + (text[start] == " "), end - (text[end - 1] == " ")
                done = end


def _whole_run(text: str, at: int, known: str, place: int, first: int) -> tuple[int, int]:
    """The widest run around the window that both texts have, from `first` on."""
    left = _alike(lambda step: text[at - step] == known[place - step], min(at - first, place))
    right = _alike(
        lambda step: text[at + _WINDOW + step - 1] == known[place + _WINDOW + step - 1],
        min(len(text) - at, len(known) - place) - _WINDOW,
    )
    return at - left, at + _WINDOW + right


def _alike(is_alike: Callable[[int], bool], most: int) -> int:
    steps = 0
    while steps < most and is_alike(steps + 1):
        steps += 1
    return steps
