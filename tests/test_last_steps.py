"""What is written at the end of a run when one of its last steps fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_gepa.run.last_steps import LastSteps
from tests.harness import PROMPT, Project, Run, cases_of, propose_one_rule

DASHBOARD = """\
import os

# The first to come is the user's own session: its children tell nobody.
OWNER = os.environ.setdefault("DASHBOARD_OF", str(os.getpid()))


def pytest_runtest_logreport(report):
    if report.when == "call" and OWNER == str(os.getpid()):
        raise ConnectionError("the dashboard is down")
"""


def fail(error: BaseException) -> None:
    raise error


def test_every_step_is_taken_and_the_first_error_raised_with_its_origin() -> None:
    steps, taken = LastSteps(), []
    assert steps.take(lambda: taken.append(1))
    assert not steps.take(lambda: fail(KeyboardInterrupt()))
    assert not steps.take(lambda: fail(OSError("no\nspace")))
    assert steps.take(lambda: taken.append(2))
    with pytest.raises(KeyboardInterrupt) as raised:
        steps.raise_first()
    assert raised.traceback[-1].name == "fail"
    assert (taken, steps.later) == ([1, 2], ["OSError: no\nspace"])


def test_an_error_that_comes_again_is_told_once() -> None:
    steps = LastSteps()
    for _ in range(2):
        steps.take(lambda: fail(ConnectionError("down")))
    assert steps.later == []


def test_without_an_error_nothing_is_raised() -> None:
    steps = LastSteps()
    assert steps.take(lambda: None)
    steps.raise_first()


def assert_told(run: Run, temp: Path, *names: str) -> None:
    """The user's error has cost a line and nothing else, and nothing is left behind."""
    assert run.code == 0, run.everything
    assert "INTERNALERROR" not in run.everything
    run.matches("trouble in recording*a hook failed (conftest.py:*: ConnectionError: the dashboard is down), *")
    assert {path.name for path in run.directory.iterdir()} >= {"journal.jsonl", *names}
    assert not [path for path in temp.iterdir() if path.name.startswith("gepa-")]


@pytest.fixture
def temp(tmp_path: Path) -> Path:
    (tmp_path / "temp").mkdir()
    return tmp_path / "temp"


def test_a_listener_of_the_user_that_raises_loses_no_result(project: Project, temp: Path) -> None:
    project.cases(cases_of(["animal", "fruit"], ["one", "two"]))
    project.world.reflect = propose_one_rule
    project.write({"conftest.py": DASHBOARD})
    run = project.optimize("--gepa-concurrency=4", env={"TMPDIR": str(temp)})
    assert_told(run, temp, "result.json", "report.md", "report.html")
    assert run.result["verdict"] == "not proven", "of four cases nothing can be"
    assert run.journal[-1]["record"] == "result"
    assert "with the reports of 4 cases" in run.result["problems"][0]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("mode", "names"),
    [
        ("check", ("check.json", "check.md")),
        pytest.param("audit", ("audit.json", "audit.md"), marks=pytest.mark.thorough),
    ],
)
def test_nor_in_a_check_or_an_audit(project: Project, temp: Path, mode: str, names: tuple[str, ...]) -> None:
    project.cases(cases_of(["animal"]))
    project.commit()
    project.write({"conftest.py": DASHBOARD, PROMPT: project.prompt() + "- Be brief.\n"})
    given = "--gepa-check=HEAD" if mode == "check" else "--gepa-audit"
    run = project.pytest(given, "--gepa-trials=2", env={"TMPDIR": str(temp)})
    assert_told(run, temp, *names)
    assert run.journal[-1]["record"] == "result"
    run.matches("*= gepa =*")
