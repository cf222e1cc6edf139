"""The fork server's own process: it imports third-party modules only, once, and forks a child session for each job.

Started by `pytest_gepa.suite.fork`. It stays single-threaded and never runs a line of the project under test.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import inspect
import json
import os
import signal
import socket
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any

from pytest_gepa.suite import threads
from pytest_gepa.suite.redirect import install
from pytest_gepa.suite.redirect.table import PromptCopy, Table

MESSAGE_BYTES = 1 << 16

OURS = (
    "pytest_gepa.suite.session",
    "pytest_gepa.suite.closed_off",
    "pytest_gepa.suite.own_servers",
    "pytest_gepa.cost.meter",
    "pytest_gepa.trace.bytes_disk",
    "pytest_gepa.trace.capture",
    "pytest_gepa.trace.packing",
)
"""What sessions import, some of it late."""


def main(control_descriptor: int) -> None:
    """Serve until the parent closes its end; then end all that was started."""
    control = socket.socket(fileno=control_descriptor)
    children: set[int] = set()
    install.prepare()  # before there are modules that keep a reference to `open`
    watch = _Watch()
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, MESSAGE_BYTES, 2)
        if not data:
            break
        for descriptor in descriptors:  # a program that a session starts would hold them open beyond its end
            os.set_inheritable(descriptor, False)
        message = json.loads(data)
        _reap(children)
        if message["do"] == "preload":
            _preload(message["file"], watch)
            _answer(control, {})
        elif message["do"] == "run":
            try:
                pid = _fork_session(control, descriptors)
            except OSError as error:  # of a system that allows no more processes, for now
                _answer(control, {"refused": [error.errno, error.strerror]})
                continue
            children.add(pid)
            _answer(control, {"pid": pid})
    for pid in children:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _answer(control: socket.socket, message: dict[str, Any]) -> None:
    control.send(json.dumps(message).encode("ascii"))


class _Watch:
    """Notes while modules are imported whether one opens a prompt, or the compiled form of one."""

    def __init__(self) -> None:
        self.table = Table(())
        self.has_opened = False
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and self.table.files and not isinstance(arguments[0], int):
            found = self.table.find(arguments[0]) or self.table.find_compiled(arguments[0])
            self.has_opened = self.has_opened or found is not None


def _preload(file: str, watch: _Watch) -> None:
    """Import the modules that a file tells of; it then tells those that read a prompt or started a thread that no fork
    would have, and the number of threads."""
    with open(file, encoding="utf-8") as stream:
        told = json.load(stream)
    tainted = []
    running = threads.count()
    watch.table = Table(tuple(PromptCopy(path, (), path) for path in told["prompts"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in told["names"]:
            watch.has_opened = False
            if name not in sys.modules:
                with contextlib.suppress(BaseException):
                    importlib.import_module(name)
            before, running = running, threads.count()
            if running > before:
                running = threads.left_at_fork(before)
            if watch.has_opened or running > before:
                tainted.append(name)
        _warm()
    running = threads.count()
    watch.table = Table(())
    gc.collect()
    gc.freeze()  # keeps the shared pages shared: a collection in a child would write to every object's header
    with open(file, "w", encoding="utf-8") as stream:
        json.dump({"tainted": tainted, "threads": running}, stream)


def _warm() -> None:
    """Do what each child would do anew: import what sessions use, compile what most texts give reason to look for, and
    find out which module each file is of, the dearest part of telling of a failed assertion.

    What fails here, as an import does on a Python that was built without SQLite, is left to the child that needs it.
    """
    for name in OURS:
        with contextlib.suppress(BaseException):
            importlib.import_module(name)
    with contextlib.suppress(BaseException):
        importlib.import_module("pytest_gepa.trace.redact").prepare()
    with contextlib.suppress(BaseException):  # of a module that does not let itself be looked at
        inspect.getmodule(compile("", "<no file>", "exec"))


def _reap(children: set[int]) -> None:
    for pid in list(children):
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0]:
                children.discard(pid)


def _fork_session(control: socket.socket, descriptors: Sequence[int]) -> int:
    """Raises `OSError` when the system refuses."""
    stream, log = descriptors
    pid = -1
    try:
        pid = os.fork()
    finally:
        if pid:
            os.close(stream)
            os.close(log)
    if pid:
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.setpgid(pid, pid)  # here as well as in the child: whoever comes first
        return pid
    code = 1
    try:
        os.setpgid(0, 0)
        control.close()
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        _serve_job(socket.socket(fileno=stream))
        code = 0
    except BaseException:
        traceback.print_exc()  # into the log, whose end is told as the session's last words
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _serve_job(stream: socket.socket) -> None:
    from pytest_gepa.suite.job import Channel
    from pytest_gepa.suite.session import serve

    serve(Channel(stream))


if __name__ == "__main__":
    main(int(sys.argv[1]))
