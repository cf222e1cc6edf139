"""The subprocess runner: every worker is a new interpreter. Slower than forking, and right everywhere."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

from pytest_gepa.codec import to_json
from pytest_gepa.suite.descendants import descendants, end_all
from pytest_gepa.suite.job import Channel, Job, encode_line
from pytest_gepa.suite.places import Limit
from pytest_gepa.suite.runner import Emit, new_python, with_fixed_order, with_package
from pytest_gepa.suite.supervise import describe_exit
from pytest_gepa.suite.worker_sessions import WorkerSessions


class SpawnRunner:
    """Runs the cases of a job on as many new interpreters as it may use at once."""

    def __init__(self, temp: Path) -> None:
        self._temp = temp
        self._sessions = WorkerSessions(self._start)

    def run(self, job: Job, emit: Emit, limit: Limit) -> None:
        """Run a job to its end."""
        self._sessions.run(job, emit, limit)

    def stop(self) -> None:
        """End every child at once, and start none any more."""
        self._sessions.stop()

    def close(self) -> None:
        """Nothing is held between jobs."""

    def _start(self, job: Job) -> SpawnedWorker:
        return SpawnedWorker(job, self._temp / f"{job.id}.log")


class SpawnedWorker:
    """A worker in a new interpreter.

    Its pipes are pumped into a socket, because only sockets can be waited for on every platform.
    """

    def __init__(self, job: Job, log: Path) -> None:
        ours, theirs = socket.socketpair()
        self.channel = Channel(ours)
        with log.open("ab") as errors:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                new_python("pytest_gepa.suite.spawned"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,
                start_new_session=True,
                env=with_fixed_order(with_package(job.environ)),
            )
        threading.Thread(target=self._pump_out, args=(theirs,), daemon=True).start()
        threading.Thread(target=self._pump_in, args=(theirs, encode_line(to_json(job))), daemon=True).start()

    def _pump_out(self, sock: socket.socket) -> None:
        stdout: Any = self._process.stdout
        with contextlib.suppress(OSError):
            while chunk := os.read(stdout.fileno(), 1 << 16):
                sock.sendall(chunk)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        stdout.close()

    def _pump_in(self, sock: socket.socket, first: bytes) -> None:
        stdin: Any = self._process.stdin
        with contextlib.suppress(OSError):
            while first:
                first = first[stdin.write(first) or 0 :]
            while chunk := sock.recv(1 << 16):
                while chunk:
                    chunk = chunk[stdin.write(chunk) or 0 :]
        with contextlib.suppress(OSError):
            stdin.close()
        sock.close()

    def kill(self) -> None:
        """End the process at once, and what it started, in whatever group."""
        started = descendants(self._process.pid)  # before those are gone by which they are known
        self._end_group()
        end_all(started)

    def reap(self) -> str:
        """Wait for the end of the process and tell in words how it ended; a thread of it may not let it end. What has
        left the group may be meant to stay, where the process has ended by itself.
        """
        self._end_group()
        return describe_exit(self._process.wait())

    def _end_group(self) -> None:
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, 9)
            else:
                self._process.kill()
