"""Whole runs over prompts that the application fills in: what is added reaches the model as it was meant."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_openai import Body
from tests.harness import Project, Run, edits, new_project
from tests.test_inherit import APP

ANSWER = '{"tone": {"kind": "calm"}}'
RULE = f"Answer like this: {ANSWER}"
SHOWN = RULE.replace("{", "{{").replace("}", "}}")
SEED = "Say how the word sounds.\nWord: {word}\n"
WORDS = ("yes", "no", "maybe", "never", "soon", "late", "often", "once")
TESTS = f"""\
import json

import pytest

from app import ask

CASES = {[(word, json.loads(ANSWER)) for word in WORDS]}


@pytest.mark.parametrize(("word", "expected"), CASES)
def test_ask(word, expected):
    assert json.loads(ask("answer.md", word)) == expected
"""
READ = 'PROMPTS / name).read_text(encoding="utf-8")'


def answer(request: Body) -> str:
    said = request["messages"][0]["content"]
    return ANSWER if ANSWER in said and "Word: {word}" not in said else "calm"


assert READ in APP


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    for project in new_project(tmp_path):
        for path in [*project.root.glob("test_*.py"), *(project.root / "prompts").iterdir()]:
            path.unlink()
        project.write({"test_ask.py": TESTS, "prompts/answer.md": SEED})
        project.world.task = answer
        yield project


FILLED = pytest.mark.parametrize(
    ("filled", "line"),
    [
        pytest.param(".format(word=word)", SHOWN, id="by str.format"),
        pytest.param('.replace("{word}", word)', RULE, id="by str.replace"),
    ],
)


def added(run: Run) -> list[str]:
    """The lines that the patch adds."""
    lines = run.best_patch.read_text(encoding="utf-8").splitlines()
    return [line[1:] for line in lines if line.startswith("+") and not line.startswith("+++")]


@FILLED
def test_braces_of_an_edit_reach_the_model_as_braces(project: Project, filled: str, line: str) -> None:
    ini = "[pytest]\ngepa_edits = add\n"
    project.write({"app.py": APP.replace(READ, READ + filled), "pytest.ini": ini})
    project.world.reflect = lambda request: edits(RULE)
    run = project.optimize("--gepa-trials=1")
    assert run.result["verdict"] == "proven", run.everything
    assert line in added(run)


@pytest.mark.thorough
@FILLED
def test_so_do_those_of_an_example_that_is_taken_without_a_model(project: Project, filled: str, line: str) -> None:
    project.write({"app.py": APP.replace(READ, READ + filled)})
    run = project.pytest("--gepa-optimize", "--gepa-reflection-model=none", "--gepa-trials=1")
    assert run.result["verdict"] == "proven", run.everything
    assert any(line.partition(": ")[2] in one for one in added(run)), added(run)
