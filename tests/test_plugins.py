"""Whole runs with plugins that take part in them, first of all those of `docs/plugins.md`."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tomlkit

from tests.fake_openai import Body
from tests.harness import (
    APART,
    KINDS,
    PROMPT,
    TODAY,
    Project,
    Run,
    edits,
    new_project,
    propose_one_rule,
    rule,
)

ROOT = Path(__file__).parents[1]
DOCS = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", DOCS, re.M | re.S)
SPY = """\
import json
import threading


def note(hook, **given):
    is_main = threading.current_thread() is threading.main_thread()
    with open("hooks.jsonl", "a") as stream:
        stream.write(json.dumps({"hook": hook, "is_main": is_main, **given}) + "\\n")


def pytest_gepa_select_parent(parents, seed):
    note("select_parent", parents=[one.candidate for one in parents], seed=seed)
    return seed


def pytest_gepa_choose_minibatch(failing, shown, size, groups):
    note("choose_minibatch", failing=failing, shown=shown, size=size, groups=groups)
    return [sorted(failing, key=lambda case: shown.get(case, 0))[:size]]


def pytest_gepa_propose(component, text, failing, neighbours, discarded, attempt):
    note("propose", component=component, text=text, failing=failing, attempt=attempt)


def pytest_gepa_accept(candidate, scores, rivals, open_cases, weights, verdict):
    note("accept", candidate=candidate, scores=scores, rivals=rivals, verdict=verdict)


def pytest_gepa_next_stage(candidate, scores, missing, best, weights, stage):
    note("next_stage", candidate=candidate, scores=scores, missing=missing, best=best, stage=stage)


def pytest_gepa_merge(base, one, other, ahead, behind):
    note("merge", base=base, one=one, other=other, ahead=ahead, behind=behind)
    (name,) = one
    return {name: one[name] + "- United.\\n" + other[name].removeprefix(base[name])}


def pytest_gepa_candidate_evaluated(candidate, texts, scores, mean, parents, origin):
    note("candidate_evaluated", candidate=candidate, mean=mean, parents=parents, origin=origin)


def pytest_gepa_run_finished(result, directory):
    note("run_finished", verdict=result["verdict"], directory=directory)
"""
HELD_OUT = """\
import pytest

from app import route

WORDS = ["seen", pytest.param("CANARY", marks=pytest.mark.gepa(split="holdout"))]


@pytest.mark.parametrize("word", WORDS)
def test_word(word):
    print(WORDS)
    assert route("animal", word) == f"{word}-ANI", WORDS
