"""An earlier state of the project in git: which commit it is, which files differ from it, and their bytes there.

Nothing is written to the repository, its index included."""

from __future__ import annotations

import os
import posixpath
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_gepa.prompts.commits import WITHOUT_GIT, default_base, named_commit
from pytest_gepa.prompts.git_runs import Git, RevisionError, git_top, git_words

_MOST_LINKS = 8
_LINK = "120000"
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class FileState:
    """How a file of today differs from the revision: `before` is its path there, "" for one that is new."""

    path: str
    before: str


@dataclass(frozen=True, slots=True)
class Difference:
    """How the working tree differs from a revision. `states` are those of the files that were looked for, by path,
    `deleted` files that are there no more, and `others` where any other file is today that differs, by its path there.
    `has_other_code` says that a Python file that was not looked for is another, `has_other_tests` that a test module
    is, as its name says.
    """

    states: Mapping[str, FileState]
    deleted: tuple[str, ...]
    others: Mapping[str, str]
    has_other_code: bool = False
    has_other_tests: bool = False


class Repository:
    """The git repository that holds `rootdir`. Paths are relative to its top level, with forward slashes.

    Raises `RevisionError` where there is none.
    """

    def __init__(self, rootdir: Path) -> None:
        top = git_top(rootdir)
        if top is None:
            said = git_words(rootdir)
            if said and "not a git repository" not in said:
                raise RevisionError(f"earlier prompts are read from git, which refuses {rootdir}: {said}")
            raise RevisionError(
                f"earlier prompts are read from git, and {rootdir} is in no git repository (or git is missing); "
                f"{WITHOUT_GIT}"
            )
        self.top = top
        self._git = Git(top)

    def path_of(self, path: Path) -> str | None:
        """The path of a file in the repository, None for one outside of it."""
        try:
            return path.resolve().relative_to(self.top).as_posix()
        except ValueError:
            return None

    def names(self, files: Sequence[str]) -> dict[str, str]:
        """The names by which git knows files of today: a file system may pass over case, and have another spelling of
        an accent. A file that git does not know keeps its own.
        """
        new = self._untracked(files)
        names = {path: path for path in files}
        if new:
            tracked = os.fsdecode(self._git.must("ls-files", "-z", "--full-name")).split("\0")
            alike = {_folded(path): path for path in tracked if path}
            for path in new:
                name = alike.get(_folded(path))
                if name is not None and _is_same_file(self.top / name, self.top / path):
                    names[path] = name
        return names

    def commit(self, revision: str) -> str:
        """The full hash of a commit: of the one that a revision names, or of that where this branch has left the branch
        that it goes into, for "". Raises `RevisionError` where there is none here.
        """
        return named_commit(self._git, revision) if revision else default_base(self._git)

    def short(self, commit: str) -> str:
        """A commit's hash as one writes it."""
        return self._git.line("rev-parse", "--short", commit) or commit[:10]

    def difference(self, commit: str, files: Sequence[str]) -> Difference:
        """How the working tree differs from a commit; `files` are those of today that are looked for.

        Uncommitted and untracked files count as they are, and a file that was renamed keeps its history. Raises
        `RevisionError` where git cannot tell, as of a file in a submodule.
        """
        states: dict[str, FileState] = {}
        deleted: list[str] = []
        others: dict[str, str] = {}
        links: list[FileState] = []
        wanted = frozenset(files)
        code: set[str] = set()
        with tempfile.TemporaryDirectory(prefix="gepa-index-") as place:
            index = self._index_with(files, Path(place))
            diff = self._git.must(
                *("diff", "--raw", "-z", "-M", "--no-ext-diff", "--ignore-submodules", commit, "--"),
                environment=index,
            )
        fields = iter(os.fsdecode(diff).split("\0"))
        for about in fields:
            if not about:
                break
            mode_before, mode, _, _, status = about.removeprefix(":").split(" ")
            before = next(fields)
            path = next(fields) if status[0] in "RC" else before
            if path.endswith(".py") and path not in wanted:
                code.add(path)
            if status[0] == "D":
                deleted.append(before)
                continue
            state = states[path] = FileState(path, "" if status[0] in "AC" else before)
            if not state.before:
                continue
            if mode == _LINK:
                links.append(state)
            elif mode_before != _LINK and path not in wanted:
                others[before] = path
        for path in wanted - states.keys() - self._known(commit, files):
            states[path] = FileState(path, "")
        # Git takes no file for one that lay behind a link to its directory.
        for path in self._linked(commit, [path for path in files if path in states and states[path].before != path]):
            states[path] = FileState(path, path)
        states |= self._led_elsewhere(commit, links, files)
        known = {path: states[path] for path in files if path in states}
        tests = {path for path in code if _is_test(path)}
        return Difference(known, tuple(deleted), others, code > tests, bool(tests))

    def read(self, commit: str, path: str) -> bytes | None:
        """A file's bytes in a commit, as a checkout would write them, None where there is none; a symlink there stands
        for its target.

        Raises `RevisionError` for a file that the commit has and git cannot give, as a partial clone may not.
        """
        real = self._real(commit, path)
        if real is None:
            return None
        name = f"{commit}:{real}"
        # Git LFS and git-crypt keep something else in git than what stands in the file.
        filtered = self._git.output("cat-file", "--filters", name)
        return self._git.must("cat-file", "blob", name) if filtered is None else filtered

    def _real(self, commit: str, path: str) -> str | None:
        """The path of the file that a path means in a commit, links followed part by part; None where there is none."""
        for _ in range(_MOST_LINKS):
            entries = self._entries(commit, [path])
            link = next((part for part in _parts(path) if entries.get(part) == _LINK), None)
            if link is None:
                return path if path in entries else None
            target = os.fsdecode(self._git.must("cat-file", "blob", f"{commit}:{link}"))
            path = posixpath.normpath(posixpath.join(posixpath.dirname(link), target) + path[len(link) :])
            if posixpath.isabs(path) or path.split("/")[0] == "..":
                raise RevisionError(
                    f"{link} was a link to {target}, outside of the repository, so that the text behind it is not "
                    "known; name a commit in which it is a file with --gepa-check=REV, or leave it out with "
                    "--gepa-prompts"
                )
        return None

    def _led_elsewhere(self, commit: str, links: Iterable[FileState], files: Sequence[str]) -> dict[str, FileState]:
        """Those of the files to which a link leads that led to another one at the commit: by its name the other's text
        was read, of which git tells nothing where both were there before.
        """
        found: dict[str, FileState] = {}
        for link in links:
            target = Path(os.path.realpath(self.top / link.path))
            for path in files:
                if (self.top / path).is_relative_to(target):
                    below = (self.top / path).relative_to(target).as_posix()
                    before = self._real(commit, posixpath.normpath(posixpath.join(link.before, below)))
                    if before is not None and before != path:
                        found[path] = FileState(path, before)
        return found

    def _linked(self, commit: str, files: Sequence[str]) -> list[str]:
        """Those of the files that a commit has behind a link."""
        links = {path for path, mode in self._entries(commit, files).items() if mode == _LINK}
        behind = [path for path in files if not links.isdisjoint(_parts(path))] if links else []
        return [path for path in behind if self._real(commit, path) is not None]

    def _entries(self, commit: str, files: Sequence[str]) -> dict[str, str]:
        """The modes of these files in a commit, and of what stands there in place of a directory above one."""
        parts = list(dict.fromkeys(part for path in files for part in _parts(path)))
        entries: dict[str, str] = {}
        for at in range(0, len(parts), _AT_ONCE):
            paths = map(_literal, parts[at : at + _AT_ONCE])
            for line in os.fsdecode(self._git.must("ls-tree", "-z", commit, "--", *paths)).split("\0"):
                about, _, path = line.partition("\t")
                mode, _, kind = about.partition(" ")
                if kind.startswith("blob "):
                    entries[path] = mode
        return entries

    def _listed(self, files: Sequence[str]) -> dict[str, str]:
        """Those of the files that the index has, each with the letter of its state in `git ls-files -v`."""
        listed = os.fsdecode(self._git.must("ls-files", "-v", "-z", "--", *map(_literal, files))).split("\0")
        return {line[2:]: line[0] for line in listed if line}

    def _untracked(self, files: Sequence[str]) -> list[str]:
        tracked = self._listed(files)
        return [path for path in files if path not in tracked]

    def _check_own(self, new: Iterable[str]) -> None:
        """Raise `RevisionError` for a file that is new only because another repository, as a submodule, has it."""
        own: dict[Path, bool] = {}
        for path in new:
            directory = (self.top / path).parent
            if directory not in own:
                own[directory] = git_top(directory) == self.top
            if not own[directory]:
                raise RevisionError(
                    f"{path} lies in a git repository of its own within {self.top}, so that its earlier text is not "
                    "known here; run the check in that repository, compare with a saved baseline (--gepa-baseline), or "
                    "leave the file out with --gepa-prompts"
                )

    def _index_with(self, files: Sequence[str], place: Path) -> dict[str, str]:
        """The environment of a copy of the index by which git sees every edit of these files, and renames: untracked
        files are noted in it, and marks that have git pass over edits are taken away."""
        states = self._listed(files)
        new = [path for path in files if path not in states]
        # Small letters are of files that are assumed unchanged, an S of those that a sparse checkout may leave out.
        passed_over = [path for path, state in states.items() if state.islower() or state == "S"]
        self._check_own(new)
        index = self._git.line("rev-parse", "--path-format=absolute", "--git-path", "index")
        if not (new or passed_over) or index is None:
            return {}
        environment = {"GIT_INDEX_FILE": str(place / "index")}
        if Path(index).exists():
            shutil.copy2(index, place / "index")  # by its time git knows which files to look into
        if new:
            self._git.output("add", "-f", "-N", "--", *map(_literal, new), environment=environment)
        if passed_over:
            for mark in ("--no-assume-unchanged", "--no-skip-worktree"):
                self._git.must("update-index", mark, "--", *passed_over, environment=environment)
        return environment

    def _known(self, commit: str, files: Sequence[str]) -> set[str]:
        known: set[str] = set()
        for at in range(0, len(files), _AT_ONCE):
            paths = map(_literal, files[at : at + _AT_ONCE])
            listed = self._git.must("ls-tree", "-r", "-z", "--name-only", "--full-tree", commit, "--", *paths)
            known |= set(os.fsdecode(listed).split("\0"))
        return known


def kept_apart(data: bytes) -> str:
    """How to get at a file of which git gives only a stand-in, "" for one that it gives as it is."""
    if data.startswith(b"version https://git-lfs.github.com/spec/"):
        return "it is kept by Git LFS: install it (git lfs install), and fetch the file (git lfs fetch --all)"
    if data.startswith(b"\0GITCRYPT"):
        return "it is encrypted: unlock the repository (git-crypt unlock)"
    return ""


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _literal(path: str) -> str:
    return f":(top,literal){path}"


def _is_test(path: str) -> bool:
    name = posixpath.basename(path)
    return name.startswith("test_") or name.endswith("_test.py")


def _parts(path: str) -> list[str]:
    """A path and the directories that it leads through, the first one first."""
    return [path[:at] for at, character in enumerate(path) if character == "/"] + [path]
