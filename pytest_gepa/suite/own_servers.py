"""Whether a server on this machine is one that the test itself runs: it may be the code under test, which must run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import urlsplit

from pytest_gepa.suite.descendants import descendants
from pytest_gepa.trace.admission import LOOPBACK

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_LISTENING = "0A"


def is_own_server(url: str, root: int) -> bool:
    """Whether a process that listens at this address is `root` or a descendant of it, as far as `/proc` tells."""
    with contextlib.suppress(OSError, ValueError):
        parts = urlsplit(url)
        if parts.hostname in LOOPBACK:
            port = parts.port or (443 if parts.scheme == "https" else 80)
            return any(_is_held(inode, root) for inode in _listeners(port))
    return False


def _listeners(port: int) -> Iterator[str]:
    """The inodes of the sockets that listen on a port."""
    wanted = f":{port:04X}"
    for table in _TABLES:
        with contextlib.suppress(OSError), open(table, encoding="ascii") as stream:
            for line in stream:
                fields = line.split()
                if fields[1].endswith(wanted) and fields[3] == _LISTENING:
                    yield fields[9]


@lru_cache(maxsize=64)
def _is_held(inode: str, root: int) -> bool:
    """Whether `root` or a descendant of it has this socket open."""
    socket = f"socket:[{inode}]"
    return any(socket in _sockets(pid) for pid in (root, *descendants(root)))


def _sockets(pid: int) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                found.add(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
    return found
