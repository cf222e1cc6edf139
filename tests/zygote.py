"""A process that has imported what every session of pytest imports, and forks each session that a test asks for: so a
second or more of imports is paid once for a worker, and not once for a session.

Only modules of others are imported before the fork; the package, the project and pytest's plugins are read by each
session itself. What a fork cannot give, a hash seed and flags of the interpreter of its own, needs a process of its
own: `harness.Project.pytest(..., python=APART)`.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import importlib.abc
import io
import json
import os
import random
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

PYTEST = (
    "pytest",
    "_pytest.assertion.rewrite",
    "_pytest.cacheprovider",
    "_pytest.junitxml",
    "_pytest.terminal",
)
OTHERS = ("openai", "genai_prices", "rich.console", "jinja2", "diskcache", "unidiff", "yaml", "tomlkit")
LONGEST_MESSAGE = 1 << 20


@dataclass
class Session:
    """A session of pytest that was forked. `pid` is its process and its process group, `status` where it tells how it
    has ended."""

    pid: int
    status: int

    def wait(self, timeout: float) -> int | None:
        """Its exit code, negative for a signal; None if it does not end in so many seconds."""
        ready, _, _ = select.select([self.status], [], [], timeout)
        if not ready:
            return None
        with os.fdopen(self.status, "rb") as stream:
            return int(stream.read())


def start(args: Sequence[str], cwd: Path, env: Mapping[str, str], out: int, err: int) -> Session:
    """Start `python -m pytest ARGS` with these descriptors for what it prints."""
    status, theirs = os.pipe()
    request = json.dumps({"args": list(args), "cwd": str(cwd), "env": dict(env)}).encode()
    zygote = _zygote()
    socket.send_fds(zygote, [request], [out, err, theirs])
    os.close(theirs)
    return Session(int(zygote.recv(32)), status)


@cache
def _zygote() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, str(Path(__file__)), str(theirs.fileno())]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def main(descriptor: int) -> None:
    """Serve until the other end is closed. Returns in each forked session as well, which then ends as any interpreter
    does."""
    _import(PYTEST)
    sys.meta_path.insert(0, Finder(OTHERS))
    gc.collect()
    gc.freeze()
    # A Ctrl-C in the terminal where the tests run is for the tests.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=descriptor)
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, LONGEST_MESSAGE, 3)
        _reap(os.WNOHANG if data else 0)
        if not data:
            return
        if os.fork() == 0:
            _run_watched(control, json.loads(data), *descriptors)
            return
        for one in descriptors:
            os.close(one)


def _import(names: Iterable[str]) -> None:
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports modules and takes them away again with all that they import; gives them back when one is imported.
    So a session has what it needs and no more, and its interpreter does not end by taking an SDK apart."""

    def __init__(self, names: Iterable[str]) -> None:
        self._groups: dict[str, dict[str, ModuleType]] = {}
        self._specs: dict[str, ModuleSpec | None] = {}
        for name in names:
            before = set(sys.modules)
            _import([name])
            new = [
                one for one in sys.modules if one not in before and one.partition(".")[0] not in sys.stdlib_module_names
            ]
            group = {one: sys.modules[one] for one in new}
            self._groups |= dict.fromkeys(new, group)
        for name, group in self._groups.items():
            self._specs[name] = group[name].__spec__
            del sys.modules[name]

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        spec = self._specs.get(name)
        if spec is None:
            return None
        return ModuleSpec(name, self, origin=spec.origin, is_package=spec.submodule_search_locations is not None)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """See `importlib.abc.Loader`."""
        return self._groups[spec.name][spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """It has run already, and so have the others."""
        name = module.__spec__.name if module.__spec__ is not None else module.__name__
        module.__spec__ = self._specs[name]
        for other, known in self._groups[name].items():
            sys.modules.setdefault(other, known)


def _reap(options: int) -> None:
    """What the sessions took is counted as ours once they are waited for."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, options)[0]:
            pass


def _run_watched(control: socket.socket, request: Mapping[str, object], out: int, err: int, status: int) -> None:
    """Fork the session and tell how it ends; the session leaves by raising when pytest has ended."""
    pid = os.fork()
    if pid:
        control.send(str(pid).encode())
        for descriptor in (out, err, control.fileno()):
            os.close(descriptor)
        _, ended = os.waitpid(pid, 0)
        os.write(status, str(os.waitstatus_to_exitcode(ended)).encode())
        os._exit(0)
    os.setsid()
    os.close(status)
    control.detach()
    _become(request, out, err)
    runpy.run_module("pytest", run_name="__main__", alter_sys=True)


def _become(request: Mapping[str, object], out: int, err: int) -> None:
    """Make this process as a shell would have started it."""
    args, cwd, env = request["args"], request["cwd"], request["env"]
    assert isinstance(args, list)
    assert isinstance(env, dict)
    os.chdir(str(cwd))
    os.environ.clear()
    os.environ.update(env)
    sys.argv[:] = ["pytest", *args]
    sys.path[0] = str(cwd)
    for descriptor, target in ((out, 1), (err, 2)):
        os.dup2(descriptor, target)
        os.close(descriptor)
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(io.BufferedReader(_file(0, "r")), encoding="utf-8")
    sys.stdout = sys.__stdout__ = io.TextIOWrapper(io.BufferedWriter(_file(1, "w")), encoding="utf-8")
    sys.stderr = sys.__stderr__ = io.TextIOWrapper(
        io.BufferedWriter(_file(2, "w")), encoding="utf-8", errors="backslashreplace", line_buffering=True
    )
    signal.signal(signal.SIGINT, signal.default_int_handler)
    random.seed()
    tempfile.tempdir = None


def _file(descriptor: int, mode: str) -> io.FileIO:
    return io.FileIO(descriptor, mode, closefd=False)


if __name__ == "__main__":
    main(int(sys.argv[1]))
