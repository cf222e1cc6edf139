"""Runs of git in a repository, and the error that tells what it says."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_gepa.errors import GepaError
from pytest_gepa.prompts.patch import GIT_PLACES

SECONDS = 120
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
