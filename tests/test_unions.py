"""A whole run in which the reflection model unites what two candidates have written into the same line."""

from __future__ import annotations

import pytest

from tests.fake_openai import Answer, Body
from tests.harness import KINDS, PROMPT, Project, edits, failing_kinds, prompt_in, rule, told

FRUIT = "- The mark of a fruit is FRU."
FROM_THE_SEED = """\
def pytest_gepa_select_parent(parents, seed):
    return seed
"""


def rewrite_or_unite(request: Body) -> Answer:
    """Puts a rule into the line that all others put theirs into; takes over what another version knows."""
    text, (_, _, version) = prompt_in(request), told(request).partition("# Another version")
    known = [kind for kind in KINDS if rule(kind) in version and rule(kind) not in text]
    if version:
        return edits(*(f"- {rule(kind)}" for kind in known))
    missing = [kind for kind in failing_kinds(request) if rule(kind) not in text]
    return edits(f"{FRUIT} {rule(missing[0])}", kind="replace", find=FRUIT)


@pytest.mark.thorough
def test_two_that_rewrote_the_same_line_are_united_by_the_model(project: Project):
    project.world.reflect = rewrite_or_unite
    project.write({"conftest.py": FROM_THE_SEED})
    run = project.optimize()
    assert run.result["verdict"] == "proven", run.everything
    questions = [one for one in run.records("reflect") if one["other"]]
    assert questions
    pairs = {frozenset((one["parent"], one["other"])) for one in questions}
    assert len(pairs) == len(questions)
    united = {one["candidate"]["proposal"]: one for one in run.records("evaluate") if one["purpose"] == "merge"}
    first = united[questions[0]["proposal"]]
    assert set(first["candidate"]["parents"]) == {questions[0]["parent"], questions[0]["other"]}
    assert sum(rule(kind) in first["candidate"]["texts"][PROMPT] for kind in KINDS) == 3
    assert any(edit["origin"] == "merge" and edit["changes"] for edit in run.result["edits"])
