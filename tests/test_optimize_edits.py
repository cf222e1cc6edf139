"""Whole runs in which edits of other kinds are taken, and in which guards refuse what the reflection model proposes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_openai import Answer, Body
from tests.harness import (
    PROMPT,
    TODAY,
    Project,
    cases_of,
    edits,
    failing_kinds,
    new_project,
    no_request,
    prompt_in,
    propose_one_rule,
    rule,
    told,
)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    yield from new_project(tmp_path / "project")


def first_then_rules(*first: Answer, project: Project) -> None:
    """The reflection model says these replies first, and then proposes a rule at a time."""

    def reflect(request: Body) -> Answer:
        at = len(project.world.reflections) - 1
        return first[at] if at < len(first) else propose_one_rule(request)

    project.world.reflect = reflect


def reply(*edits: dict[str, str]) -> str:
    return json.dumps({"diagnoses": [], "edits": [{"find": "", "case": "", **edit} for edit in edits]})


# Several prompts at once

FORM = "prompts/form.md"


def both_at_once(request: Body) -> Answer:
    """Of a request for both prompts the rules for animals to one and those for the rest to the other."""
    missing = [kind for kind in failing_kinds(request) if rule(kind) not in told(request)]
    made = [
        {"prompt": PROMPT if kind == "animal" else FORM, "kind": "add", "text": f"- {rule(kind)}"} for kind in missing
    ]
    return reply(*made)


@pytest.mark.thorough
def test_a_strong_model_edits_all_prompts_that_are_to_blame_in_one_reflection(project: Project):
    app = (project.root / "app.py").read_text("utf-8")
    read = 'PROMPT.read_text(encoding="utf-8")'
    assert read in app
    both = f'{read} + (PROMPT.parent / "form.md").read_text(encoding="utf-8")'
    ini = "[pytest]\ngepa_shrink = off\ngepa_joint = on\n"
    project.write(
        {
            "app.py": app.replace(read, both),
            FORM: "Write nothing else, and mind the form of the answer.\n",
            "pytest.ini": ini,
        }
    )
    project.world.reflect = both_at_once
    run = project.optimize("--gepa-trials=1")
    assert run.result["verdict"] == "proven", run.everything
    assert {change["component"] for change in run.result["changes"]} == {PROMPT, FORM}
    assert all("SEVERAL of these prompt files" in told(request) for request in run.reflections)
    assert run.result["spent"]["reflections"] == len(run.reflections)
    changed = [one["changed"] for one in run.records("decision") if one["kind"] == "accepted"]
    assert [PROMPT, FORM] in changed or [FORM, PROMPT] in changed


# Examples


def take_the_first_case(request: Body) -> Answer:
    """A rule for the kind of the first failing case, and beside it that case as an example."""
    kind = failing_kinds(request)[0]
    prompt = prompt_in(request)
    if rule(kind) in prompt:
        return edits()
    word = request["messages"][1]["content"].partition("word = '")[2].partition("'")[0]
    added = {"kind": "add", "text": f"- {rule(kind)}"}
    example = {
        "kind": "example",
        "text": f"For {kind}: {word} the answer is {word}-{kind[:3].upper()}.",
        "case": "1",
    }
    return reply(added, example) if "the answer is" not in prompt else reply(added)


@pytest.mark.thorough
def test_a_case_taken_as_an_example_is_marked_and_leaves_the_verdict(project: Project):
    project.world.reflect = take_the_first_case
    # The rule alone would do, so shrinking would drop the example.
    project.write({"pytest.ini": "[pytest]\ngepa_shrink = off\n"})
    run = project.optimize("--gepa-trials=1")
    result = run.result
    assert result["verdict"] == "proven"
    (taken,) = result["excluded"]
    assert result["baseline"]["total"] == result["winner"]["total"] == 11
    assert (result["baseline"]["passed"], result["winner"]["passed"]) == (3, 11)
    assert taken not in [*result["fixed"], *result["broken"]]
    assert len(result["fixed"]) == 8
    assert result["examples"] == [{"component": PROMPT, "case": taken}]
    patch = run.best_patch.read_text(encoding="utf-8")
    assert f"The example of {PROMPT} is case {taken}, which is left out of the verdict" in patch
    run.matches(f"left out             1 case taken into the prompts as examples: {taken.replace('[', '[[]')}")
    report = (run.directory / "report.md").read_text(encoding="utf-8")
    assert f"- `{taken}` in `{PROMPT}`" in report
    assert f"The example is case `{taken}`, taken whole." in report
    labels = {case["id"]: case["nodeid"] for case in run.records("run")[0]["cases"]}
    confirmed = {labels[one["case"]] for one in run.records("rollout") if "/confirm/" in one["trial"]}
    assert len(confirmed) == 11
    assert taken not in confirmed


@pytest.mark.thorough
def test_a_case_that_is_pasted_without_a_word_is_refused(project: Project):
    pasted = "An animal: blue kettle that belongs to my aunt -> blue kettle that belongs to my aunt-ANI"
    project.cases([("animal", "blue kettle that belongs to my aunt"), ("animal", "old lamp"), ("fruit", "red pan")])
    first_then_rules(edits(pasted), project=project)
    run = project.optimize()
    assert run.result["rejections"] == {"leak": 1}
    first, second = run.reflections[:2]
    assert second["messages"][:2] == first["messages"]
    assert "belongs to one case" in second["messages"][-1]["content"]
    assert not any("aunt" in request["messages"][0]["content"] for request in run.task_requests)
    assert "- 1 x leak" in (run.directory / "report.md").read_text(encoding="utf-8")
    run.matches("rejected             1 reply of the reflection model: leak (1)")


# Kinds of edit


@pytest.mark.thorough
def test_the_settings_may_forbid_kinds_of_edit(project: Project):
    project.write({"pytest.ini": "[pytest]\ngepa_edits = add, delete\n"})
    everything = "".join(f"- {rule(kind)}\n" for kind in ("fruit", "animal", "city", "tool"))
    first_then_rules(edits(f"Rules:\n{everything}", kind="rewrite"), project=project)
    run = project.optimize()
    assert run.result["verdict"] == "proven"
    assert run.result["rejections"] == {"kind not allowed": 1}
    instruction = run.reflections[0]["messages"][0]["content"]
    assert '- "add": ' in instruction
    assert '- "rewrite": ' not in instruction
    schema = run.reflections[0]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["edits"]["items"]["properties"]["kind"]["enum"] == ["add", "delete"]


@pytest.mark.thorough
def test_a_section_can_be_rewritten(project: Project):
    today = "# Task\n\nAnswer with the word and its mark.\n\n## Marks\n\n- The mark of a fruit is FRU.\n\n## End\n\nx\n"
    project.write({PROMPT: today})
    rules = "\n".join(f"- {rule(kind)}" for kind in ("fruit", "animal", "city", "tool"))
    project.world.reflect = lambda request: edits(rules, kind="section", find="## Marks")
    run = project.optimize()
    assert run.result["verdict"] == "proven"
    project.commit()
    project.shell(f"git apply {run.best_patch}")
    assert project.prompt() == today.replace("- The mark of a fruit is FRU.", rules)


# Protected regions


@pytest.mark.thorough
def test_a_protected_region_is_told_and_stays(project: Project):
    kept = "<!-- gepa: keep -->\nAnswer with the word and its mark.\n<!-- gepa: end -->\n"
    project.write({PROMPT: f"{kept}- The mark of a fruit is FRU.\n"})
    first_then_rules(
        edits("Answer at length.", kind="replace", find="Answer with the word and its mark."), project=project
    )
    run = project.optimize()
    assert run.result["verdict"] == "proven"
    assert run.result["rejections"] == {"protected region": 1}
    assert "to stay as they are to the letter: lines 1 to 3." in told(run.reflections[0])
    assert all(kept in request["messages"][0]["content"] for request in run.task_requests)


def test_malformed_markers_are_a_usage_error_before_anything_is_sent(project: Project):
    project.write({PROMPT: f"{TODAY}<!-- gepa: end -->\n"})
    run = project.optimize()
    assert run.code == 4
    assert f"{PROMPT}: line 3: gepa: end closes nothing" in run.everything
    assert no_request(run)


# Templates

TEMPLATE = "{% set what = words.mark %}Answer with the word and its {{ what }}.\n- The mark of a fruit is FRU.\n"
RENDERING_APP = """\
from functools import cache
from pathlib import Path

