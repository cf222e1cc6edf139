"""A check and an audit beside other plugins, each of them active: one session of either, and what it has come to."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.check_prompts import BAD, GOOD
from tests.harness import ALONE, KINDS, PROMPT, Project, Run, cases_of, new_project

INSTALLED = {
    name: importlib.util.find_spec(name) is not None
    for name in (
        "anyio",
        "pytest_asyncio",
        "pytest_randomly",
        "pytest_rerunfailures",
        "pytest_timeout",
        "xdist",
    )
}
CONFTEST = """\
import pytest


@pytest.fixture
def anyio_backend():
    return "asyncio"
"""
TESTS = {
    "anyio": """\
@pytest.mark.anyio
async def test_anyio():
    assert route("animal", "two") == "two-ANI"
""",
    "pytest_asyncio": """\
@pytest.mark.asyncio
async def test_asyncio():
    assert route("fruit", "two") == "two-FRU"
""",
    "pytest_rerunfailures": """\
@pytest.mark.flaky(reruns=2)
def test_rerun():
    assert route("city", "two") == "two-CIT"
""",
    "pytest_timeout": """\
@pytest.mark.timeout(0.3)
def test_timeout():
    assert route("tool", "two") == "two-TOO"
    threading.Event().wait()
""",
}
HEAD = "import threading\n\nimport pytest\n\nfrom app import route\n\n\n"
ROUTES = [f"test_route.py::test_route[{kind}-one]" for kind in KINDS]
ACTIVE = " ".join(
    f"-p no:{name}" for name in ("hypothesispytest", "pytest_cov", "check", "platformdirs", "cacheprovider")
)


def needs(*names: str) -> None:
    missing = [name for name in names if not INSTALLED[name]]
    if missing:
        pytest.skip(f"{missing[0]} is not installed")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Four cases of the usual kind, and one for each plugin that is installed."""
    for project in new_project(tmp_path_factory.mktemp("plugins") / "project"):
        own = [text for name, text in TESTS.items() if INSTALLED[name]]
        project.write({PROMPT: GOOD, "conftest.py": CONFTEST, "test_own.py": HEAD + "\n\n".join(own)})
        project.cases(cases_of(words=("one",)))
        project.commit()
        project.write({PROMPT: BAD})
        yield project


def session(project: Project, mode: str, *args: str) -> Run:
    given = ["-n", "2"] if INSTALLED["xdist"] else []
    given += ["--reruns", "2"] if INSTALLED["pytest_rerunfailures"] else []
    usual = ("-x", "-o", "asyncio_default_fixture_loop_scope=function") if INSTALLED["pytest_asyncio"] else ("-x",)
    return project.pytest(mode, "--gepa-trials=1", *usual, *given, *args, env={"PYTEST_ADDOPTS": ACTIVE})


@pytest.fixture(scope="module")
def check(project: Project) -> Run:
    return session(project, "--gepa-check")


def sides(run: Run) -> dict[str, tuple[int, int]]:
    """Of how many trials how many passed today, by case."""
    cases = json.loads((run.directory / "check.json").read_text(encoding="utf-8"))["cases"]
    return {case["case"]: (case["today"]["passed"], case["today"]["trials"]) for case in cases}


def test_every_case_is_run_in_its_order_whatever_else_is_active(check: Run) -> None:
    """`-x` ends no check, `-n` starts no worker, and pytest-randomly shuffles nothing."""
    needs("pytest_randomly", "xdist")
    assert check.code == 0, check.everything
    assert [case for case in sides(check) if case in ROUTES] == ROUTES
    assert [sides(check)[case] for case in ROUTES] == [(1, 1), (1, 1), (0, 1), (1, 1)]
    check.matches("*test_route.py ..F.*")
    assert "workers" not in check.out


