"""Whole runs that shrink their winner: what is dropped, what it costs, what the reviewer is told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

import pytest

from pytest_gepa.evolve.changes import fair_share
from tests.fake_openai import Body
from tests.harness import (
    KINDS,
    PROMPT,
    TODAY,
    Project,
    Run,
    cases_of,
    edits,
    failing_kinds,
    new_project,
    prompt_in,
    rule,
)

LISTENER = """\
import json


def pytest_gepa_candidate_evaluated(candidate, texts, scores, mean, parents, origin):
    with open("heard.jsonl", "a") as stream:
        stream.write(json.dumps([candidate, dict(texts), dict(scores), mean, list(parents), origin]) + "\\n")
"""
IDLE = "Always think of the customer first."


@pytest.fixture
def project(project: Project) -> Project:
    project.write({"pytest.ini": "[pytest]\n"})
    return project


def with_ballast(request: Body) -> str:
    """Every missing rule at once, with one between them that no case needs."""
    missing = [f"- {rule(kind)}" for kind in failing_kinds(request) if rule(kind) not in prompt_in(request)]
    return edits("\n".join([missing[0], f"- {IDLE}", *missing[1:]])) if missing else edits()


def winner(run: Run, project: Project) -> str:
    project.shell(f"git apply {run.best_patch}")
    return project.prompt()


def needs(run: Run) -> dict[str, Mapping[str, object]]:
    return {" ".join(need["lines"]): need for need in run.result["needs"]}


@pytest.fixture(scope="module")
def shrunk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, Run]]:
    for project in new_project(tmp_path_factory.mktemp("shrunk") / "project"):
        project.write({"pytest.ini": "[pytest]\n", "conftest.py": LISTENER})
        project.world.reflect = with_ballast
        project.commit()
        yield project, project.optimize()


def test_what_no_case_needs_is_dropped_and_every_change_left_is_told_with_its_cases(
    shrunk: tuple[Project, Run],
):
    project, run = shrunk
    assert run.result["verdict"] == "proven", run.everything
    found = needs(run)
    assert found[f"+ - {IDLE}"]["state"] == "dropped"
    for kind in KINDS[1:]:
        need = found[f"+ - {rule(kind)}"]
        assert need["state"] == "needed"
        assert need["cases"]
        assert all(kind in str(case) for case in need["cases"])  # type: ignore[attr-defined]
    lines = [TODAY.rstrip("\n"), *(f"- {rule(kind)}" for kind in KINDS[1:])]
    assert sorted(winner(run, project).splitlines()) == sorted("\n".join(lines).splitlines())
    # The confirm run judged the smaller winner.
    (confirm,) = run.records("confirm")
    assert all(IDLE not in json.dumps(request) for request in run.task_requests[-len(cases_of()) :]), (
        "the last side of the confirm run is the winner's"
    )
    assert run.records("evaluate")[-1]["purpose"] == "shrink"
    assert confirm["winner"] == run.records("decision")[-1]["candidate"]
    run.matches("*shrunk: *", "shrunk * 4 changes: 3 needed, 1 dropped as no case is worse without it")


def test_report_and_patch_show_the_changes_with_their_cases(shrunk: tuple[Project, Run]):
    _, run = shrunk
    report = (run.directory / "report.md").read_text(encoding="utf-8")
    assert f"| `{PROMPT}` | `+ - {IDLE}` | no case: dropped |" in report
    assert re.search(
        rf"\| `\+ - {re.escape(rule('animal'))}` \| (?:at least )?`test_route.py::test_route\[animal-\w+\]`",
        report,
    )
    patch = run.best_patch.read_text(encoding="utf-8")
    assert "Change 1 of 3, in" in patch
    assert re.search("^worse without it(, at least)?:$", patch, re.M)
    assert "Changes that no case needs taken away again in" in report


def test_shrinking_stays_within_the_budget_and_counts(shrunk: tuple[Project, Run]):
    _, run = shrunk
    charged = sum(record["charged"] for record in run.records("rollout"))
    assert run.result["spent"]["rollouts"] == charged
    (begun,) = run.records("shrink")
    shrinking = [record["event"] for record in run.records("event") if record.get("phase") == "shrink"]
    spent = sum(result["charged"] for event in shrinking for result in event["results"].values())
    assert 0 < spent <= begun["most"] <= fair_share(len(cases_of()), 4)


def test_plugins_hear_of_the_candidate_that_is_confirmed(shrunk: tuple[Project, Run]):
    project, run = shrunk
    heard = [json.loads(line) for line in (project.root / "heard.jsonl").read_text("utf-8").splitlines()]
    (confirm,) = run.records("confirm")
    candidate, texts, scores, mean, parents, origin = heard[-1]
    assert (candidate, mean, origin) == (confirm["winner"], 1.0, "shrink")
    assert IDLE not in texts[PROMPT]
    assert list(scores.values()) == [1.0] * len(cases_of())
    assert parents == [heard[-2][0]]
    assert len({one[0] for one in heard}) == len(heard)


@pytest.mark.thorough
def test_a_listener_that_raises_at_the_shrunken_winner_ends_the_run_before_it_is_confirmed(project: Project):
    project.world.reflect = with_ballast
    listener = "def pytest_gepa_candidate_evaluated(origin):\n    assert origin != 'shrink', 'no room'\n"
    project.write({"conftest.py": listener})
    run = project.optimize()
    assert run.code == pytest.ExitCode.USAGE_ERROR, run.everything
    assert "the hook pytest_gepa_candidate_evaluated of " in run.everything
    assert run.result["verdict"] == "not confirmed"
    assert run.records("confirm") == []


@pytest.mark.thorough
def test_it_can_be_switched_off(project: Project):
    project.world.reflect = with_ballast
    project.write({"pytest.ini": "[pytest]\ngepa_shrink = off\n"})
    project.commit()
    run = project.optimize()
    assert run.result["needs"] == []
    assert run.records("shrink") == []
    assert IDLE in winner(run, project)


def test_a_value_that_is_neither_on_nor_off_is_a_usage_error(project: Project):
    project.write({"pytest.ini": "[pytest]\ngepa_shrink = maybe\n"})
    run = project.optimize()
    assert run.code == 4
    assert "'maybe' is not valid; expected one of on, off" in run.everything


@pytest.mark.thorough
def test_a_shrunken_run_is_replayed_as_it_was_recorded(project: Project):
    project.world.reflect = with_ballast
    recorded = project.optimize("--gepa-concurrency=4")
    run = project.optimize("--gepa-concurrency=4", "--gepa-replay=only")
    assert run.task_requests == []
    assert run.best_patch.read_bytes() == recorded.best_patch.read_bytes()
    assert needs(run) == needs(recorded)


@pytest.mark.thorough
def test_an_interrupt_while_shrinking_leaves_the_winner_so_far(project: Project):
    project.world.reflect = with_ballast
    asked = project.world.task

    def interrupted(request: Body) -> object:
        # Only while it is shrunk the ballast stands without one of the rules.
        system = request["messages"][0]["content"]
        held = [kind for kind in KINDS if rule(kind) in system]
        if IDLE not in system and len(held) == len(KINDS):
            project.interrupt()
        return asked(request)

    project.world.task = interrupted  # type: ignore[assignment]
    run = project.optimize()
    assert run.code == 2
    assert run.result["verdict"] == "not confirmed"
    assert run.result["reason"] == "the run was interrupted before its confirm run"
    assert run.result["winner"]["passed"] == len(cases_of())
    assert any(need["state"] == "not measured" for need in run.result["needs"])
    assert project.children() == []


@pytest.mark.thorough
def test_the_same_seed_gives_the_same_shrunken_patch(project: Project):
    project.world.reflect = with_ballast
    first = project.optimize("--gepa-replay=off").best_patch.read_bytes()
    assert project.optimize("--gepa-replay=off").best_patch.read_bytes() == first
