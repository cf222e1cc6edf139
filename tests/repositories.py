"""Real git repositories with prompts in them, and what a check reads of their earlier states."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pytest_gepa.prompts.finding import DEFAULT_PATTERNS, find_components
from pytest_gepa.run.base_prompts import BasePrompts, read_base


class Repo:
    """A git repository; `root` is the rootdir in it."""

    def __init__(self, top: Path, root: Path) -> None:
        self.top, self.root = top, root
        root.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *args: str) -> str:
        done = subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *args],
            cwd=self.top,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def write(self, name: str, text: str | bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def commit(self) -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "more")
        return self.git("rev-parse", "HEAD")

    def read(self, revision: str = "", patterns: tuple[str, ...] = DEFAULT_PATTERNS) -> BasePrompts:
        components = find_components(self.root, self.root, patterns)
        return read_base(self.root, components, self.root, patterns, revision)


def states(base: BasePrompts) -> dict[str, str]:
    return {change.component: change.state for change in base.changes}
