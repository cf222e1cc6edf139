"""The overlay: reads of a component's file are answered with the candidate's text; the file itself is untouched.

Every way in which Python opens a file by name is redirected to a temporary copy, so that `fileno` and `mmap` work too.
An audit hook sees the reads that went around it. Lives in child processes only: an audit hook cannot be taken back.
"""

from __future__ import annotations

import builtins
import importlib.machinery
import io
import os
import pathlib
import sys
import tokenize
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_gepa.suite.job import PromptFile


@dataclass(frozen=True, slots=True)
class _Redirection:
    """What a prompt file's path leads to: the components in it, the copy on disk, and its bytes."""

    components: tuple[str, ...]
    copy: str
    content: bytes


class Overlay:
    """Redirects reads of prompt files; `on_read` and `on_leak` are told the component's id."""

    def __init__(
        self,
        prompts: Sequence[PromptFile],
        directory: str,
        *,
        on_read: Callable[[str], None],
        on_leak: Callable[[str], None],
    ) -> None:
        self._on_read = on_read
        self._on_leak = on_leak
        self._by_path: dict[str, _Redirection] = {}
        for number, prompt in enumerate(prompts):
            copy = os.path.join(directory, f"{number}-{os.path.basename(prompt.path)}")
            with open(copy, "wb") as stream:
                stream.write(prompt.content)
            self._by_path[os.path.realpath(prompt.path)] = _Redirection(
                tuple(prompt.texts), copy, prompt.content
            )
        # The base name is compared first: a real path costs system calls, and nearly every open is of another file.
        # A symlink may have any name.
        self._names = {os.path.basename(prompt.path) for prompt in prompts}
        self._names |= {os.path.basename(path) for path in self._by_path}

    def install(self) -> None:
        """Patch the ways of opening a file and add the audit hook; for the rest of the process."""
        self._patch_open()
        self._patch_os_open()
        self._patch_loaders()
        sys.addaudithook(self._audit)

    def _redirection(self, file: object) -> _Redirection | None:
        if isinstance(file, int):
            return None
        try:
            path = os.fsdecode(file)  # type: ignore[arg-type]
        except TypeError:
            return None
        if os.path.basename(path) not in self._names and not os.path.islink(path):
            return None
        return self._by_path.get(os.path.realpath(path))

    def _redirect(self, file: Any) -> Any:
        found = self._redirection(file)
        if found is None:
            return file
        self._tell(found, self._on_read)
        return found.copy

    def _tell(self, found: _Redirection, listener: Callable[[str], None]) -> None:
        for component in found.components:
            listener(component)

    def _patch_open(self) -> None:
        original = io.open

        def open(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if isinstance(mode, str) and "r" in mode and "+" not in mode:
                file = self._redirect(file)
            return original(file, mode, *args, **kwargs)

        builtins.open = open
        io.open = open
        if hasattr(tokenize, "_builtin_open"):
            tokenize._builtin_open = open
        accessor = getattr(pathlib, "_NormalAccessor", None)  # Python 3.10 keeps its own reference
        if accessor is not None:
            accessor.open = staticmethod(open)

    def _patch_os_open(self) -> None:
        original = os.open

        def open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            if dir_fd is None and flags & os.O_ACCMODE == os.O_RDONLY:
                path = self._redirect(path)
            return original(path, flags, mode, dir_fd=dir_fd)

        os.open = open

    def _patch_loaders(self) -> None:
        overlay = self
        get_data = importlib.machinery.SourceFileLoader.get_data

        def overlaid(loader: Any, path: str) -> bytes:
            found = overlay._redirection(path)
            if found is None:
                return get_data(loader, path)
            overlay._tell(found, overlay._on_read)
            return found.content

        for loader in (importlib.machinery.SourceFileLoader, importlib.machinery.SourcelessFileLoader):
            loader.get_data = overlaid  # type: ignore[assignment]

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open":
            return
        path, mode, flags = arguments
        if isinstance(path, int) or (isinstance(flags, int) and flags & os.O_ACCMODE == os.O_WRONLY):
            return
        if isinstance(mode, str) and "r" not in mode:
            return
        found = self._redirection(path)
        if found is not None:
            self._tell(found, self._on_leak)
