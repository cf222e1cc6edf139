from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from pytest_gepa.suite.redirect.commands import is_python, reached
from pytest_gepa.suite.redirect.table import PromptCopy, Table


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Table:
    """One prompt, `prompts/greet.md`, from where the process stands; and a script for Python beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "greet.md").write_text("Greet.")
    (tmp_path / "tool").write_text(f"#!{sys.executable}\nprint(1)\n")
    (tmp_path / "shell-tool").write_text("#!/bin/sh\n")
    return Table((PromptCopy(str(tmp_path / "prompts" / "greet.md"), ("prompts/greet.md",), "copy"),))


def programs(known: Table, words: object, cwd: object = None) -> list[str]:
    return [name for file, name in reached(known, None, words, cwd) if file is not None]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["grep", "-r", "rule", "."], ["'grep'"]),
        ("sh -c 'python tool.py; ./render'", ["'render'"]),
        ("make render", ["'make'"]),
        ("python -I render.py", ["'python'"]),
        ("python render.py", []),
        ("./tool", []),
        (["sh", "-c", "python -m render | env python x.py"], []),
        ("uname -p", []),
        ("git log -1 --format=%h", []),
        ("git log -p", ["'git'"]),
        ("ls prompts", []),
    ],
)
def test_a_program_that_may_read_unheard_is_told(known: Table, words: str | list[str], expected: list[str]) -> None:
    given = shlex.split(words) if isinstance(words, str) else words
    assert [name for file, name in reached(known, None, given, None) if file is None] == expected


@pytest.mark.parametrize(
    "command",
    [
        "cat prompts/greet.md",
        "cat ./prompts/../prompts/greet.md",
        "/bin/cat -n prompts/greet.md",
        "jq --rawfile=prompts/greet.md .",
        "curl -d @prompts/greet.md localhost",
        "python -I prompts/greet.md",
        "python3.12 -sE -c pass prompts/greet.md",
        "python -W ignore -S prompts/greet.md",
        "pypy3 -X dev -I prompts/greet.md",
        "./shell-tool prompts/greet.md",
        "uv run mytool prompts/greet.md",
        "missing-tool prompts/greet.md",
        "git log -p -- prompts/greet.md",
        "git --no-pager log -U3 prompts/greet.md",
        "git log --unified=3 prompts/greet.md",
        "git -C . diff prompts/greet.md",
        "git show HEAD -- prompts/greet.md",
        "git blame prompts/greet.md",
        "git grep rule prompts/greet.md",
        "git status -v prompts/greet.md",
        "git prompts/greet.md",
        "cp -r prompts /tmp/elsewhere",
        "cp -a . /tmp/elsewhere",
        "cp --recursive -t /tmp/elsewhere prompts",
        "rsync -az prompts/ host:there",
        "tar -czf out.tgz prompts",
        "tar cf out.tar -C prompts .",
        "zip -qr out.zip .",
    ],
)
def test_a_program_that_is_given_a_prompt_and_loads_no_overlay_is_told(known: Table, command: str) -> None:
    assert len(programs(known, shlex.split(command))) == 1


@pytest.mark.parametrize(
    "command",
    [
        "cat prompts/other.md",
        "cat prompts",
        "python app.py prompts/greet.md",
        "python3 -m app --prompt=prompts/greet.md",
        "python -Werror -X importtime -c 'x' -I prompts/greet.md",
        "python - prompts/greet.md",
        "./tool prompts/greet.md",
        "env MODE=x python app.py prompts/greet.md",
        "timeout 5 python app.py prompts/greet.md",
        "uv run python app.py prompts/greet.md",
        "prompts/greet.md",
        "git log -1 --format=%h -- prompts/greet.md",
        "git -C . --no-pager -c core.pager=cat log --oneline prompts/greet.md",
        "git rev-parse HEAD:prompts/greet.md",
        "git rev-list -1 HEAD -- prompts/greet.md",
        "git ls-files prompts/greet.md",
        "git describe --dirty",
        "cp prompts elsewhere",
        "cp -r other prompts",
        "cp -r other .",
        "rsync -a other/ .",
        "tar -xzf out.tgz -C prompts",
        "tar xf out.tar .",
        "tar -cf out.tar -C /nowhere .",
        "zip out.zip prompts",
        "git status --short prompts/greet.md",
        "ls -l prompts/greet.md",
        "stat prompts/greet.md",
        "touch prompts/greet.md",
    ],
)
def test_a_python_and_a_program_that_is_given_none_are_not(known: Table, command: str) -> None:
    assert programs(known, shlex.split(command)) == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("cat prompts/greet.md", ["'cat'"]),
        ("cd . && cat prompts/greet.md | wc -l", ["'cat'"]),
        ("cd prompts && cat greet.md; cd ..; cat greet.md", ["'cat'"]),
        ("(cd prompts; cat < greet.md)", ["'sh'", "'cat'"]),
        ("cat prompts/*.md | wc -l", ["'cat'"]),
        ("cat prompts/*.txt p?ompts/x", []),
        ("python app.py prompts/greet.md; cat prompts/greet.md", ["'cat'"]),
        ("python app.py < prompts/greet.md", ["'sh'"]),
        ("python app.py 'prompts/greet.md' > out 2>&1", []),
        ("X=1 python app.py prompts/greet.md", []),
        ("X=1 Y=prompts/greet.md head -1 prompts/greet.md", ["'head'"]),
        ('echo "$(cat prompts/greet.md)"', ["'cat'"]),
        ("echo `cat prompts/greet.md`", ["'cat'"]),
        ("(cat prompts/greet.md)", ["'cat'"]),
        ("echo 'not closed; cat prompts/greet.md", ["'echo'"]),
        ("true\ncat prompts/greet.md", ["'cat'"]),
        ("bash -c 'cat prompts/greet.md'", ["'cat'"]),
        ("bash -lc 'cat prompts/greet.md'", ["'cat'"]),
        ("sh -ec 'python app.py prompts/greet.md; cat prompts/greet.md'", ["'cat'"]),
        ("", []),
        (";;", []),
    ],
)
def test_a_line_of_the_shell_is_read_command_by_command(known: Table, line: str, told: list[str]) -> None:
    assert programs(known, ["/bin/sh", "-c", line]) == told


def test_words_may_be_bytes_or_paths_and_a_command_a_single_one(known: Table) -> None:
    assert programs(known, [b"cat", Path("prompts/greet.md")]) == ["'cat'"]
    assert programs(known, "cat") == programs(known, []) == []


def test_paths_go_from_where_the_program_is_started(known: Table, tmp_path: Path) -> None:
    assert programs(known, ["cat", "greet.md"], tmp_path / "prompts") == ["'cat'"]
    assert programs(known, ["cat", "greet.md"]) == []


def test_the_executable_decides_and_not_the_name_that_it_is_given(known: Table) -> None:
    told = reached(known, "/bin/cat", ["python", "prompts/greet.md"], None)
    assert [(file is None, name) for file, name in told] == [(True, "'cat'"), (False, "'cat'")]


@pytest.mark.parametrize("name", ["python", "python3", "python3.13", "/usr/bin/pypy3.10", sys.executable])
def test_interpreters_are_known_by_name(name: str) -> None:
    assert is_python(name)


@pytest.mark.parametrize("name", ["pythonic", "ipython-like.txt", "cat", "/", "", "no/such/program"])
def test_other_programs_are_not(name: str) -> None:
    assert not is_python(name)


def test_a_script_is_known_by_its_first_line_wherever_it_is_found(
    known: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"/nowhere:{tmp_path}")

    assert is_python("tool")
    assert not is_python("shell-tool")
