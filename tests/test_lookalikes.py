"""Prompts that look alike: a former version beside the one in use, agents with one preamble."""

from __future__ import annotations

import pytest

from tests.harness import PROMPT, TODAY, Project, prompt_in

OLDER = "prompts/route_v1.md"


@pytest.mark.thorough
def test_no_reflection_is_paid_for_a_former_version_that_lies_beside_the_prompt(project: Project) -> None:
    project.write({OLDER: TODAY + "- The former version of it.\n"})

    run = project.optimize()

    assert run.reflections
    assert all("former version" not in prompt_in(request) for request in run.reflections)
    assert {tuple(record["uses"]) for record in run.records("rollout")} == {(PROMPT,)}
    assert run.code == 0
