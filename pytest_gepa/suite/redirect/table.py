"""Which path leads to which prompt file: by its name, through links of both kinds, from a directory's descriptor."""

from __future__ import annotations

import importlib.util
import os
import stat

PYTHON_SUFFIXES = (".py", ".pyw")


class PromptCopy:
    """A prompt file, the components in it, and the copy on disk that holds the candidate's text."""

    __slots__ = ("components", "copy", "path")

    def __init__(self, path: str, components: tuple[str, ...], copy: str) -> None:
        self.path = path
        self.components = components
        self.copy = copy


class Table:
    """The prompt files of a process."""

    def __init__(self, files: tuple[PromptCopy, ...]) -> None:
        self.files = files
        self._by_path = {os.path.realpath(file.path): file for file in files}
        self._by_identity = {}
        for file in files:
            try:
                status = os.stat(file.path)
            except OSError:
                continue
            self._by_identity[status.st_dev, status.st_ino] = file
        self._by_entry = {**self._by_path, **{_entry(file.path): file for file in files}}
        self._names = {os.path.basename(file.path).lower() for file in files}
        self._names |= {os.path.basename(path).lower() for path in self._by_path}
        self._compiled = [
            (*_compiled_place(path), file) for path, file in self._by_path.items() if path.endswith(PYTHON_SUFFIXES)
        ]

    @property
    def holds_python(self) -> bool:
        """Whether a file of Python source is among the prompt files."""
        return bool(self._compiled)

    def find(self, path: object, dir_fd: int | None = None) -> PromptCopy | None:
        """The prompt file that a path leads to, None for any other path, for descriptors, and for what is no path.

        Costs one `lstat` for a path of another name: nearly every open is of another file.
        """
        if not self._by_path:
            return None
        try:
            name = path if type(path) is str else os.fsdecode(path)  # type: ignore[arg-type]
            status = os.lstat(name) if dir_fd is None else os.lstat(name, dir_fd=dir_fd)
        except (TypeError, ValueError, OSError):
            return None
        is_named = name[name.rfind(os.sep) + 1 :].lower() in self._names
        if is_named or stat.S_ISLNK(status.st_mode):
            return self._find_real(name, dir_fd, status, is_named)
        return self._by_identity.get((status.st_dev, status.st_ino)) if status.st_nlink > 1 else None

    def _find_real(self, name: str, dir_fd: int | None, status: os.stat_result, is_named: bool) -> PromptCopy | None:
        """The same for a name or a link that asks for a closer look."""
        real = os.path.realpath(_from(dir_fd, name))
        if real in self._by_path:
            return self._by_path[real]
        if stat.S_ISLNK(status.st_mode):
            try:
                status = os.stat(name, dir_fd=dir_fd)
            except (ValueError, OSError):
                return None
        # A number that was the prompt file's may be another file's by now, if an editor has replaced the former: only
        # one that has several names, or the prompt's own in other letters, is taken for it.
        if is_named or status.st_nlink > 1:
            return self._by_identity.get((status.st_dev, status.st_ino))
        return None

    def find_entry(self, path: object, dir_fd: int | None = None) -> PromptCopy | None:
        """The prompt file that a path names itself, and not by another link to it: what a removal would take away."""
        try:
            name = os.fsdecode(path)  # type: ignore[arg-type]
        except TypeError:
            return None
        if name[name.rfind(os.sep) + 1 :].lower() not in self._names:
            return None
        return self._by_entry.get(_entry(_from(dir_fd, name)))

    def below(self, directory: str) -> list[PromptCopy]:
        """The prompt files in a directory, however deep."""
        above = os.path.join(os.path.realpath(directory), "")
        return [file for path, file in self._by_path.items() if path.startswith(above)]

    def find_compiled(self, path: object) -> PromptCopy | None:
        """The prompt file, Python source, of which a path is the compiled form that Python or pytest keeps."""
        if not self._compiled:
            return None
        try:
            directory, name = os.path.split(os.fsdecode(path))  # type: ignore[arg-type]
        except TypeError:
            return None
        if ".pyc" not in name:
            return None
        for place, stem, file in self._compiled:
            if name.startswith(stem) and os.path.realpath(directory) == place:
                return file
        return None


def _compiled_place(path: str) -> tuple[str, str]:
    """The directory of a source file's compiled forms, and how their names begin."""
    directory = os.path.dirname(importlib.util.cache_from_source(path))
    return os.path.realpath(directory), os.path.splitext(os.path.basename(path))[0] + "."


def _entry(path: str) -> str:
    """A path with the links above it followed, and not the one that it may be."""
    directory, name = os.path.split(path)
    return os.path.join(os.path.realpath(directory), name)


def _from(dir_fd: int | None, name: str) -> str:
    if dir_fd is None or os.path.isabs(name):
        return name
    return os.path.join(f"/proc/self/fd/{dir_fd}", name)
