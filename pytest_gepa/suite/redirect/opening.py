"""The ways of opening a file by name, patched so that a prompt file's name gives the candidate's copy.

Who writes gets the copy too: the file is the user's.

The replacements are objects and no functions: a builtin that is an attribute of a class is not bound, and a function
would be.
"""

from __future__ import annotations

import builtins
import importlib.machinery
import io
import os
import sys

from .current import current
from .table import PromptCopy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

ACCESS = os.O_RDONLY | os.O_WRONLY | os.O_RDWR

_open = io.open
_open_code = io.open_code
_os_open = os.open


class Replacement:
    """An object that passes for the builtin that it stands in for.

    With `__tracebackhide__` pytest shows an error where the code under test has met it, and not here.
    """

    def __init__(self, original: Any) -> None:
        self._original = original
        self.__name__ = original.__name__
        self.__qualname__ = original.__qualname__
        self.__module__ = original.__module__
        self.__doc__ = original.__doc__

    def __repr__(self) -> str:
        return repr(self._original)

    def __reduce__(self) -> str:
        return str(self.__qualname__)


class _Open(Replacement):
    def __call__(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        __tracebackhide__ = True
        if not isinstance(mode, str) or type(file) is int:
            return _open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        file = _as_given(file)
        found = current.table.find(file)
        if found is not None and opener is None:
            if reads(mode, None):
                current.listener.read(found)
            opener = _opener(found)
        # With an opener of the case's own, the file is opened inside of it, and the overlay sees that.
        current.expect(file)
        try:
            return _open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        finally:
            current.forget()


class _OpenCode(Replacement):
    def __call__(self, path: str) -> Any:
        __tracebackhide__ = True
        found = current.table.find(path)
        return _open_code(path) if found is None else open_copy(found, path)


class _OsOpen(Replacement):
    def __call__(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        __tracebackhide__ = True
        path = _as_given(path)
        found = current.table.find(path, dir_fd)
        if found is not None:
            if reads(None, flags):
                current.listener.read(found)
            return _open_instead(found, path, flags, mode)
        current.expect(path)
        try:
            return _os_open(path, flags, mode, dir_fd=dir_fd)
        finally:
            current.forget()


def _as_given(path: Any) -> Any:
    """The text or bytes of a path, by which the audit hook will know it again."""
    try:
        return os.fspath(path)
    except TypeError:  # a descriptor, or what the builtin refuses in its own words
        return path


def open_copy(found: PromptCopy, path: str) -> Any:
    """The candidate's copy of a prompt file as a binary stream that bears the name of the prompt file."""
    __tracebackhide__ = True
    current.listener.read(found)
    current.expect(path)
    try:
        return _open(path, "rb", opener=_opener(found))
    finally:
        current.forget()


def _opener(found: PromptCopy) -> Callable[[str, int], int]:
    def opener(path: str, flags: int) -> int:
        __tracebackhide__ = True
        return _open_instead(found, path, flags, 0o666)

    return opener


def _open_instead(found: PromptCopy, path: Any, flags: int, mode: int) -> int:
    """A descriptor of the copy; an error, as when the case has removed it, bears the name that was given."""
    __tracebackhide__ = True
    try:
        return _os_open(found.copy, flags, mode)
    except OSError as error:
        error.filename = path
        raise


def reads(mode: Any, flags: Any) -> bool:
    """Whether what is in a file may be read: by the mode of `fopen`, or by the flags of the system call."""
    if isinstance(flags, int) and flags:
        return flags & ACCESS != os.O_WRONLY and not flags & os.O_TRUNC
    return not isinstance(mode, str) or "r" in mode or ("a" in mode and "+" in mode)


def writes(mode: Any, flags: Any) -> bool:
    """Whether a file may be changed, told in the same ways."""
    if isinstance(flags, int) and flags:
        return flags & ACCESS != os.O_RDONLY or bool(flags & os.O_TRUNC)
    return isinstance(mode, str) and any(sign in mode for sign in "wax+")


def patch() -> None:
    """Replace the functions that open files wherever a loaded module holds them."""
    replacements = {
        id(original): kind(original)
        for original, kind in ((_open, _Open), (_open_code, _OpenCode), (_os_open, _OsOpen))
    }
    replace_everywhere(replacements)
    builtins.open = replacements[id(_open)]  # type: ignore[assignment]
    os.supports_dir_fd.add(os.open)
    _patch_loaders()


def replace_everywhere(replacements: dict[int, Any]) -> None:
    """Put other objects in the place of some, by their ids, in every module that is loaded."""
    if sys.version_info < (3, 11):
        # Its accessor keeps references of its own, as class attributes.
        import pathlib

        accessor = pathlib._NormalAccessor  # type: ignore[attr-defined]
        for name, value in list(vars(accessor).items()):
            if id(value) in replacements:
                setattr(accessor, name, replacements[id(value)])
    for module in list(sys.modules.values()):
        if module is sys.modules[__name__] or not isinstance(module, type(sys)):
            continue
        # A module that loads itself when it is first asked for anything must not be asked.
        names = object.__getattribute__(module, "__dict__")
        for name, value in list(names.items()):
            if id(value) in replacements:
                names[name] = replacements[id(value)]


def _patch_loaders() -> None:
    """Loaders of compiled modules read their data by `io.FileIO`."""
    base = importlib.machinery.SourceFileLoader.__mro__[1]
    get_data = base.get_data  # type: ignore[attr-defined]

    def overlaid(loader: Any, path: str) -> Any:
        found = current.table.find(path)
        if found is None:
            return get_data(loader, path)
        with open_copy(found, path) as stream:
            return stream.read()

    base.get_data = overlaid  # type: ignore[attr-defined]
