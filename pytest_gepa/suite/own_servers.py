"""Whether a server on this machine is one that the test itself runs: it may be the code under test, which must run."""

from __future__ import annotations

import contextlib
from functools import lru_cache

from pytest_gepa.suite.connections import open_sockets
from pytest_gepa.suite.descendants import descendants
from pytest_gepa.suite.listening import listeners, port_of


def is_own_server(url: str, root: int) -> bool:
    """Whether a process that listens at this address is `root` or a descendant of it, as far as `/proc` tells."""
    with contextlib.suppress(OSError, ValueError):
        return any(_is_held(inode, root) for inode in listeners(port_of(url)))
    return False


@lru_cache(maxsize=64)
def _is_held(inode: str, root: int) -> bool:
    return holds(inode, root)


def holds(inode: str, pid: int, *, alone: bool = False) -> bool:
    """Whether a process has this socket open, or, unless it is meant `alone`, a descendant of it."""
    socket = f"socket:[{inode}]"
    return any(socket in open_sockets(one) for one in (pid, *([] if alone else descendants(pid))))
