"""The audit hook: opens past the overlay, programs that are given a prompt's path, and compiled forms of a prompt."""

from __future__ import annotations

import errno
import os
import sys

from .commands import reached
from .current import current
from .opening import reads, writes
from .writing import is_bound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def watch() -> None:
    """Add the hook; it cannot be taken back."""
    sys.addaudithook(_hear)


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    handler = _HANDLERS.get(event)
    if handler is not None and current.table.files:
        handler(*arguments)


def _opened(path: Any, mode: Any, flags: Any) -> None:
    if isinstance(path, int):
        return
    if current.table.holds_python and current.table.find_compiled(path) is not None:
        # Compiled from today's source; and what is compiled now must not outlive this process.
        number = errno.ENOENT if reads(mode, flags) else errno.EACCES
        raise OSError(number, os.strerror(number), path)
    if current.is_expected(path):
        return
    found = current.table.find(path)
    if found is None:
        return
    if writes(mode, flags) and not is_bound(found):
        current.leak(found, "it was opened for writing in a way that cannot be redirected")
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)  # the file is the user's
    if reads(mode, flags):
        current.leak(found, "it was opened in a way that cannot be redirected")


def _program(executable: Any, words: Any, cwd: Any = None) -> None:
    for found, name in reached(current.table, executable, words, cwd):
        if found is None:
            current.listener.start(name)
        else:
            current.leak(found, f"the program {name} was given its path")


def _database(path: Any, *_: Any) -> None:
    found = current.table.find(path)
    if found is not None:
        current.leak(found, "it was opened by sqlite3")


_HANDLERS: dict[str, Callable[..., None]] = {
    "open": _opened,
    "subprocess.Popen": lambda executable, words, cwd, _env: _program(executable, words, cwd),
    "os.posix_spawn": lambda path, words, _env: _program(path, words),
    "os.exec": lambda path, words, _env: _program(path, words),
    "os.spawn": lambda _mode, path, words, _env: _program(path, words),
    "os.system": lambda command: _program("sh", ("sh", "-c", command)),
    "sqlite3.connect": _database,
}
