"""An earlier state of the project in git: which commit it is, which files differ from it, and their bytes there.

Nothing is written to the repository, its index included."""

from __future__ import annotations

import os
import posixpath
import shutil
import subprocess
import tempfile
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_gepa.errors import GepaError
from pytest_gepa.prompts.patch import GIT_PLACES, git_top, git_words

DEFAULT_BRANCHES = ("origin/main", "origin/master", "main", "master")
SECONDS = 120
_NEVER_ASKS = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -oBatchMode=yes"}
"""A partial clone fetches what is missing: it fails where a password would be asked for at the terminal."""
_MOST_LINKS = 8
_LINK = b"120000"


class RevisionError(GepaError):
    """There is no earlier state to compare with; the message names the mend."""


@dataclass(frozen=True, slots=True)
class FileState:
    """How a file of today differs from the revision: `before` is its path there, "" for one that is new."""

    path: str
    before: str


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
                f"earlier prompts are read from git, and {rootdir} is in no git repository (or git is missing)"
            )
        self.top = top

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
            tracked = os.fsdecode(self._must("ls-files", "-z", "--full-name")).split("\0")
            alike = {_folded(path): path for path in tracked if path}
            for path in new:
                name = alike.get(_folded(path))
                if name is not None and _is_same_file(self.top / name, self.top / path):
                    names[path] = name
        return names

    def commit(self, revision: str) -> str:
        """The full hash of the commit that a revision names. Raises `RevisionError` for one that is not known here."""
        found = self._try("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        if found is None:
            raise RevisionError(f"git knows no commit {revision} here{self._shallow_hint()}")
        return found

    def short(self, commit: str) -> str:
        """A commit's hash as one writes it."""
        return self._try("rev-parse", "--short", commit) or commit[:10]

    def default_base(self) -> str:
        """The commit at which this branch has left the default branch; HEAD on that branch itself.

        Raises `RevisionError` where no default branch or no common commit is known, as in a shallow clone.
        """
        head = self._try("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        if head is None:
            raise RevisionError("earlier prompts are read from git, and there is no commit yet")
        branch = next((name for name in self._default_branches() if self._exists(name)), None)
        if branch is None:
            raise RevisionError(
                f"the default branch is not known here (looked for {', '.join(self._default_branches())})"
                f"{self._shallow_hint(always=True)}"
            )
        base = self._try("merge-base", "HEAD", branch)
        if base is None:
            raise RevisionError(
                f"HEAD and {branch} have no common commit here{self._shallow_hint(always=True)}"
            )
        return base

    def differing(self, commit: str, files: Sequence[str]) -> tuple[dict[str, FileState], tuple[str, ...]]:
        """How the working tree differs from a commit: those of today's `files` that do, by path, and deleted files.

        Uncommitted and untracked files count as they are, and a file that was renamed keeps its history. Raises
        `RevisionError` where git cannot tell, as of a file in a submodule.
        """
        states: dict[str, FileState] = {}
        deleted: list[str] = []
        with tempfile.TemporaryDirectory(prefix="gepa-index-") as place:
            index = self._index_with(files, Path(place))
            diff = self._must(
                *("diff", "--name-status", "-z", "-M", "--no-ext-diff", "--ignore-submodules", commit, "--"),
                environment=index,
            )
        fields = iter(os.fsdecode(diff).split("\0"))
        for status in fields:
            if not status:
                break
            before = next(fields)
            path = next(fields) if status[0] in "RC" else before
            if status[0] == "D":
                deleted.append(before)
            else:
                states[path] = FileState(path, "" if status[0] in "AC" else before)
        for path in set(files) - states.keys() - self._known(commit, files):
            states[path] = FileState(path, "")
        return {path: states[path] for path in files if path in states}, tuple(deleted)

    def read(self, commit: str, path: str) -> bytes | None:
        """A file's bytes in a commit, as a checkout would write them, None where there is none; a symlink there stands
        for its target.

        Raises `RevisionError` for a file that the commit has and git cannot give, as a partial clone may not.
        """
        for _ in range(_MOST_LINKS):
            entry = self._must("ls-tree", "-z", commit, "--", f":(top,literal){path}")
            if not entry:
                return None
            mode, kind, _ = entry.split(b"\t", 1)[0].split(b" ", 2)
            if kind != b"blob":
                return None
            name = f"{commit}:{path}"
            if mode != _LINK:
                # Git LFS and git-crypt keep something else in git than what stands in the file.
                filtered = self._bytes("cat-file", "--filters", name)
                return self._must("cat-file", "blob", name) if filtered is None else filtered
            data = self._must("cat-file", "blob", name)
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), os.fsdecode(data)))
        return None

    def _default_branches(self) -> tuple[str, ...]:
        branch = self._try("symbolic-ref", "--quiet", "--short", "HEAD")
        remote = self._try("config", f"branch.{branch}.remote") if branch else None
        heads = dict.fromkeys(f"{name}/HEAD" for name in (remote, "origin") if name and name != ".")
        return (*heads, *DEFAULT_BRANCHES)

    def _exists(self, name: str) -> bool:
        kind = "remotes" if "/" in name else "heads"
        return self._try("rev-parse", "--verify", "--quiet", f"refs/{kind}/{name}^{{commit}}") is not None

    def _shallow_hint(self, *, always: bool = False) -> str:
        if not always and self._try("rev-parse", "--is-shallow-repository") != "true":
            return "; name one with --gepa-check=REV"
        return (
            "; a shallow clone lacks it: fetch the whole history (fetch-depth: 0 in actions/checkout), or name a "
            "commit that is here with --gepa-check=REV"
        )

    def _listed(self, files: Sequence[str]) -> dict[str, str]:
        """Those of the files that the index has, each with the letter of its state in `git ls-files -v`."""
        listed = os.fsdecode(self._must("ls-files", "-v", "-z", "--", *map(_literal, files))).split("\0")
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
        index = self._try("rev-parse", "--path-format=absolute", "--git-path", "index")
        if not (new or passed_over) or index is None:
            return {}
        environment = {"GIT_INDEX_FILE": str(place / "index")}
        if Path(index).exists():
            shutil.copy2(index, place / "index")  # by its time git knows which files to look into
        if new:
            self._bytes("add", "-f", "-N", "--", *map(_literal, new), environment=environment)
        if passed_over:
            for mark in ("--no-assume-unchanged", "--no-skip-worktree"):
                self._must("update-index", mark, "--", *passed_over, environment=environment)
        return environment

    def _known(self, commit: str, files: Sequence[str]) -> set[str]:
        known: set[str] = set()
        for at in range(0, len(files), 500):
            paths = map(_literal, files[at : at + 500])
            listed = self._must("ls-tree", "-r", "-z", "--name-only", "--full-tree", commit, "--", *paths)
            known |= set(os.fsdecode(listed).split("\0"))
        return known

    def _try(self, *arguments: str) -> str | None:
        found = self._bytes(*arguments)
        return None if found is None else os.fsdecode(found).strip()

    def _bytes(self, *arguments: str, environment: Mapping[str, str] | None = None) -> bytes | None:
        """What git prints, None when it fails."""
        done = self._run(arguments, environment)
        return done.stdout if done.returncode == 0 else None

    def _must(self, *arguments: str, environment: Mapping[str, str] | None = None) -> bytes:
        """What git prints. Raises `RevisionError`, with git's own words, when it fails."""
        done = self._run(arguments, environment)
        if done.returncode == 0:
            return done.stdout
        said = done.stderr.decode("utf-8", "replace").strip() or f"exit code {done.returncode}"
        # A file that is not there would pass for a prompt that is new, which no check compares.
        hint = (
            "; in a partial clone (--filter) the remote must be reachable, or clone without --filter"
            if "promisor" in said
            else ""
        )
        raise RevisionError(
            f"earlier prompts cannot be read: git {arguments[0]} failed in {self.top}: {said}{hint}"
        )

    def _run(
        self, arguments: Sequence[str], environment: Mapping[str, str] | None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run git. Raises `RevisionError` when it does not come to an end."""
        around = {name: value for name, value in os.environ.items() if name not in GIT_PLACES}
        try:
            return subprocess.run(
                ["git", *arguments],
                cwd=self.top,
                env={
                    **_NEVER_ASKS,
                    **around,
                    "LC_ALL": "C",
                    "GIT_OPTIONAL_LOCKS": "0",
                    **(environment or {}),
                },
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RevisionError(f"git {arguments[0]} did not come to an end: {error}") from None


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
