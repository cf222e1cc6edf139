"""Which prompt files a command hands to a program that cannot be redirected: any but a Python that loads its `site`."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from .table import PromptCopy, Table

SHELLS = ("sh", "bash", "dash", "zsh", "ksh", "ash")
LAUNCHERS = (
    "env",
    "exec",
    "nice",
    "nohup",
    "time",
    "timeout",
    "setsid",
    "stdbuf",
    "uv",
    "uvx",
    "poetry",
    "pdm",
    "hatch",
    "pipenv",
)
"""Programs that start another with the same environment, and read nothing of what they hand on."""

RECURSIVE = ("cp", "rsync", "zip")
RECURSIVE_WORDS = frozenset(("--recursive", "--archive", "--recurse-paths"))
"""Programs that copy whole directories if they are told to; `tar` does so by itself."""

OPERATORS = frozenset("();<>|&\n")


HARMLESS = frozenset(("uname", "lsb_release", "ldconfig", "getconf", "stty", "tput", "gcc", "cc", "ld", "objdump"))
"""Programs that the standard library and SDKs ask about the machine; they read no prompt."""

TEXTLESS = frozenset(("ls", "stat", "touch", "basename", "dirname", "realpath", "readlink"))
"""Programs that are given files and never open one to read it: they tell of names, times and sizes."""

TEXTLESS_GIT = frozenset(("describe", "log", "ls-files", "rev-list", "rev-parse", "status"))
"""Commands of git that tell of commits and names; a log may be told to give texts too."""

PATCHES = (
    "-p",
    "-u",
    "-U",
    "-L",
    "-W",
    "-c",
    "--patch",
    "--unified",
    "--cc",
    "--dd",
    "--remerge-diff",
    "--binary",
    "--word-diff",
    "--color-words",
    "--function-context",
    "--ext-diff",
)
"""How the options begin by which it does."""


def reached(table: Table, executable: Any, words: Any, cwd: Any) -> Iterator[tuple[PromptCopy | None, str]]:
    """The prompt files that a command names, each with the program that is to read it.

    A program that may find one by itself, and cannot be redirected, is told without a file first.
    """
    given = [words] if isinstance(words, (str, bytes, os.PathLike)) else list(words)
    decoded = [os.fsdecode(word) for word in given if isinstance(word, (str, bytes, os.PathLike))]
    if not decoded:
        return
    directory = os.fsdecode(cwd) if cwd is not None else ""
    if executable is not None:
        decoded[0] = os.fsdecode(executable)
    yield from _simple(table, decoded, directory)


def _simple(table: Table, words: Sequence[str], directory: str) -> Iterator[tuple[PromptCopy | None, str]]:
    name = os.path.basename(words[0])
    if name in TEXTLESS or (name == "git" and _is_textless_git(words[1:])):
        return
    at = _line_at(words) if name in SHELLS else 0
    is_line = at > 0
    if not is_line and name not in HARMLESS and not _is_redirected(words):
        yield None, repr(name)
    if is_line:
        yield from _script(table, words[at], directory)
        words = [words[0], *words[at + 1 :]]
    elif _is_redirected(words):
        return
    for word in words[1:]:
        found = _named(table, word, directory)
        if found is not None:
            yield found, repr(name)
    for word, start in _whole_directories(name, words[1:], directory):
        for found in table.below(os.path.join(start, word)):
            yield found, repr(name)


def _line_at(words: Sequence[str]) -> int:
    """The place of the line that a shell is given, behind `-c` or its like (`-lc`); 0 where it is given none."""
    options = (at for at, word in enumerate(words[:-1]) if at and word[0:1] == "-" and word[1:].isalpha())
    return next((at + 1 for at in options if "c" in words[at]), 0)


def _whole_directories(name: str, words: Sequence[str], directory: str) -> Iterator[tuple[str, str]]:
    """The words that a program takes, with all that is below them, if they are directories, and from where they go.

    Some may be something else, as the name of an archive is: that has nothing below it.
    """
    plain = [word for word in words if not word.startswith("-")]
    short = "".join(word for word in words if word.startswith("-") and not word.startswith("--"))
    if name == "tar":
        options = short + (words[0] if words and not words[0].startswith("-") else "")
        if "c" not in options and "--create" not in words:  # it lists or unpacks
            return
        before = ""
        for word in words:
            if before in ("-C", "--directory"):
                directory = os.path.join(directory, word)
            elif not word.startswith("-"):
                yield word, directory
            before = word
    elif name in RECURSIVE and (set(short) & set("ra" if name != "cp" else "raR") or set(words) & RECURSIVE_WORDS):
        is_last_given = name != "zip" and not any(word.startswith(("-t", "--target")) for word in words)
        yield from ((word, directory) for word in (plain[:-1] if is_last_given else plain))


def _script(table: Table, text: str, directory: str) -> Iterator[tuple[PromptCopy | None, str]]:
    """The same for a line of the shell, read roughly: each simple command in it, and the files that it reads itself."""
    import re

    # What a substitution runs is a command of its own.
    for inner in re.findall(r"\$\(([^()]*)\)|`([^`]*)`", text):
        yield from _script(table, "".join(inner), directory)
    text = re.sub(r"\$\([^()]*\)|`[^`]*`", " ", text)
    command: list[str] = []
    tokens = _tokens(text)
    for at, token in enumerate(tokens):
        if not OPERATORS.issuperset(token):
            command.append(token)
            continue
        if "<" in token and at + 1 < len(tokens):
            found = _named(table, tokens[at + 1], directory)
            if found is not None:
                yield found, "'sh'"
        if "<" not in token and ">" not in token:
            yield from _command(table, command, directory)
            if command[:1] == ["cd"] and len(command) > 1:
                directory = os.path.join(directory, command[-1])
            command = []
    yield from _command(table, command, directory)


def _command(table: Table, words: list[str], directory: str) -> Iterator[tuple[PromptCopy | None, str]]:
    while words and "=" in words[0].partition("/")[0]:  # variables set for this command
        words = words[1:]
    if words:
        yield from _simple(table, _expanded(words, directory), directory)


def _expanded(words: Sequence[str], directory: str) -> list[str]:
    """The words with the files that a shell puts in place of a wildcard; quoted ones too, which shells leave alone."""
    made: list[str] = []
    for word in words:
        files: list[str] = []
        if any(sign in word for sign in "*?["):
            import glob

            files = glob.glob(os.path.join(directory, word))
        made += files or [word]
    return made


def _tokens(text: str) -> list[str]:
    import shlex

    try:
        scanner = shlex.shlex(text, posix=True, punctuation_chars="();<>|&\n")
        scanner.whitespace = " \t\r"
        scanner.whitespace_split = True
        return list(scanner)
    except ValueError:  # a quote that is not closed
        return text.replace('"', " ").replace("'", " ").split()


def _named(table: Table, word: str, directory: str) -> PromptCopy | None:
    """The prompt file whose path a word is, or holds after a sign that sets it off, as in `--file=path` and `@path`."""
    starts = [0, *(at + 1 for at, sign in enumerate(word) if sign in "=@:,")]
    for start in starts:
        found = table.find(os.path.join(directory, word[start:]))
        if found is not None:
            return found
    return None


def _is_textless_git(words: Sequence[str]) -> bool:
    """Whether a command of git, by the words behind its name, gives no text of a file."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in ("-C", "-c", "--git-dir", "--work-tree", "--namespace") else 1
    if words[at : at + 1] == ["status"]:
        return not any(word in ("-v", "-vv", "--verbose") for word in words[at:])
    options = [word for word in words[at + 1 :] if word.startswith(PATCHES)]
    return at < len(words) and words[at] in TEXTLESS_GIT and (words[at] != "log" or not options)


