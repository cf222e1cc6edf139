"""What a command that changes files does before: it shows what will change, and asks."""

from __future__ import annotations

import sys

from pytest_gepa.prompts.patch_form import first_file, split_lines, visible
from pytest_gepa.prompts.patch_reading import patch_message


def show(patch: bytes) -> None:
    """A patch for the eye. Others wrote most of it, so nothing in it may speak to the terminal."""
    for told in patch_message(patch).splitlines():
        print(visible(told))
    lines = split_lines(patch)
    for line in lines[first_file(lines) :]:
        if not line.startswith((b"diff --git ", b"index ")):
            print(visible(line.decode("utf-8", "backslashreplace").rstrip("\r\n").expandtabs(4)))


def agrees(files: int, does: str) -> bool:
    """Whether the user wants so many files written; no is the default, and what it is without a terminal.

    `does` says what `--yes` does instead.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        print(f"\nNothing was changed: there is no terminal to ask at; --yes {does}.")
        return False
    what = "this file" if files == 1 else f"these {files} files"
    try:
        answer = input(f"\nWrite {what}? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() in ("y", "yes"):
        return True
    print("Nothing was changed.")
    return False
