"""Children of a process: each is started with the environment in which a Python loads the overlay of its parent."""

from __future__ import annotations

import os
from contextlib import contextmanager

from .current import HERE, current
from .opening import Replacement, replace_everywhere

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

VARIABLE = "GEPA_OVERLAY"
"""Names the file that describes the overlay."""

SEARCH = "PYTHONPATH"
CHILD_PYTHON = os.path.join(os.path.dirname(HERE.rstrip(os.sep)), "child_python")


def completed(environ: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """An environment that makes a Python load the overlay; the same object if it does already.

    A case that clears its environment, or gives a child another one, must not thereby lose its candidate.
    """
    if not current.description:
        return environ
    in_bytes = any(isinstance(key, bytes) for key in environ)
    variable, search = (os.fsencode(VARIABLE), os.fsencode(SEARCH)) if in_bytes else (VARIABLE, SEARCH)
    paths = os.fsdecode(environ.get(search) or "")
    entries = paths.split(os.pathsep) if paths else []
    has_variable = os.fsdecode(environ.get(variable) or "") == current.description
    if has_variable and entries[:1] == [CHILD_PYTHON]:
        return environ
    wanted = os.pathsep.join([CHILD_PYTHON, *(entry for entry in entries if entry != CHILD_PYTHON)])
    if in_bytes:
        return {**environ, variable: os.fsencode(current.description), search: os.fsencode(wanted)}
    return {**environ, variable: current.description, search: wanted}


def complete_own() -> None:
    """The same for the environment of this process, which children inherit."""
    if os.environ is not (environ := completed(os.environ)):
        os.environ.update({key: environ[key] for key in (VARIABLE, SEARCH)})


def patch() -> None:
    """Replace the functions that start programs wherever a loaded module holds them."""
    if os.name != "posix":  # children there get the environment of this process only
        return
    import _posixsubprocess

    fork_exec = _posixsubprocess.fork_exec
    replacements: dict[int, Any] = {
        id(fork_exec): _ForkExec(fork_exec),
        id(os.execv): _Execv(os.execv),
        id(os.system): _System(os.system),
    }
    for name in ("posix_spawn", "posix_spawnp", "execve"):
        original = getattr(os, name, None)  # macOS before 10.15 has no posix_spawn
        if original is not None:
            replacements[id(original)] = _Spawn(original)
    replace_everywhere(replacements)
    os.supports_fd.add(os.execve)


class _ForkExec(Replacement):
    """What `subprocess` and `multiprocessing` start programs with."""

    def __call__(self, args: Any, executables: Any, close_fds: Any, fds: Any, cwd: Any, env: Any, *rest: Any) -> Any:
        try:
            given = os.environ if env is None else dict(os.fsdecode(entry).split("=", 1) for entry in env)
        except (TypeError, ValueError):  # an entry of a form that is unknown: all goes as it is
            given = None
        if given is not None and (wanted := completed(given)) is not given:
            env = [os.fsencode(f"{key}={value}") for key, value in wanted.items()]
        return self._original(args, executables, close_fds, fds, cwd, env, *rest)


class _Spawn(Replacement):
    def __call__(self, path: Any, argv: Any, env: Any, *args: Any, **kwargs: Any) -> Any:
        given = os.environ if env is None else env
        wanted = completed(given)
        return self._original(path, argv, env if wanted is given else wanted, *args, **kwargs)


class _Execv(Replacement):
    def __call__(self, path: Any, argv: Any, /) -> Any:
        complete_own()  # the program takes this process's place, and nobody sees the change
        return self._original(path, argv)


class _System(Replacement):
    def __call__(self, command: Any) -> int:
        with _lent_environment():
            status: int = self._original(command)
        return status


@contextmanager
def _lent_environment() -> Iterator[None]:
    """The process's own environment, complete for as long as a child is started from it."""
    before = {key: os.environ.get(key) for key in (VARIABLE, SEARCH)}
    complete_own()
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