"""


def heard(project: Project, hook: str) -> list[dict[str, Any]]:
    lines = (project.root / "hooks.jsonl").read_text(encoding="utf-8").splitlines()
    return [told for told in map(json.loads, lines) if told["hook"] == hook]


def kinds_of(run: Run) -> list[str]:
    return [decision["kind"] for decision in run.records("decision")]


def the_error(run: Run) -> str:
    """The one message of a run that a hook has ended."""
    assert run.code == pytest.ExitCode.USAGE_ERROR, run.everything
    assert "Traceback" not in run.everything
    assert "INTERNALERROR" not in run.everything
    (message,) = (line for line in run.everything.splitlines() if line.startswith("ERROR: "))
    return message


# The page


@pytest.mark.thorough
def test_the_examples_of_the_page_do_what_it_says(project: Project):
    greedy, proposer, _, _, listener, _ = EXAMPLES
    project.world.reflect = propose_one_rule
    project.write({"conftest.py": "\n\n".join([listener, proposer, greedy])})
    run = project.optimize()
    assert run.result["verdict"] == "proven", run.everything
    with (project.root / "candidates.csv").open(newline="") as stream:
        table = list(csv.reader(stream))
    whole = [one for one in run.records("decision") if one["kind"] in ("baseline", "frontier", "dominated")]
    assert [row[0] for row in table] == [one["candidate"] for one in whole]
    assert table[0][1:] == ["seed", "", "0.250", "3"]
    assert table[-1][3:] == ["1.000", "12"]
    # The rule was tried first; no case needs it, so a model was asked then.
    first = run.records("proposal")[0]
    assert (first["text"], first["origin"]) == (TODAY + "- Answer in the words of the customer.\n", "plugin")
    assert kinds_of(run)[1] == "rejected"
    assert run.reflections
    means = {row[0]: float(row[3]) for row in table}
    begun = [one for one in run.records("reflect") if one["parent"] in means]
    assert len({one["parent"] for one in begun}) > 1
    assert all(one["parent_mean"] == one["best_mean"] for one in begun)


@pytest.mark.thorough
def test_the_example_that_is_soon_content_ends_the_search_and_takes_the_shortest(project: Project):
    (content,) = (example for example in EXAMPLES if "ENOUGH" in example)
    project.world.reflect = propose_one_rule
    project.write({"conftest.py": content.replace("0.9", "0.5")})
    run = project.optimize()
    assert run.result["search_ended"] == "50% is enough", run.everything
    assert run.result["verdict"] == "not proven"
    assert run.result["winner"]["passed"] == 6


@pytest.mark.thorough
def test_the_example_that_does_not_wait_runs_all_that_is_left_at_once(project: Project):
    (at_once,) = (example for example in EXAMPLES if "next_stage" in example)
    project.world.reflect = propose_one_rule
    project.write({"conftest.py": at_once})
    run = project.optimize()
    assert run.result["verdict"] == "proven", run.everything
    rests = [one["candidate"]["id"] for one in run.records("evaluate") if one["purpose"] == "rest"]
    assert rests
    assert len(set(rests)) == len(rests)


@pytest.mark.thorough
def test_the_plugin_to_install_is_loaded_by_its_entry_point_and_heard(project: Project, tmp_path: Path):
    (table,) = (tomlkit.parse(text).unwrap() for text in re.findall(r"^```toml\n(.*?)^```$", DOCS, re.M | re.S))
    about, module = table["project"], EXAMPLES[-1]
    ((name, target),) = about["entry-points"]["pytest11"].items()
    assert module.startswith(f"# {target}.py\n")
    assert {"pytest-gepa", "hatchling"} == {*about["dependencies"], *table["build-system"]["requires"]}
    # As an installer leaves it.
    site = tmp_path / "site"
    info = site / f"{target}-{about['version']}.dist-info"
    info.mkdir(parents=True)
    (site / f"{target}.py").write_text(module, encoding="utf-8")
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n", encoding="utf-8"
    )
    (info / "entry_points.txt").write_text(f"[pytest11]\n{name} = {target}\n", encoding="utf-8")
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")]), str(ROOT)])
    run = project.optimize(env={"PYTHONPATH": path}, python=APART)
    assert run.result["verdict"] == "proven", run.everything
    run.matches("plugins: *gepa-in-turn-0.1*")
    # All that fail, in the order of collection: what the usual choice would hardly come to.
    cases = [case["id"] for case in run.records("run")[0]["cases"]]
    failing = run.records("reflect")[0]["failing"]
    assert failing == [case for case in cases if case in failing]
    assert len(failing) == 9


def test_the_page_tells_of_every_hook_and_its_arguments():
    from inspect import signature

    from pytest_gepa import hookspecs

    specified = {
        name: list(signature(hook).parameters)
        for name, hook in vars(hookspecs).items()
        if name.startswith("pytest_gepa_")
    }
    told = re.findall(r"^### `(pytest_gepa_\w+)`\n\n`([\w, ]+)`: called ", DOCS, re.M)
    assert {name: arguments.split(", ") for name, arguments in told} == specified


# One run with all hooks


@dataclass
class Spied:
    project: Project
    run: Run


@pytest.fixture(scope="module")
def spied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spied]:
    for project in new_project(tmp_path_factory.mktemp("spied") / "project"):
        project.write({"conftest.py": SPY})
        project.world.reflect = propose_one_rule
        project.cases([(kind, word) for kind in KINDS for word in ("one", "two", "three", "four", "five")])
        project.write({"test_word.py": HELD_OUT})
        yield Spied(project, project.optimize("--gepa-trials=1"))


def test_all_hooks_are_called_and_only_the_proposer_outside_of_the_main_thread(spied: Spied):
    run = spied.run
    assert run.result["verdict"] == "proven", run.everything
    for hook in (
        "select_parent",
        "choose_minibatch",
        "accept",
        "next_stage",
        "merge",
        "candidate_evaluated",
        "run_finished",
    ):
        found = heard(spied.project, hook)
        assert found, hook
        assert all(one["is_main"] for one in found), hook
    assert not any(one["is_main"] for one in heard(spied.project, "propose"))


def test_a_proposer_without_an_answer_leaves_it_to_the_model(spied: Spied):
    asked = heard(spied.project, "propose")
    assert len(asked) == len(spied.run.reflections)
    first = asked[0]
    assert (first["component"], first["text"], first["attempt"]) == (PROMPT, TODAY, 0)
    case = first["failing"][0]
    kind, word = case["parameters"]["kind"].strip("'"), case["parameters"]["word"].strip("'")
    assert case["calls"][0]["answer"] == f"{word}-?"
    assert case["calls"][0]["messages"][0] == {"role": "system", "content": TODAY}
    assert f"'{word}-{kind[:3].upper()}'" in case["failure"]


def test_the_cases_that_the_plugin_has_chosen_are_shown(spied: Spied):
    chosen = heard(spied.project, "choose_minibatch")
    asked = [one for one in spied.run.records("reflect") if one["other"] is None]
    first, second = chosen[:2]
    assert (first["shown"], first["size"]) == ({}, 12)
    assert asked[0]["failing"] == list(first["failing"])[:12]
    assert second["shown"] == dict.fromkeys(asked[0]["failing"], 1)
    assert asked[1]["failing"] == sorted(second["failing"], key=second["shown"].__contains__)[:12]
    assert all("-?' == '" in one["said"] for one in first["failing"].values())
    assert all(one["uses"] == [PROMPT] for one in first["failing"].values())


def test_every_line_starts_where_the_plugin_said(spied: Spied):
    (seed,) = {one["seed"] for one in heard(spied.project, "select_parent")}
    evaluated = [one["candidate"] for one in heard(spied.project, "candidate_evaluated")]
    assert evaluated[0] == seed
    begun = {one["parent"] for one in spied.run.records("reflect")} & set(evaluated)
    assert begun == {seed}


def test_what_the_plugin_has_united_is_tried(spied: Spied):
    pair = heard(spied.project, "merge")[0]
    assert pair["base"] == {PROMPT: TODAY}
    assert pair["ahead"]
    assert pair["behind"]
    merged = [one for one in spied.run.records("evaluate") if one["purpose"] == "merge"]
    assert "- United." in merged[0]["candidate"]["texts"][PROMPT]


def test_the_scores_at_the_gate_are_those_of_the_journal(spied: Spied):
    told = heard(spied.project, "accept")
    rollouts = {(one["candidate"], one["case"]): one["score"] for one in spied.run.records("rollout")}
    for one in told:
        assert all(rollouts[one["candidate"], case] == score for case, score in one["scores"].items())
        assert one["verdict"] in ("accept", "reject", "wait")


def test_what_is_run_after_the_gate_is_what_the_usual_choice_was(spied: Spied):
    told = heard(spied.project, "next_stage")
    rests = [one for one in spied.run.records("evaluate") if one["purpose"] == "rest"]
    run = {(one["candidate"]["id"], case) for one in rests for case in one["cases"]}
    assert {(one["candidate"], case) for one in told for case in one["stage"]} == run
    for one in told:
        assert set(one["stage"]) <= set(one["missing"])
        assert {*one["scores"], *one["missing"]} == set(one["best"])


def test_no_hook_before_the_end_is_told_of_a_held_out_case(spied: Spied):
    told = (spied.project.root / "hooks.jsonl").read_text(encoding="utf-8")
    assert "CANARY" not in told
    shown = [case for one in heard(spied.project, "propose") for case in one["failing"]]
    (case,) = {json.dumps(case) for case in shown if case["nodeid"].endswith("test_word[seen]")}
    assert "[held out]" in case
    (held,) = (case for case in spied.run.records("run")[0]["cases"] if case["split"] == "holdout")
    assert "CANARY" in held["nodeid"]


# What hooks may do, and what not


@pytest.mark.thorough
def test_a_plugin_alone_improves_the_prompt(project: Project):
    rules = "".join(f"- {rule(kind)}\n" for kind in KINDS[1:])
    project.write({"conftest.py": f"def pytest_gepa_propose(component, text):\n    return {TODAY + rules!r}\n"})
    run = project.pytest("--gepa-optimize", "--gepa-reflection-model=none", "--gepa-concurrency=1")
    assert run.result["verdict"] == "proven", run.everything
    assert run.reflections == []
    assert "change by a plugin for" in run.best_patch.read_text(encoding="utf-8")
    report = (run.directory / "report.md").read_text(encoding="utf-8")
    assert f"Change by a plugin for `{PROMPT}`" in report
    assert "reflection model's diagnosis" not in report


@pytest.mark.thorough
def test_a_plugins_text_stands_before_the_guards(project: Project):
    project.write({"conftest.py": "def pytest_gepa_propose(component, text):\n    return ''\n"})
    run = project.optimize()
    assert run.result["verdict"] == "not proven", run.everything
    assert run.reflections == []
    assert {one["purpose"] for one in run.records("evaluate")} <= {"baseline", "repeat"}
    assert run.records("proposal")
    assert all(one["rejections"] for one in run.records("proposal"))
    assert sum(run.result["rejections"].values()) == len(run.records("proposal"))


@pytest.mark.thorough
def test_what_a_plugin_rejects_is_not_taken(project: Project):
    project.write({"conftest.py": 'def pytest_gepa_accept():\n    return "reject"\n\n\n' + SPY.partition("def ")[0]})
    run = project.optimize("--gepa-budget=60")
    assert run.result["verdict"] == "not proven", run.everything
    assert "rejected" in kinds_of(run)
    assert "accepted" not in kinds_of(run)


# Trouble


SECOND_TIME = """\
times = []


