"""Which connections a process has open, as far as the system tells."""

from __future__ import annotations

import contextlib
import os


def open_sockets(process: int | str = "self") -> frozenset[str]:
    """A name for each socket that a process has open, `socket:[inode]`; nothing where `/proc` is not to be had."""
    descriptors = f"/proc/{process}/fd"
    found = set()
    with contextlib.suppress(OSError):
        for descriptor in os.listdir(descriptors):
            with contextlib.suppress(OSError):  # that of the listing itself is closed by now
                target = os.readlink(f"{descriptors}/{descriptor}")
                if target.startswith("socket:"):
                    found.add(target)
    return frozenset(found)
