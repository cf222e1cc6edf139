"""Servers of other processes of the same run: a suite that starts one at a fixed port in each process has its cases ask
whichever came first, which runs under another candidate, perhaps, and tells of its calls elsewhere."""

from __future__ import annotations

import contextlib
import os
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from pytest_gepa.suite.listening import listeners, port_of
from pytest_gepa.suite.own_servers import holds
from pytest_gepa.trace.protocols import FALLBACK, PROTOCOLS


class ForeignServers:
    """Notes when a case asks a server that another process of the run has started.

    `directory` is the run's; each process that runs cases is listed in it. What their common ancestors hold or have
    started is nobody's own.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = 0

    def join(self) -> None:
        """List this process, at its start."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        (self._directory / f"{os.getpid()}-{_started(os.getpid())}").touch()

    def begin(self) -> None:
        """A case begins."""
        self._port = 0

    def look(self, url: str) -> None:
        """Look whose the server at this address is. One that speaks a model's protocol may well be shared."""
        with contextlib.suppress(OSError, ValueError):
            port = port_of(url)
            if port and not self._port and _is_application(urlsplit(url).path):
                found = listeners(port)
                if found and not any(_is_common(inode, os.getpid()) for inode in found):
                    others = [pid for pid in self._others() if any(holds(inode, pid) for inode in found)]
                    self._port = port if others else 0

    def problem(self) -> str:
        """Why what the case has been answered says nothing of its candidate, "" if nothing speaks against it."""
        if not self._port:
            return ""
        return (
            f"the case asked a server at port {self._port} that another process of this run has started, under "
            "whatever candidate runs there: several cases run at a time, and each process starts its own; give each a "
            "port of its own (by the fixture worker_id, or port 0), or run one case at a time: --gepa-concurrency 1"
        )

    def _others(self) -> list[int]:
        """The processes that run cases beside this one, and are none that it comes from."""
        lineage = _lineage(os.getpid())
        listed = (entry.name.partition("-") for entry in self._directory.iterdir())
        return [int(pid) for pid, _, started in listed if int(pid) not in lineage and _started(int(pid)) == started]


def _is_application(path: str) -> bool:
    return next((one for one in PROTOCOLS if one.matches("POST", path, "application/json")), FALLBACK) is FALLBACK


@lru_cache(maxsize=64)
def _is_common(inode: str, pid: int) -> bool:
    """Whether a socket is held by this process, by what it has started, or by one that it comes from."""
    return holds(inode, pid) or any(holds(inode, one, alone=True) for one in _lineage(pid))


def _lineage(pid: int) -> list[int]:
    """A process and those that it comes from."""
    found: list[int] = []
    while pid > 0:
        found.append(pid)
        fields = _status(pid)
        pid = int(fields[1]) if fields else 0
    return found


def _started(pid: int) -> str:
    """When a process was started, as the system counts: a number may be another process's by now."""
    fields = _status(pid)
    return fields[19] if fields else ""


def _status(pid: int) -> list[str]:
    """What the system tells of a process, from its state on; [] where it tells nothing."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stream:
            return stream.read().rpartition(")")[2].split()
    except OSError:
        return []
