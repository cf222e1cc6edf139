"""A whole run over tests that check one thing after the other, where no single edit passes a case."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_openai import Body
from tests.harness import Project, edits, new_project, prompt_in
from tests.test_inherit import APP

TESTS = """\
import json

import pytest

from app import ask


@pytest.mark.parametrize("word", ["yes", "no", "maybe", "never", "soon", "late", "often", "once"])
def test_ask(word):
    said = ask("answer.md", word)
    assert said.startswith("{"), "it is no JSON object"
    assert json.loads(said)["tone"] == "calm"
"""


def answer(request: Body) -> str:
    prompt, word = (message["content"] for message in request["messages"])
    if "object" not in prompt:
        return word
    tone = "calm" if "calmly" in prompt else "loud"
    return f'{{"word": "{word}", "tone": "{tone}"}}'


def reflect(request: Body) -> str:
    """It mends the check that it sees fail."""
    return edits("Speak calmly." if "object" in prompt_in(request) else "Answer with a JSON object.")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    for project in new_project(tmp_path):
        for path in [*project.root.glob("test_*.py"), *(project.root / "prompts").iterdir()]:
            path.unlink()
        files = {"app.py": APP, "test_ask.py": TESTS, "prompts/answer.md": "Answer with the word.\n"}
        project.write(files)
        project.world.task, project.world.reflect = answer, reflect
        yield project


def test_an_edit_that_only_gets_the_tests_further_is_gone_on_from(project: Project) -> None:
    run = project.optimize("--gepa-trials=1")
    assert run.result["verdict"] == "proven", run.everything
    kinds = [one["kind"] for one in run.records("decision")]
    assert kinds.index("step") < kinds.index("accepted")
    run.matches("gepa: * step: * no case passes by it, but 8 got further before failing")
