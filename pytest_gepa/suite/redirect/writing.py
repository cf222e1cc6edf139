"""Prompt files that a case renames, replaces, removes or cuts off by name: it is done to the copy, never to the file.

Under strict isolation the system itself does so, or refuses.
"""

from __future__ import annotations

import os

from .current import current
from .opening import Replacement, replace_everywhere
from .table import PromptCopy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_replace = os.replace
_unlink = os.unlink


def is_bound(found: PromptCopy) -> bool:
    """Whether the copy lies over the prompt file, so that whoever writes to the one writes to the other."""
    try:
        return os.path.samefile(found.path, found.copy)
    except OSError:  # the case has removed the copy
        return False


def patch() -> None:
    """Replace the functions wherever a loaded module holds them."""
    kinds = {
        "rename": _Rename,
        "replace": _Rename,
        "remove": _Unlink,
        "unlink": _Unlink,
        "truncate": _Truncate,
    }
    replacements: dict[int, Any] = {}
    for name, kind in kinds.items():
        original = getattr(os, name)
        made: Any = kind(original)
        replacements[id(original)] = made
        for supporting in (os.supports_dir_fd, os.supports_fd):
            if original in supporting:
                supporting.add(made)
    replace_everywhere(replacements)


class _Truncate(Replacement):
    def __call__(self, path: Any, length: int) -> None:
        __tracebackhide__ = True
        found = current.table.find(path)
        self._original(path if found is None else found.copy, length)


class _Unlink(Replacement):
    def __call__(self, path: Any, *, dir_fd: int | None = None) -> None:
        __tracebackhide__ = True
        found = _find(path, dir_fd)
        if found is None:
            self._original(path, dir_fd=dir_fd)
        else:
            _remove(found, path)


class _Rename(Replacement):
    def __call__(self, src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        __tracebackhide__ = True
        source, target = _find(src, src_dir_fd), _find(dst, dst_dir_fd)
        if source is None and target is None:
            self._original(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
            return
        if source is target:
            return
        with os.fdopen(os.open(src, os.O_RDONLY, dir_fd=src_dir_fd), "rb") as stream:
            data = stream.read()
        if target is None:
            with os.fdopen(
                os.open(dst, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666, dir_fd=dst_dir_fd), "wb"
            ) as stream:
                stream.write(data)
        else:
            # In one step, as other threads may read it.
            with open(f"{target.copy}.new", "wb") as stream:
                stream.write(data)
            _replace(f"{target.copy}.new", target.copy)
        if source is None:
            _unlink(src, dir_fd=src_dir_fd)
        else:
            _remove(source, src)


def _find(path: Any, dir_fd: int | None) -> PromptCopy | None:
    found = current.table.find_entry(path, dir_fd)
    return None if found is None or is_bound(found) else found


def _remove(found: PromptCopy, path: Any) -> None:
    """Remove the copy: who opens the prompt file then is told that it is not there."""
    __tracebackhide__ = True
    try:
        _unlink(found.copy)
    except OSError as error:
        error.filename = path
        raise
