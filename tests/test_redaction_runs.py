"""Whole runs with patterns of the user's own that match names of ours, too: nothing is lost, and nothing leaks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_openai import Answer, Body, completion
from tests.harness import PROMPT, TODAY, Project, Run, new_project, no_request, propose_rules
from tests.test_replay import OFFLINE

INI = """\
[pytest]
gepa_redact =
    \\d{6}
    \\d{4}-\\d{2}-\\d{2}
    (?s)<private>.*?</private>
    ACME-\\w+
"""
MODEL = ("--gepa-reflection-model=ft:ACME-corp:x", "--gepa-trials=1")
NOTE = "<private>\nHandle with care.\n</private>\n"
LINES = "".join(f"Line {number} of the prompt.\n" for number in range(4))
BORN = "1961-02-28"
ACCOUNTS = [str(482910 + number) for number in range(12)]
TESTS = f"""\
import pytest

from app import route

CASES = [(kind, word) for kind in ("fruit", "animal", "city", "tool") for word in ("one", "two", "three")]


@pytest.mark.parametrize(
    ("kind", "word", "account"), [(*case, f"no {{482910 + number}}") for number, case in enumerate(CASES)]
)
def test_route(kind, word, account, gepa):
    gepa.log("client", f"{{account}}, born {BORN}")
    print(account)
    assert route(kind, word) == f"{{word}}-{{kind[:3].upper()}}", f"wrong for {{account}}, born {BORN}"
"""


def _reflect(request: Body) -> Answer:
    """By the name of the model that was tuned: an answer with the secret in it would be stored nowhere."""
    return completion({**request, "model": "gpt"}, {"content": propose_rules(request)})


def _plant(project: Project) -> None:
    project.world.reflect = _reflect
    project.write({"pytest.ini": INI, "test_route.py": TESTS, PROMPT: f"{NOTE}{LINES}{TODAY}"})


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    for made in new_project(tmp_path_factory.mktemp("redacted") / "project"):
        _plant(made)
        yield made


@pytest.fixture(scope="module")
def run(project: Project) -> Run:
    return project.optimize(*MODEL)


def test_a_run_ends_with_its_whole_report(run: Run) -> None:
    shown = f".gepa/runs/{run.directory.name}/best.patch"

    assert run.code == 0, run.everything
    assert run.result["verdict"] == "proven"
    assert (run.result["run"], run.result["patch"]) == (run.directory.name, shown)
    assert (run.directory / "report.html").is_file()
    assert (run.directory / "report.md").is_file()
    assert f"git apply {shown}" in run.lines


def test_the_records_of_a_run_name_what_they_are_about(run: Run) -> None:
    rollouts = run.records("rollout")
    asked = {record["candidate"]["id"] for record in run.records("evaluate")}
    confirm = run.records("confirm")[0]

    assert {edit["candidate"] for edit in run.result["edits"]} <= asked
    assert {rollout["candidate"] for rollout in rollouts} <= asked
    assert {confirm["winner"]} <= asked
    assert len({rollout["case"] for rollout in rollouts}) == len(ACCOUNTS)
    assert "[redacted]" not in json.dumps([(one["case"], one["trial"]) for one in rollouts])


def test_no_secret_stands_in_its_files(run: Run) -> None:
    """But for patches, whose lines are those of the prompt."""
    secrets = [*ACCOUNTS, BORN, "Handle with care"]
    files = [path for path in (run.rootdir / ".gepa/runs").rglob("*") if path.is_file()]
    found = [
        (path.name, secret)
        for path in files
        for secret in secrets
        if path.suffix != ".patch" and secret in path.read_text("utf-8")
    ]

    assert "[redacted]" in (run.directory / "journal.jsonl").read_text("utf-8")
    assert found == []
    assert not any(secret in json.dumps(run.reflections) for secret in secrets)


def test_its_recording_is_whole(run: Run) -> None:
    recorded = run.directory / "recording"
    order = json.loads((recorded / "order.json").read_text("utf-8"))["order"]
    answers = "".join(path.read_text("utf-8") for path in (recorded / "answers").iterdir())

    assert answers
    assert "withheld" not in answers
    assert any(event.startswith("Evaluated") for event in order)
    assert not any("[redacted]" in event for event in order if event.startswith(("Evaluated", "Reflected")))


def test_the_name_of_the_reflection_model_is_told_without_its_secret(run: Run) -> None:
    usage = json.loads((run.rootdir / ".gepa/usage.json").read_text("utf-8"))

    assert run.reflections[0]["model"] == "ft:ACME-corp:x"
    assert "reflection model ft:[redacted]:x, " in run.out
    assert usage["reflection"]["model"] == "ft:[redacted]:x"
    files = [path for path in (run.rootdir / ".gepa").rglob("*") if path.is_file()]
    assert [path for path in files if b"ACME-corp" in path.read_bytes()] == []
    assert "ACME-corp" not in run.everything


def test_a_plan_finds_what_it_took(run: Run, project: Project) -> None:
    plan = project.pytest("--gepa-plan", *MODEL)

    plan.matches("reflection model     ft:?redacted?:x", "reflections * as before; each *")
    assert "as those of" not in plan.out
    assert "ACME-corp" not in plan.everything


@pytest.mark.thorough
def test_its_recording_replays(run: Run, project: Project, tmp_path: Path) -> None:
    clone = project.copy("clone")
    shutil.copytree(run.directory / "recording", clone.root / "gepa_recording")

    replayed = clone.pytest("--gepa-optimize", *MODEL, "--gepa-replay=only", env=OFFLINE)

    assert replayed.code == 0, replayed.everything
    assert no_request(replayed)
    for name in (
        "verdict",
        "effect",
        "changes",
        "edits",
        "needs",
        "frontier",
        "trouble",
        "baseline",
        "winner",
    ):
        assert replayed.result[name] == run.result[name], name
    assert replayed.best_patch.read_bytes() == run.best_patch.read_bytes()
    assert _charges(replayed) == _charges(run)


def _charges(run: Run) -> list[tuple[str, ...]]:
    names = ("candidate", "case", "trial", "charged")
    return sorted(tuple(str(rollout[name]) for name in names) for rollout in run.records("rollout"))