def pytest_gepa_select_parent(parents):
    times.append(parents)
    if len(times) == 2:
        raise LookupError("no such parent")
"""


@pytest.mark.thorough
def test_a_hook_that_raises_ends_the_run_with_one_message_and_nothing_is_lost(project: Project):
    project.world.reflect = propose_one_rule
    project.write({"conftest.py": SECOND_TIME})
    run = project.optimize("--gepa-budget=200")
    message = the_error(run)
    assert f"the hook pytest_gepa_select_parent of {project.root}/conftest.py, line 7, raised" in message
    assert message.endswith("LookupError: no such parent")
    assert run.result["verdict"] == "not confirmed"
    assert "stopped before its confirm run: the hook pytest_gepa_select_parent" in run.result["reason"]
    # The candidate that stands on the frontier by then is written, and said.
    assert kinds_of(run)[-1] == "frontier"
    (patch,) = run.patches
    assert patch.parent.name == "frontier"
    # Nothing was begun afterwards, and all that was paid for is told.
    last = run.journal.index(run.records("decision")[-1])
    assert {one["record"] for one in run.journal[last + 1 :]} <= {"evaluate", "result"}
    assert len(run.records("rollout")) == len(run.task_requests)
    assert run.result["spent"]["rollouts"] == len(run.task_requests)


@pytest.mark.thorough
def test_a_proposer_that_raises_ends_the_run_and_no_model_is_asked(project: Project):
    project.write({"conftest.py": "def pytest_gepa_propose(text):\n    raise LookupError(text)\n"})
    run = project.optimize()
    assert "the hook pytest_gepa_propose of " in the_error(run)
    assert run.reflections == []
    assert {one["purpose"] for one in run.records("evaluate")} <= {"baseline", "repeat"}


@pytest.mark.thorough
def test_a_listener_that_raises_at_the_end_spoils_no_file(project: Project, tmp_path: Path):
    def whole(request: Body) -> str:
        return edits("\n".join(f"- {rule(kind)}" for kind in KINDS[1:]))

    project.world.reflect = whole
    project.write({"conftest.py": "def pytest_gepa_run_finished():\n    raise LookupError('full')\n"})
    temp = tmp_path / "temp"
    temp.mkdir()
    run = project.optimize(env={"TMPDIR": str(temp)})
    assert "the hook pytest_gepa_run_finished of " in the_error(run)
    assert run.result["verdict"] == "proven"
    assert run.best_patch.exists()
    assert (run.directory / "report.md").exists()
    assert not [path for path in temp.iterdir() if path.name.startswith("gepa-")]


@pytest.mark.thorough
def test_an_answer_that_will_not_do_ends_the_run(project: Project):
    project.write({"conftest.py": "def pytest_gepa_accept():\n    return True\n"})
    run = project.optimize()
    assert "conftest.py returned True: give 'accept' or 'reject'" in the_error(run)
    assert "accepted" not in kinds_of(run)[:-1]