def _is_redirected(words: Sequence[str]) -> bool:
    """Whether the program is a Python that will load the overlay by itself."""
    at = 0
    if os.path.basename(words[0]) in LAUNCHERS:
        at = next((i for i, word in enumerate(words) if is_python(word)), 0)
    return is_python(words[at]) and not _is_isolated(words[at + 1 :])


def is_python(program: str) -> bool:
    """Whether a program is a Python interpreter, or a script for one."""
    import re

    if re.fullmatch(r"(?:python|pypy)[\d.]*w?(?:\.exe)?", os.path.basename(program)):
        return True
    return b"python" in _interpreter(program)


def _interpreter(program: str) -> bytes:
    """The first line of a script, b"" for what is none."""
    places = [""] if os.path.dirname(program) else os.environ.get("PATH", os.defpath).split(os.pathsep)
    for place in places:
        try:
            descriptor = os.open(os.path.join(place, program), os.O_RDONLY)
        except (OSError, ValueError):
            continue
        try:
            line = os.read(descriptor, 200).partition(b"\n")[0]
        except OSError:  # a directory
            return b""
        finally:
            os.close(descriptor)
        return line if line.startswith(b"#!") else b""
    return b""


def _is_isolated(options: Sequence[str]) -> bool:
    """Whether Python is told to pass over its environment or its `site` (-I, -E, -S)."""
    skips = False
    for option in options:
        if skips:
            skips = False
            continue
        if not option.startswith("-") or option.startswith("--") or option == "-":
            return False
        for at, sign in enumerate(option[1:], start=2):
            if sign in "IES":
                return True
            if sign in "cm":
                return False
            if sign in "WX":  # they take an argument, here or in the next word
                skips = at == len(option)
                break
    return False
