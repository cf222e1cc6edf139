"""Projects that keep answers in their process: cases that show no call go by a prompt all the same."""

from __future__ import annotations

import json

import pytest

from tests.harness import APP, PROMPT, TODAY, Project, answer_by_rules, rule

ROUTE = "def route(kind, word):"
CACHED = APP.replace(ROUTE, f"@functools.cache\n{ROUTE}").replace("import json", "import functools\nimport json")
AT_IMPORT = CACHED.replace('PROMPT.read_text(encoding="utf-8")', "TEXT").replace(
    "@functools", 'TEXT = PROMPT.read_text(encoding="utf-8")\n\n\n@functools'
)
TESTS = """\
from app import route


def test_asks():
    assert route("animal", "one")


def test_facet():
    assert route("animal", "one").endswith("ANI")


def test_sum():
    assert 1 + 1 == 2
"""
GOOD = f"{TODAY}- {rule('animal')}\n"
ONE = "--gepa-concurrency=1"


@pytest.fixture(params=[CACHED, AT_IMPORT], ids=["at call", "at import"])
def kept(project: Project, request: pytest.FixtureRequest) -> Project:
    project.write({"app.py": request.param, "test_route.py": TESTS, PROMPT: GOOD})
    project.world.task = answer_by_rules
    return project


def test_a_check_compares_a_case_that_an_earlier_one_has_answered(kept: Project) -> None:
    kept.commit()
    kept.write({PROMPT: TODAY})

    run = kept.pytest("--gepa-check", "--gepa-trials=6", ONE)

    result = json.loads((run.directory / "check.json").read_text(encoding="utf-8"))
    tiers = {case["case"].partition("::")[2]: case["tier"] for case in result["cases"]}
    assert (tiers, result["untouched"]) == ({"test_asks": "stable", "test_facet": "regressed"}, 1)
    assert run.code == 1


@pytest.mark.thorough
def test_an_optimization_mends_such_a_case(kept: Project) -> None:
    kept.write({PROMPT: TODAY})

    run = kept.optimize("--gepa-trials=1", ONE)

    assert run.reflections, run.everything


@pytest.mark.thorough
def test_an_audit_sees_what_such_a_case_notices(kept: Project) -> None:
    run = kept.pytest("--gepa-audit", "--gepa-trials=2", "--gepa-budget=30", ONE)

    (prompt,) = json.loads((run.directory / "audit.json").read_text(encoding="utf-8"))["prompts"]
    assert prompt["users"] == 2
    assert prompt["whole"]["cases"]
    assert prompt["whole"]["state"] == "noticed"


@pytest.mark.thorough
def test_what_is_asked_again_is_paid_for_by_stored_answers(kept: Project) -> None:
    kept.commit()
    kept.write({PROMPT: TODAY})

    run = kept.pytest("--gepa-check", "--gepa-trials=1", ONE)

    assert len(run.task_requests) == 2  # one for a side
