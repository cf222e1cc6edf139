"""When what earlier runs have seen of cases no longer holds: the program has changed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_gepa.prompts.components import Component
from pytest_gepa.prompts.finding import find_components
from pytest_gepa.suite.program import program_digest
from pytest_gepa.suite.rollout import Case
from pytest_gepa.suite.usage import CaseUsage, under_program

FILES = {
    "app.py": "import flows\n",
    "flows.yaml": "refund: [other.md]\n",
    "prompts/route.md": "Sort the tickets into queues.\n",
    "prompts/all.yaml": "model: small\nsystem: |\n  You sort the tickets.\n",
    "tests/test_route.py": "def test_route(): ...\n",
    "tests/conftest.py": "",
    "README.md": "About it.\n",
    ".github/ci.yml": "on: push\n",
    ".gitignore": "ignored.json\n",
}
CASES = [Case("tests/test_route.py::test_route", "tests/test_route.py::test_route")]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        write(tmp_path, name, text)
    for words in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, encoding="utf-8")


def components(root: Path) -> list[Component]:
    return find_components(root, root, ["prompts/*.md", "prompts/all.yaml::system"])


def digest(root: Path) -> str:
    return program_digest(root, components(root), CASES)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("app.py", "import flows, other\n"),
        ("flows.yaml", "refund: [other.md, route.md]\n"),
        ("tests/conftest.py", "import other\n"),
        ("new.py", "a new module that git does not know yet"),
        ("prompts/all.yaml", "model: large\nsystem: |\n  You sort the tickets.\n"),
    ],
)
def test_the_program_is_another_one(name: str, text: str, root: Path) -> None:
    before = digest(root)
    assert before
    write(root, name, text)
    assert digest(root) != before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("prompts/route.md", "Sort the tickets by their age.\n"),
        ("prompts/new.md", "A prompt that is new.\n"),
        ("prompts/all.yaml", "model: small\nsystem: |\n  You sort the letters.\n"),
        ("tests/test_route.py", "def test_route(): ...\ndef test_more(): ...\n"),
        ("README.md", "More about it.\n"),
        (".github/ci.yml", "on: pull_request\n"),
        ("ignored.json", "{}"),
        ("report.json", "what a run has left"),
    ],
)
def test_prompts_tests_and_what_a_run_leaves_are_no_part_of_it(name: str, text: str, root: Path) -> None:
    before = digest(root)
    write(root, name, text)
    assert digest(root) == before


def test_a_module_that_is_gone_counts_and_what_is_committed_does_not(root: Path) -> None:
    write(root, "new.py", "")
    before = digest(root)
    subprocess.run(["git", "add", "-A"], cwd=root, check=True)
    assert digest(root) == before
    (root / "new.py").unlink()
    assert digest(root) != before


def test_without_git_nothing_is_known_of_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert program_digest(tmp_path, [], []) == ""
    monkeypatch.setenv("PATH", "")
    assert program_digest(tmp_path, [], []) == ""


def test_what_is_known_holds_under_the_program_that_showed_it() -> None:
    known = {name: CaseUsage({}, program=name) for name in ("now", "then", "")}
    assert [name for name, one in under_program("now", known).items() if not one.is_partial] == ["now"]
    assert all(one.is_partial for one in under_program("", known).values())