import jinja2

environment = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent / "prompts"))


@cache
def client():
    from openai import OpenAI

    return OpenAI(max_retries=0)


def route(kind, word):
    system = environment.get_template("route.j2").render(words={"mark": "mark"}, secret=object())
    messages = [{"role": "system", "content": system}, {"role": "user", "content": f"{kind}: {word}"}]
    return client().chat.completions.create(model="task", messages=messages).choices[0].message.content
"""


@pytest.mark.thorough
def test_a_template_that_no_longer_renders_costs_no_rollout(project: Project):
    (project.root / PROMPT).unlink()
    project.write({"app.py": RENDERING_APP, "prompts/route.j2": TEMPLATE})
    line, rest = TEMPLATE.split("\n", 1)
    tag, sentence = line.split("%}")
    first_then_rules(edits(f"{sentence}\n{rest}{tag}%}}\n", kind="rewrite"), project=project)
    run = project.optimize()
    assert run.result["verdict"] == "proven"
    assert run.result["rejections"] == {"not rendered": 1}
    assert "'what' is undefined" in run.reflections[1]["messages"][-1]["content"]
    baseline = next(record for record in run.records("rollout") if record["trial"] == "search/0")
    assert baseline["renderings"] == [{"component": "prompts/route.j2", "variables": '{"words": {"mark": "mark"}}'}]


@pytest.mark.thorough
def test_a_child_made_of_several_replies_fails_once_before_the_menu_shrinks(project: Project):
    """Six groups of failing cases make one child of several edits, none of which helps."""
    project.cases(cases_of(["animal", "city", "tool", "river", "fish", "tree"]))
    project.world.reflect = lambda _request: edits(f"- Chatter {len(project.world.reflections)}.")
    run = project.optimize("--gepa-budget=200", "--gepa-trials=1")
    menus, rejected = [], 0
    for record in run.journal:
        rejected += record["record"] == "decision" and record["kind"] == "rejected"
        if record["record"] == "proposal":
            menus.append((rejected, '"edits"' in record["replies"][0]["request"][0]["content"]))
    # More than four edits had been tried by then, in fewer children.
    assert [was_full for before, was_full in menus if before < 4] == [True] * sum(b < 4 for b, _ in menus)
    assert not all(was_full for _, was_full in menus)
    assert sum(before == 0 for before, _ in menus) > 1
