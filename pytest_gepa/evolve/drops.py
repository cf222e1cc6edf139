"""Which changes to drop next, so that few attempts find those that are needed: delta debugging. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator

FEW = 4
"""So many changes are tried one by one from the start; of more, halves first."""


def drops(count: int) -> Generator[tuple[int, ...], bool, None]:
    """Yield which of `count` changes to drop next; it is sent whether the last ones yielded could be dropped.

    Halves of all, then of what is left, down to single ones. (Zeller and Hildebrandt, 2002, less their tries of a
    part alone.) Those that were needed are tried again when another has gone.
    """
    kept = list(range(count))
    size = count // 2 if count > FEW else 1
    while size > 1:
        at = 0
        while at < len(kept):
            if (yield tuple(kept[at : at + size])):
                del kept[at : at + size]
            else:
                at += size
        size //= 2
    untried, needed = deque(kept), list[int]()
    while untried:
        one = untried.popleft()
        if (yield (one,)):
            untried += needed
            needed.clear()
        else:
            needed.append(one)
