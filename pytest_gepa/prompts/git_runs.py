"""Runs of git in a repository, what is asked of it, and the error that tells what it says."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_gepa.errors import GepaError

SECONDS = 120
GIT_PLACES = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
)
"""Set when git has started this process, as in a hook: they point to another place than the given directory."""

KEEP_SPACES = "--whitespace=nowarn"
"""Has `git apply` take lines as they are, whatever `apply.whitespace` says."""

_NEVER_ASKS = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -oBatchMode=yes"}
"""A partial clone fetches what is missing: it fails where a password would be asked for at the terminal."""


class RevisionError(GepaError):
    """There is no earlier state to compare with; the message names the mend."""


class Git:
    """Git, run at the top level of a repository, or in a directory below it."""

    def __init__(self, top: Path) -> None:
        self.top = top

    def line(self, *arguments: str) -> str | None:
        """What git prints, without white space around it, None when it fails."""
        found = self.output(*arguments)
        return None if found is None else os.fsdecode(found).strip()

    def output(self, *arguments: str, environment: Mapping[str, str] | None = None) -> bytes | None:
        """What git prints, None when it fails."""
        done = self._run(arguments, environment)
        return done.stdout if done.returncode == 0 else None

    def must(self, *arguments: str, environment: Mapping[str, str] | None = None) -> bytes:
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
        raise RevisionError(f"earlier prompts cannot be read: git {arguments[0]} failed in {self.top}: {said}{hint}")

    def _run(
        self, arguments: Sequence[str], environment: Mapping[str, str] | None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run git. Raises `RevisionError` when it does not come to an end."""
        try:
            return _run(self.top, arguments, environment)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RevisionError(f"git {arguments[0]} did not come to an end: {error}") from None


def git_top(root: Path) -> Path | None:
    """Return the top of the git working tree that holds `root`; None outside of one, or without git."""
    finished = _asked(root, "rev-parse", "--show-toplevel")
    if finished is None or finished.returncode != 0:
        return None
    top = Path(os.fsdecode(finished.stdout.removesuffix(b"\n"))).resolve()
    return top if root.resolve().is_relative_to(top) else None


def top_of(rootdir: Path) -> Path:
    """Return the top of the git working tree that holds `rootdir`, itself outside of one, or without git."""
    return git_top(rootdir) or rootdir


def path_from(top: Path, path: Path) -> str:
    """The path of a file from the top of the repository; as it is, where it lies outside."""
    try:
        return path.resolve().relative_to(top.resolve()).as_posix()
    except ValueError:
        return path.as_posix()


def git_words(root: Path) -> str:
    """Git's own words on why it has no working tree that holds `root`; "" where it has one, or is missing."""
    finished = _asked(root, "rev-parse", "--show-toplevel")
    return "" if finished is None else finished.stderr.decode("utf-8", "replace").strip()


def git_keeps_spaces(top: Path) -> bool:
    """Whether a plain `git apply` in `top` takes lines that end in spaces, as they are: `apply.whitespace` may refuse
    them, or cut the spaces off."""
    finished = _asked(top, "config", "--get", "apply.whitespace")
    return finished is None or finished.stdout.strip() in (b"", b"nowarn", b"warn")


def git_apply_check(patch_file: Path, top: Path) -> str | None:
    """Ask git if the patch would apply in `top`: None if so, or if there is no git, else git's message.

    What the user has git say of spaces at the end of lines is passed over: they are the text's.
    """
    finished = _asked(top, "apply", "--check", "--verbose", KEEP_SPACES, str(patch_file.resolve()))
    if finished is None:
        return None
    said = finished.stderr.decode("utf-8", "replace").strip()
    if finished.returncode != 0:
        return said or f"git apply --check ended with {finished.returncode}"
    # Below the top of a tree git passes over files elsewhere, and still ends with 0.
    skipped = [line for line in said.splitlines() if line.startswith("Skipped patch")]
    return "\n".join(skipped) or None


def _asked(directory: Path, *arguments: str) -> subprocess.CompletedProcess[bytes] | None:
    """What git says, None where it is missing or does not come to an end."""
    try:
        return _run(directory, arguments)
    except (OSError, subprocess.TimeoutExpired):
        return None


def _run(
    directory: Path, arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    around = {name: value for name, value in os.environ.items() if name not in GIT_PLACES}
    own = {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", **(environment or {})}
    return subprocess.run(
        ["git", *arguments],
        cwd=directory,
        env={**_NEVER_ASKS, **around, **own},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
