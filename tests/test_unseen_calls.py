"""Models whose calls nobody sees (gRPC, websockets, a model in the process): prompts are improved, and it is said."""

from __future__ import annotations

import pytest

from tests.harness import APP, Project

IN_PROCESS = """\
from pathlib import Path

PROMPT = (Path(__file__).parent / "prompts" / "route.md").read_text(encoding="utf-8")


def route(kind, word):
    mark = kind[:3].upper()
    return f"{word}-{mark}" if f"The mark of a {kind} is {mark}." in PROMPT else f"{word}-?"
"""
WARNING = "no call to a model was seen, though prompts were read (prompts/route.md)"


def test_a_prompt_read_at_import_by_a_model_that_nobody_sees_is_improved(project: Project) -> None:
    project.write({"app.py": IN_PROCESS})

    run = project.optimize()

    assert run.result["verdict"] == "proven"
    assert f"gepa: {WARNING}" in run.out
    assert any(WARNING in warning for warning in run.result["warnings"])


@pytest.mark.thorough
def test_beside_a_case_whose_calls_are_seen_what_was_imported_is_no_sign_of_use(project: Project) -> None:
    app = APP.replace('PROMPT.read_text(encoding="utf-8")', "SYSTEM").replace(
        'PROMPT = Path(__file__).parent / "prompts" / "route.md"\n',
        'PROMPT = Path(__file__).parent / "prompts" / "route.md"\nSYSTEM = PROMPT.read_text(encoding="utf-8")\n',
    )
    project.write({"app.py": app, "test_sum.py": "import app\n\n\ndef test_sum():\n    assert 1 + 1 == 3\n"})

    run = project.optimize("-k", "fruit or sum")

    assert run.code == 0, run.everything
    assert run.records("rollout")
    assert WARNING not in run.everything
    assert not run.reflections