def test_a_failing_trial_is_not_run_again_until_it_passes(check: Run) -> None:
    needs("pytest_rerunfailures")
    assert sides(check)["test_own.py::test_rerun"] == (0, 1)
    asked = [request["messages"][1]["content"] for request in check.task_requests]
    assert asked.count("city: two") == 2  # once on either side
    assert "rerun" not in re.sub(r"test_rerun|rerunfailures", "", check.out)


def test_the_time_limit_of_a_case_is_trouble(check: Run) -> None:
    needs("pytest_timeout")
    trouble = json.loads((check.directory / "check.json").read_text(encoding="utf-8"))["trouble"]
    assert [(one["case"], one["outcome"]) for one in trouble] == [("test_own.py::test_timeout", "timeout")]


@pytest.mark.parametrize("plugin", ["anyio", "pytest_asyncio"])
def test_cases_that_are_coroutines_are_compared(check: Run, plugin: str) -> None:
    needs(plugin)
    assert sides(check)[f"test_own.py::test_{plugin.removeprefix('pytest_')}"] == (1, 1)


@pytest.mark.thorough
def test_distribution_without_a_number_starts_no_workers_either(project: Project) -> None:
    """Workers would run the cases as plain pytest does, and the check would say nothing."""
    needs("xdist")
    args = ("--gepa-check", "--gepa-trials=1", "--dist=load", "--tx=2*popen", "-k", "city-one")
    run = project.pytest(*args, env={"PYTEST_ADDOPTS": ACTIVE})
    assert list(sides(run)) == ["test_route.py::test_route[city-one]"]


@pytest.mark.thorough
def test_an_audit_runs_beside_them_too(project: Project) -> None:
    needs("pytest_randomly", "pytest_rerunfailures", "xdist")
    run = session(project, "--gepa-audit", "-k", "rerun or animal")
    assert run.code == 0, run.everything
    result: dict[str, Any] = json.loads((run.directory / "audit.json").read_text(encoding="utf-8"))
    assert result["failing"] == ["test_own.py::test_rerun"]
    (prompt,) = result["prompts"]
    noticed = [piece["cases"] for piece in prompt["pieces"] if piece["state"] == "noticed"]
    assert noticed == [["test_route.py::test_route[animal-one]"]]


@pytest.mark.thorough
def test_m_and_lf_choose_the_cases(project: Project) -> None:
    args = ("-m", "not timeout", "--lf", "-k", "one")
    addopts = ACTIVE.replace("-p no:cacheprovider", "-p no:xdist -p no:xdist.looponfail -p no:randomly")
    env = {"PYTEST_ADDOPTS": addopts}
    first = project.pytest("-q", "-k", "one", env=env)
    assert first.code == 1
    run = project.pytest("--gepa-check", "--gepa-trials=1", *args, env=env)
    assert list(sides(run)) == ["test_route.py::test_route[city-one]"]


MEASURED = " ".join(word for word in ALONE.replace("-p ", "-p").split() if word != "-pno:pytest_cov")


@pytest.mark.skipif(importlib.util.find_spec("pytest_cov") is None, reason="pytest-cov is not installed")
@pytest.mark.parametrize("mode", ["--gepa-plan", pytest.param("--gepa-check", marks=pytest.mark.thorough)], ids=str)
def test_a_bound_on_coverage_is_no_business_of_a_mode(project: Project, mode: str) -> None:
    project.write({".coverage": "measured by the user's own tests"})
    ini = (project.root / "pytest.ini").read_text(encoding="utf-8")
    project.write({"pytest.ini": f"{ini}\naddopts = --cov=app --cov-report=term --cov-fail-under=100\n"})
    try:
        run = project.pytest(mode, "test_route.py", "--gepa-reflection-model=none", env={"PYTEST_ADDOPTS": MEASURED})
    finally:
        project.write({"pytest.ini": ini})
    assert "overage" not in run.everything
    assert run.code == (0 if mode == "--gepa-plan" else 1), run.everything
    assert (project.root / ".coverage").read_text(encoding="utf-8") == "measured by the user's own tests"
