"""Cases that fail without a call or a prompt: what others have left behind is in another process."""

from __future__ import annotations

import pytest

from tests.harness import TESTS, Project, cases_of

AGGREGATE = """

RESULTS = []


def test_rate():
    assert len(RESULTS) == 4
"""


def test_a_failing_case_that_reaches_neither_model_nor_prompt_is_named_once(project: Project) -> None:
    project.write({"test_route.py": TESTS.format(cases=cases_of(words=("one",))) + AGGREGATE})

    run = project.optimize()

    said = [line for line in run.lines if "failed without any call or prompt" in line]
    assert len(said) == 1
    assert "1 case failed without any call or prompt: test_route.py::test_rate; it may depend" in said[0]
    assert run.reflections


@pytest.mark.thorough
def test_a_failing_case_that_asks_is_not_named(project: Project) -> None:
    run = project.optimize()

    assert run.code == 0, run.everything
    assert run.records("rollout")
    assert "without any call or prompt" not in run.everything
