"""The program under test, as a digest: which prompts a case uses is known as long as the code is as it was."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from pytest_gepa.errors import PromptError
from pytest_gepa.prompts.components import Component, by_file, compose
from pytest_gepa.prompts.git_runs import Git, RevisionError
from pytest_gepa.suite.project_files import LARGEST, TABLE_SUFFIXES
from pytest_gepa.suite.rollout import Case, file_of

DATA_SUFFIXES = (*TABLE_SUFFIXES, ".cfg", ".ini", ".j2", ".jinja", ".jinja2")
_TEXT = "-"
"""Stands for the text of every prompt, as an edit of one is no change of the program."""


def program_digest(rootdir: Path, components: Sequence[Component], cases: Iterable[Case]) -> str:
    """Names the Python files of a project and its files of data, without prompts, and without the files of the cases,
    each of which has a digest of its own. "" where git cannot tell which files are the project's.

    What a run leaves behind must not change it. So data counts only if git tracks it, a module also if it is new.
    """
    tracked, new = _listed(rootdir, "--cached"), _listed(rootdir, "--others", "--exclude-standard")
    if tracked is None or new is None:
        return ""
    of_cases = {file_of(case.id) for case in cases}
    names = {name for name in tracked if name.endswith((".py", *DATA_SUFFIXES))}
    names |= {name for name in new if name.endswith(".py")}
    prompts = dict(_without_prompts(components))
    root, found = rootdir.resolve(), hashlib.sha256()
    for name in sorted(names - of_cases):
        path = root / name
        content = prompts[path] if path in prompts else _content(path)
        is_hidden = any(part.startswith(".") for part in PurePosixPath(name).parts)
        if content is not None and not is_hidden:
            digest = hashlib.sha256(content).hexdigest()
            found.update(f"{name}\0{digest}\0".encode("utf-8", "surrogateescape"))
    return found.hexdigest()[:12]


def _listed(rootdir: Path, *which: str) -> list[str] | None:
    """Names of files below `rootdir`, from there, with forward slashes."""
    try:
        said = Git(rootdir).output("ls-files", "-z", *which)
    except RevisionError:
        return None
    return None if said is None else os.fsdecode(said).split("\0")


def _without_prompts(components: Sequence[Component]) -> Iterator[tuple[Path, bytes | None]]:
    """What else stands in the files of prompts; None for one that is nothing but a prompt."""
    for path, inside in by_file(components).items():
        try:
            rest = compose(inside, {component.id: _TEXT for component in inside})[path]
        except PromptError:
            rest = _content(path) or b""  # it cannot hold that text: then an edit of it counts, to be sure
        yield path.resolve(), None if rest.strip() == _TEXT.encode() else rest


def _content(path: Path) -> bytes | None:
    """The bytes of a file, of a large one only their number; None where there is none."""
    try:
        size = path.stat().st_size
        return path.read_bytes() if size <= LARGEST else str(size).encode()
    except OSError:
        return None
