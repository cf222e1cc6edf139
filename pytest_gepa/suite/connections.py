"""Which connections this process has open, as far as the system tells."""

from __future__ import annotations

import contextlib
import os

DESCRIPTORS = "/proc/self/fd"


def open_sockets() -> frozenset[str]:
    """A name for each socket that is open; nothing where `/proc` is not to be had."""
    found = set()
    with contextlib.suppress(OSError):
        for descriptor in os.listdir(DESCRIPTORS):
            with contextlib.suppress(OSError):  # that of the listing itself is closed by now
                target = os.readlink(f"{DESCRIPTORS}/{descriptor}")
                if target.startswith("socket:"):
                    found.add(target)
    return frozenset(found)
