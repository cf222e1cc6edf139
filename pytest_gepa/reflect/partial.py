"""Finding long pieces of given texts inside others: what is left of a text when a report has cut it short."""

from __future__ import annotations

from collections.abc import Callable, Iterable

LEAST = 24
"""Characters in a row that are taken for a piece of a text, and not for chance."""

_WINDOW = LEAST // 2


class Pieces:
    """Cuts every run of `LEAST` characters or more that one of the texts has, and none of those that may be shown."""

    def __init__(self, texts: Iterable[str], shown: Iterable[str]) -> None:
        # A run of that length holds one of the windows that stand side by side in its text.
        self._windows: dict[str, tuple[str, int]] = {}
        for text in texts:
            for at in range(0, len(text) - _WINDOW + 1, _WINDOW):
                self._windows.setdefault(text[at : at + _WINDOW], (text, at))
        if not self._windows:
            return
        for text in shown:
            starts = range(len(text) - _WINDOW + 1)
            for window in {one for at in starts if (one := text[at : at + _WINDOW]) in self._windows}:
                del self._windows[window]

    def replace(self, text: str, mark: str) -> str:
        """Return `text` with `mark` in the place of each such run."""
        if not self._windows:
            return text
        kept: list[str] = []
        done = at = 0
        while at <= len(text) - _WINDOW:
            found = self._windows.get(text[at : at + _WINDOW])
            if found is None:
                at += 1
                continue
            start, end = _whole_run(text, at, *found, done)
            if end - start >= LEAST:
                kept += [text[done:start], mark]
                done = end
            at = max(end, at + 1)
        return "".join([*kept, text[done:]]) if kept else text


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
