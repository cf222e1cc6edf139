"""Whole runs of `--gepa-optimize`: what they find, spend, refuse, write and leave behind."""

from __future__ import annotations

import json
import re
import shutil
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fake_openai import Answer, Body
from tests.harness import (
    APART,
    KEY,
    PROMPT,
    TODAY,
    Project,
    Run,
    answer_by_rules,
    cases_of,
    edits,
    failing_kinds,
    mode,
    new_project,
    prompt_in,
    propose_one_rule,
    rule,
    told,
)

# Each case says the key in every place from which a careless tool would copy it.
TELLTALE = """\
import logging
import os

import pytest

from app import route

CASES = {cases}


@pytest.mark.parametrize(("kind", "word"), CASES)
def test_route(kind, word, gepa):
    key = os.environ["OPENAI_API_KEY"]
    print("the key is", key)
    logging.getLogger().warning("the key is %s", key)
    gepa.log("key", key)
    assert route(kind, word) == f"{{word}}-{{kind[:3].upper()}}", f"asked with {{key}}"
"""
HOOKS = """\
import json


def record(**line):
    with open("hooks.jsonl", "a") as stream:
        stream.write(json.dumps(line) + "\\n")


def pytest_gepa_candidate_evaluated(candidate, texts, scores):
    record(hook="evaluated", texts=dict(texts), scores=dict(scores))


def pytest_gepa_run_finished(result, directory):
    record(hook="finished", verdict=result["verdict"], directory=directory)
"""
OTHERS = """\
import pytest

from app import route


def test_sum():
    assert 1 + 1 == 3


@pytest.mark.skip(reason="not today")
def test_skipped():
    assert route("animal", "four") == "four-ANI"


@pytest.mark.xfail(reason="known")
def test_xfailed():
    assert route("animal", "five") == "five-ANI"
"""
CONFIRM = "/confirm/"


def rollouts(run: Run, part: str) -> list[dict[str, Any]]:
    """The journal's rollouts of the trials whose name holds `part`."""
    return [record for record in run.records("rollout") if part in record["trial"]]


def system(request: Body) -> str:
    text: str = request["messages"][0]["content"]
    return text


# One whole run, looked at from all sides: the project is a subdirectory of a git repository


@dataclass
class Whole:
    project: Project
    top: Path
    status: str
    run: Run

    def copy(self, place: Path) -> Project:
        """The repository as the run left it, somewhere else."""
        shutil.copytree(self.top, place, symlinks=True)
        return Project(place / "service", self.project.world, self.project.server)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    top = tmp_path_factory.mktemp("whole") / "repo"
    for project in new_project(top / "service"):
        project.write(
            {
                "pytest.ini": "[pytest]\naddopts = -x --strict-markers\n",
                "test_route.py": TELLTALE.format(cases=cases_of()),
                "conftest.py": HOOKS,
                "../README.md": "the top\n",
            }
        )
        project.commit(top)
        shutil.copytree(top, top.parent / "before", symlinks=True)
        run = project.optimize()
        (project.root / "hooks.jsonl").rename(top.parent / "hooks.jsonl")
        yield Whole(project, top, project.git("status", "--porcelain", "--untracked-files=all"), run)


def test_a_run_proves_its_gain_and_exits_0(whole: Whole):
    assert whole.run.code == 0, whole.run.everything
    assert whole.run.result["verdict"] == "proven"
    assert whole.run.err == ""


def test_it_looks_and_counts_like_a_pytest_run(whole: Whole):
    whole.run.matches(
        "gepa: optimizing prompts, seed 0",
        "collected 12 items",
        "gepa: 1 prompt, 12 cases, reflection model reflector, budget * rollouts *, seed 0, one case at a time",
        "test_route.py ...FFFFFFFFF *",
        "*= 9 failed, 3 passed in *",
        "*= gepa =*",
        "verdict * proven: *",
        "search cases * 3/12 -> 12/12 (confirm run)",
        "*fixed 9 cases, broke none",
    )


def test_the_result_has_every_field_that_others_build_on(whole: Whole):
    result = whole.run.result
    assert result["baseline"] == {"passed": 3, "total": 12, "score": 0.25}
    assert result["winner"] == {"passed": 12, "total": 12, "score": 1.0}
    assert result["holdout"] is None
    assert result["effect"] == 0.75
    low, high = result["interval"]
    assert -1 <= low < 0.75 < high <= 1
    assert 0 < result["p_value"] < 0.05
    assert sorted(result["fixed"]) == sorted(
        f"test_route.py::test_route[{kind}-{word}]" for kind, word in cases_of(["animal", "city", "tool"])
    )
    assert result["broken"] == []
    spent = result["spent"]
    assert set(spent) >= {
        "rollouts",
        "cached",
        "reflections",
        "input_tokens",
        "output_tokens",
        "usd",
        "seconds",
    }
    assert spent["rollouts"] == len(whole.run.task_requests)
    assert spent["reflections"] == len(whole.run.reflections) == 1
    assert spent["cached"] == 0
    assert spent["input_tokens"] > 0
    assert spent["output_tokens"] > 0
    assert spent["usd"] is None
    assert spent["seconds"] > 0
    assert result["models"] == {"task": ["task"], "reflection": ["reflector"]}
    assert result["seed"] == 0
    assert result["rejections"] == {}


def test_the_journal_tells_the_whole_story(whole: Whole):
    assert [record["n"] for record in whole.run.journal] == list(range(1, len(whole.run.journal) + 1))
    kinds = Counter(record["record"] for record in whole.run.journal)
    assert kinds["run"] == kinds["confirm"] == kinds["result"] == 1
    assert kinds["rollout"] == whole.run.result["spent"]["rollouts"]
    assert kinds["reflect"] == kinds["proposal"] == 1
    decided = Counter(record["kind"] for record in whole.run.records("decision"))
    assert decided["accepted"] == decided["frontier"] == 1
    assert whole.run.journal[-1]["result"] == whole.run.result


def test_the_report_names_verdict_edits_and_cases(whole: Whole):
    report = (whole.run.directory / "report.md").read_text(encoding="utf-8")
    assert report.startswith(f"# gepa run {whole.run.directory.name}: proven\n")
    assert "`test_route.py::test_route[city-two]`" in report
    assert f"+ - {rule('city')}" in report
    assert "the mark is missing" in report


def test_the_page_shows_the_runs_behind_an_edit(whole: Whole):
    page = (whole.run.directory / "report.html").read_text(encoding="utf-8")
    assert f'<div class="added">- {rule("city")}</div>' in page
    assert "[the text of prompts/route.md]" in page
    assert "the mark is missing" in page
    assert page.count('id="trace-') >= 2


def test_the_run_leaves_the_working_tree_alone(whole: Whole):
    # The hooks' own file is the test's doing.
    assert whole.status == ""
    assert whole.project.prompt() == TODAY


def test_the_run_directory_is_private(whole: Whole):
    directory = whole.run.directory
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-1", directory.name)
    assert {mode(path) for path in (directory, directory.parent, directory.parent.parent)} == {0o700}
    assert {mode(path) for path in directory.iterdir() if path.is_file()} == {0o600}


def test_the_key_is_in_no_file_and_in_no_reflection(whole: Whole):
    written = [path for path in (whole.project.root / ".gepa").rglob("*") if path.is_file()]
    assert len(written) > 5
    assert [path for path in written if KEY.encode() in path.read_bytes()] == []
    assert not any(KEY in told(request) for request in whole.run.reflections)


def test_a_reflection_shows_the_function_without_its_decorators(whole: Whole):
    for request in whole.run.reflections:
        assert "def test_route(kind, word, gepa):" in told(request)
        assert "parametrize" not in told(request)
        assert "CASES" not in told(request)


def test_the_hooks_are_called(whole: Whole):
    lines = [json.loads(line) for line in (whole.top.parent / "hooks.jsonl").read_text().splitlines()]
    finished = [line for line in lines if line["hook"] == "finished"]
    assert finished == [{"hook": "finished", "verdict": "proven", "directory": str(whole.run.directory)}]
    evaluated = [line for line in lines if line["hook"] == "evaluated"]
    assert {PROMPT: TODAY} in [line["texts"] for line in evaluated]
    assert evaluated
    assert all(len(line["scores"]) == 12 for line in evaluated)


def assert_applied(project: Project) -> None:
    assert all(rule(kind) in project.prompt() for kind in ("animal", "city", "tool"))
    assert project.git("status", "--porcelain") == f" M service/{PROMPT}\n"


def test_the_last_line_applies_the_patch_and_then_every_case_passes(whole: Whole, tmp_path: Path):
    project = whole.copy(tmp_path / "repo")
    command = whole.run.lines[-1]
    assert command == f"git apply .gepa/runs/{whole.run.directory.name}/best.patch"
    project.shell(command)
    assert_applied(project)
    plain = project.pytest()
    assert plain.code == 0
    assert "12 passed" in plain.lines[-1]


def test_the_patch_applies_from_the_top_of_the_repository(whole: Whole, tmp_path: Path):
    project = whole.copy(tmp_path / "repo")
    patch = project.root / whole.run.best_patch.relative_to(whole.project.root)
    project.shell(f"git apply '{patch}'", cwd=tmp_path / "repo")
    assert_applied(project)


@pytest.mark.thorough
def test_the_same_seed_gives_the_same_patch_byte_for_byte(whole: Whole, tmp_path: Path):
    shutil.copytree(whole.top.parent / "before", tmp_path / "elsewhere", symlinks=True)
    project = Project(tmp_path / "elsewhere/service", whole.project.world, whole.project.server)
    run = project.optimize(python=APART)
    assert run.best_patch.read_bytes() == whole.run.best_patch.read_bytes()
    assert [told(request) for request in run.reflections] == [told(request) for request in whole.run.reflections]


@pytest.mark.thorough
def test_a_second_run_pays_for_no_search_twice_and_for_the_confirm_run_again(whole: Whole, tmp_path: Path):
    project = whole.copy(tmp_path / "repo")
    again = project.optimize()
    assert again.result["verdict"] == "proven"
    assert again.directory != whole.run.directory
    assert not any(record["charged"] for record in rollouts(again, "search/"))
    assert all(record["charged"] for record in rollouts(again, CONFIRM))
    assert len(rollouts(again, CONFIRM)) == 24
    assert again.result["spent"]["cached"] == len(rollouts(again, "search/"))
    assert len(again.task_requests) == again.result["spent"]["rollouts"]
    assert len(again.task_requests) == len(whole.run.task_requests) - again.result["spent"]["cached"]
    # The frontier goes by the time of calls too: it is that in which the answers came.
    assert [one["model_seconds"] for one in rollouts(again, "search/")] == [
        one["model_seconds"] for one in rollouts(whole.run, "search/")
    ]


# Runs that end early, or without a proof


def test_nothing_to_do_when_every_case_passes(project: Project):
    project.cases(cases_of(["fruit"]))
    run = project.optimize()
    assert (run.code, run.result["verdict"]) == (0, "nothing to do")
    assert (len(run.task_requests), len(run.reflections)) == (3, 0)
    assert run.patches == []
    assert "3 passed" in run.out


@pytest.mark.thorough
def test_nothing_to_do_when_no_failing_case_reads_a_prompt(project: Project):
    project.cases(cases_of(["fruit"]))
    project.write({"test_sum.py": "def test_sum():\n    assert 1 + 1 == 3\n"})
    run = project.optimize()
    assert (run.code, run.result["verdict"]) == (0, "nothing to do")
    assert (len(run.task_requests), len(run.reflections)) == (3, 0)
    assert run.result["spent"]["rollouts"] == 3
    assert "1 failed, 3 passed" in run.out


BROKEN_APP = """\
from pathlib import Path

PROMPT = Path(__file__).parent / "prompts" / "route.md"


def route(kind, word):
    instructions = PROMPT.read_text(encoding="utf-8")
    raise RuntimeError(f"set ROUTER_URL to send {len(instructions)} characters")
"""


def test_a_baseline_in_which_no_case_reached_a_model_ends_the_run(project: Project):
    project.write({"app.py": BROKEN_APP, "test_sum.py": "def test_sum():\n    assert 1 + 1 == 2\n"})
    run = project.optimize()
    assert (run.code, run.result["verdict"]) == (0, "nothing to do")
    assert (len(run.task_requests), len(run.reflections)) == (0, 0)
    assert len(run.records("rollout")) == 13
    run.matches(
        "verdict*nothing to do: no case reached a model; the first failure: RuntimeError: set ROUTER_URL to send *"
    )


@pytest.mark.thorough
def test_a_model_that_is_asked_in_a_way_that_is_not_seen_is_reflected_on(project: Project):
    app = BROKEN_APP.replace("raise RuntimeError(", "return (")
    project.write({"app.py": app})
    run = project.optimize("--gepa-budget=60")
    assert run.result["verdict"] == "not proven"
    assert run.reflections


@pytest.mark.thorough
def test_trouble_that_kept_every_case_from_a_model_can_be_resumed(project: Project):
    app = BROKEN_APP.replace("RuntimeError", "ConnectionRefusedError")
    project.write({"app.py": app})
    project.cases(cases_of(["fruit"], ["one"]))
    run = project.optimize()
    assert run.code == 4
    assert "no case gave evidence under today's prompts: ConnectionRefusedError: set ROUTER_URL" in run.err
    run.matches("go on*with --gepa-resume*")


@pytest.mark.thorough
def test_a_gain_on_too_few_cases_is_not_proven(project: Project):
    project.cases(cases_of(["fruit", "animal"]))
    run = project.optimize("--gepa-trials=1")
    assert (run.code, run.result["verdict"]) == (0, "not proven")
    assert run.result["winner"]["passed"] == 6
    assert not run.best_patch.exists()
    assert "git apply" not in run.everything
    (patch,) = run.patches
    assert patch.parent.name == "frontier"
    assert "NOT PROVEN" in patch.read_text(encoding="utf-8").partition("diff --git")[0]
    strict = project.optimize("--gepa-trials=1", "--gepa-fail-on=not-proven")
    assert (strict.code, strict.result["verdict"]) == (1, "not proven")


@pytest.mark.thorough
def test_a_run_that_finds_nothing_better_is_not_proven(project: Project):
    # Answers that no model should give: half of a surrogate pair, and what steers a terminal.
    project.world.task = lambda request: (
        answer if (answer := str(answer_by_rules(request)))[-1] != "?" else "\ud83d \x1b[2J \x00 \u202e"
    )
    project.world.reflect = lambda request: edits(f"- Think {len(project.world.reflections)} times.")
    run = project.optimize("--gepa-budget=60")
    assert (run.code, run.result["verdict"]) == (0, "not proven")
    assert run.patches == []
    assert run.result["winner"] == run.result["baseline"] == {"passed": 3, "total": 12, "score": 0.25}
    assert "\x1b" not in run.out
    assert "git apply" not in run.everything


@pytest.mark.thorough
def test_a_run_that_is_out_of_time_before_its_first_reflection_does_not_claim_that_nothing_is_to_do(
    project: Project,
):
    project.cases(cases_of(["fruit", "animal"], ["one"]))
    run = project.optimize("--gepa-max-minutes=0.0001")
    assert run.code == 0
    assert run.reflections == []
    assert "minutes are over" in run.result["search_ended"]
    assert run.result["verdict"] == "not proven"


# The budget


def stubborn(request: Body) -> Answer:
    """Two proposals in three are of no use."""
    number = request["messages"][1]["content"].count("Discarded: ")
    return propose_one_rule(request) if number % 3 == 2 else edits(f"- Consider this {number} times.")


@pytest.mark.parametrize("budget", ["the smallest", pytest.param("65", marks=pytest.mark.thorough)])
def test_the_budget_is_never_exceeded(project: Project, budget: str):
    project.cases(cases_of(words=["one", "two"]))
    project.world.reflect = stubborn
    if budget == "the smallest":
        refused = project.optimize("--gepa-budget=1")
        budget = re.findall(r"--gepa-budget (\d+)", refused.err)[-1]
    run = project.optimize(f"--gepa-budget={budget}", "--gepa-concurrency=3")
    assert run.code == 0, run.everything
    assert run.result["verdict"] != "nothing to do"
    assert len(run.reflections) >= 1
    assert len(run.task_requests) == run.result["spent"]["rollouts"] <= int(budget)
    if run.result["winner"] != run.result["baseline"]:
        assert len(rollouts(run, CONFIRM)) == 16 * run.result["trials"]


# Replies of the reflection model


def test_a_reply_without_a_usable_edit_becomes_no_candidate_and_is_told_once(project: Project):
    today = f"Write in the style {{style}}.\n{TODAY}"
    app = (project.root / "app.py").read_text("utf-8")
    read = 'PROMPT.read_text(encoding="utf-8")'
    assert read in app
    project.write({PROMPT: today, "app.py": app.replace(read, f"{read}.format(style='plain')")})
    sent = today.format(style="plain")
    project.cases(cases_of(["fruit", "animal"], ["one", "two", "three", "four", "five", "six"]))
    replies: list[Answer] = [
        {"content": None, "refusal": "I would rather not."},
        {"content": '{"diagnoses": [{"case"', "finish_reason": "length"},
        "",
        edits("Answer with the word.", kind="rewrite"),
        f"```\n{today}```",
        json.dumps({"diagnosis": "no mark", "rule": rule("animal")}),
    ]
    project.world.reflect = lambda request: replies[len(project.world.reflections) - 1]
    run = project.optimize("--gepa-trials=1")
    assert run.result["verdict"] == "proven"
    assert len(run.reflections) == len(replies)
    assert {system(request) for request in run.task_requests} == {sent, f"{sent}- {rule('animal')}\n"}
    assert run.result["rejections"] == {
        "refused": 1,
        "truncated": 1,
        "empty reply": 1,
        "placeholder lost": 1,
        "no change": 1,
    }
    for number, reason in ((1, "refused"), (3, "empty"), (5, "changes nothing")):
        first, second = run.reflections[number - 1], run.reflections[number]
        assert len(first["messages"]) == 2
        assert second["messages"][:2] == first["messages"]
        assert reason in second["messages"][-1]["content"]
    assert all(len(run.reflections[number]["messages"]) == 2 for number in (2, 4))
    assert "5 replies of the reflection model" in run.out


@pytest.mark.thorough
def test_a_whole_text_in_one_fence_is_understood(project: Project):
    project.cases(cases_of(["fruit", "animal"]))

    def reflect(request: Body) -> Answer:
        return f"The rule is missing.\n\n```markdown\n{prompt_in(request)}- {rule('animal')}\n```\n\nGood luck!"

    project.world.reflect = reflect
    run = project.optimize("--gepa-trials=1")
    assert run.result["winner"]["passed"] == 6
    assert len(run.reflections) == 1
    assert {system(request) for request in run.task_requests} == {TODAY, f"{TODAY}- {rule('animal')}\n"}


# What is held out


SECRETIVE = """\
import pytest

from app import route

CASES = {cases}


@pytest.mark.parametrize(("kind", "word"), CASES)
def test_route(kind, word):
    got = route(kind, word)
    known = {{word: f"{{word}}-{{kind[:3].upper()}}" for kind, word in {known}}}
    assert got == known.get(word, f"{{word}}-{{kind[:3].upper()}}"), known
"""


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, list[Body], list[str]]]:
    """A run with three of twelve cases held out by share, all requests in their order, and every case's word."""
    words = [f"w{number:02}q" for number in range(12)]
    cases = list(zip(["fruit"] * 3 + ["animal"] * 9, words, strict=True))
    for project in new_project(tmp_path_factory.mktemp("held") / "project"):
        project.cases(cases)
        run = project.optimize("--gepa-holdout=0.25", "--gepa-trials=1")
        yield run, list(project.server.requests), words


def test_held_out_cases_run_only_in_the_confirm_run(held_out: tuple[Run, list[Body], list[str]]):
    run, requests, _ = held_out
    assert run.code == 0, run.everything
    cases = {case["id"]: case for case in run.records("run")[0]["cases"]}
    apart = {name for name, case in cases.items() if case["split"] == "holdout"}
    assert len(apart) == 3
    assert {record["case"] for record in rollouts(run, "search/")} == cases.keys() - apart
    ran = Counter(record["case"] for record in rollouts(run, CONFIRM))
    assert ran == dict.fromkeys(cases, 2)  # one for each side
    last_reflection = max(at for at, request in enumerate(requests) if request["model"] == "reflector")
    values = {re.findall(r"w\d\dq", case["nodeid"])[0] for name, case in cases.items() if name in apart}
    assert not any(value in told(request) for request in requests[:last_reflection] for value in values)


def test_held_out_cases_are_reported_apart(held_out: tuple[Run, list[Body], list[str]]):
    run, _, _ = held_out
    result = run.result
    assert result["baseline"]["total"] == result["winner"]["total"] == 9
    assert result["holdout"]["baseline"]["total"] == result["holdout"]["winner"]["total"] == 3
    assert result["holdout"]["winner"]["passed"] == 3
    assert result["baseline"]["passed"] + result["holdout"]["baseline"]["passed"] == 3
    names = {case["nodeid"] for case in run.records("run")[0]["cases"] if case["split"] == "search"}
    assert set(result["fixed"]) <= names
    run.matches("gepa: 1 prompt, 12 cases (9 search, 3 held out)*", "held out * -> 3/3, as the search score")


def test_a_reflection_holds_the_values_of_the_cases_that_it_shows_and_of_no_other(
    held_out: tuple[Run, list[Body], list[str]],
):
    run, _, words = held_out
    assert run.reflections
    for request in run.reflections:
        shown = set(re.findall(r"^## (?:Failing case \d+|Passing case): .*-(w\d\dq)\]", told(request), re.M))
        assert shown
        assert {word for word in words if word in told(request)} == shown


@pytest.mark.thorough
def test_held_out_values_in_a_failure_text_reach_no_reflection(project: Project):
    # The assertion's own message names every case's expected value, the held-out ones' too.
    cases = [("animal", f"w{number:02}q") for number in range(8)]
    project.write({"test_route.py": SECRETIVE.format(cases=cases, known=cases)})
    run = project.optimize("--gepa-holdout=0.25", "--gepa-trials=1")
    apart = [case for case in run.records("run")[0]["cases"] if case["split"] == "holdout"]
    values = [re.findall(r"w\d\dq", case["nodeid"])[0] for case in apart]
    assert len(values) == 2
    assert run.reflections
    assert not any(value in told(request) for request in run.reflections for value in values)


@pytest.mark.thorough
def test_a_key_among_the_parameters_reaches_no_file_and_no_reflection(project: Project):
    test = """\
import os

import pytest

from app import route


@pytest.mark.parametrize("word", ["one", "two"])
@pytest.mark.parametrize("key", [os.environ["OPENAI_API_KEY"]], ids=["the-key"])
def test_route(word, key):
    assert route("animal", word) == f"{word}-ANI"
"""
    project.write({"test_route.py": test})
    run = project.optimize("--gepa-trials=1")
    assert run.reflections
    assert not any(KEY in told(request) for request in run.reflections)
    written = [path for path in (project.root / ".gepa").rglob("*") if path.is_file()]
    assert [path for path in written if KEY.encode() in path.read_bytes()] == []


# When the reflection model fails


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@pytest.mark.thorough
def test_a_reflection_model_that_cannot_be_reached_is_a_usage_error_after_the_baseline(project: Project):
    project.cases(cases_of(["animal"]))
    base_url = f"http://127.0.0.1:{closed_port()}/v1"
    run = project.optimize(env={"GEPA_REFLECTION_BASE_URL": base_url})
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert base_url in run.err
    assert "is the base URL right, and the server up?" in run.err
    assert "Traceback" not in run.everything
    assert run.result["spent"]["rollouts"] == len(run.task_requests) == 3
    assert run.result["verdict"] != "nothing to do"
    assert {path.name for path in run.directory.iterdir()} >= {
        "journal.jsonl",
        "result.json",
        "report.html",
        "report.md",
    }


@pytest.mark.thorough
def test_a_key_that_is_refused_is_a_usage_error_with_the_mend(project: Project):
    project.cases(cases_of(["animal"]))
    project.world.reflect = lambda _request: (401, {"error": {"message": f"Incorrect API key: {KEY}"}})
    run = project.optimize()
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "check OPENAI_API_KEY" in run.err
    assert len(run.reflections) == 1
    assert KEY not in run.everything
    assert (run.directory / "journal.jsonl").exists()


@pytest.mark.thorough
def test_when_the_reflection_model_fails_later_what_was_found_is_confirmed(project: Project):
    def reflect(request: Body) -> Answer:
        is_late = len(project.world.reflections) > 2
        return (401, {"error": {"message": "expired"}}) if is_late else propose_one_rule(request)

    project.world.reflect = reflect
    run = project.optimize()
    assert run.code == 0
    assert run.result["verdict"] == "proven"
    assert run.result["winner"]["passed"] == 9
    assert "check OPENAI_API_KEY (status 401" in run.result["search_ended"]
    assert "git apply" in run.lines[-1]


# Ctrl-C


def assert_interrupted(project: Project, run: Run) -> None:
    assert run.code == pytest.ExitCode.INTERRUPTED, run.everything
    assert project.children() == []
    assert run.result["verdict"] == "not confirmed"
    assert "verdict              not confirmed" in run.out
    assert not run.best_patch.exists()
    assert "git apply" not in run.everything
    assert project.prompt() == TODAY
    assert run.journal[-1]["record"] == "result"


@pytest.mark.thorough
def test_ctrl_c_in_the_search_keeps_what_was_found(project: Project):
    def reflect(request: Body) -> Answer:
        if len(project.world.reflections) == 2:
            project.interrupt()
        return propose_one_rule(request)

    project.world.reflect = reflect
    run = project.optimize("--gepa-concurrency=3")
    assert_interrupted(project, run)
    (patch,) = run.patches
    assert patch.parent.name == "frontier"
    assert "NOT CONFIRMED" in patch.read_text(encoding="utf-8").partition("diff --git")[0]
    assert run.result["patch"] == str(patch.relative_to(project.root))
    project.commit()
    project.git("apply", "--check", str(patch))


def test_ctrl_c_while_cases_run_ends_them(project: Project):
    def task(request: Body) -> Answer:
        if len(project.world.task_requests) == 4:
            project.interrupt()
        return answer_by_rules(request)

    project.world.task = task
    run = project.optimize()
    assert_interrupted(project, run)
    assert run.patches == []
    assert run.reflections == []
    paid = [record for record in run.records("rollout") if record["charged"]]
    assert run.result["spent"]["rollouts"] == len(paid)  # every rollout that had come, and none that had not


@pytest.mark.thorough
def test_ctrl_c_in_the_confirm_run_leaves_the_winner_unconfirmed(project: Project):
    seen: set[str] = set()

    def task(request: Body) -> Answer:
        if (asked := told(request)) in seen:
            project.interrupt()  # nothing is asked twice before the confirm run
        seen.add(asked)
        return answer_by_rules(request)

    project.world.task = task
    run = project.optimize("--gepa-trials=1")
    assert_interrupted(project, run)
    assert "confirm run, fresh and paired" in run.out
    patch = project.root / run.result["patch"]
    assert "NOT CONFIRMED" in patch.read_text(encoding="utf-8").partition("diff --git")[0]
    assert all(rule(kind) in patch.read_text(encoding="utf-8") for kind in ("animal", "city", "tool"))


# Beside other plugins, and in trouble


@pytest.mark.thorough
def test_the_number_of_xdist_is_taken_as_concurrency_and_no_worker_is_started(project: Project):
    project.cases(cases_of(["fruit", "animal"]))
    run = project.pytest(
        "--gepa-optimize",
        "--gepa-reflection-model=reflector",
        "-n2",
        "--gepa-trials=1",
        env={"PYTEST_ADDOPTS": "-p no:asyncio -p no:hypothesispytest -p no:pytest_cov"},
    )
    assert run.code == 0, run.everything
    assert run.records("run")[0]["settings"]["concurrency"] == 2
    assert run.result["winner"]["passed"] == 6
    assert "3 failed, 3 passed" in run.out
    assert not re.search(r"\bgw\d|workers?\b", run.out.replace(str(project.root), ""))


@pytest.mark.thorough
def test_a_case_in_trouble_is_no_failure_of_the_prompt(project: Project):
    def task(request: Body) -> Answer:
        is_down = request["messages"][1]["content"] == "animal: two"
        return (500, {"error": {"message": "out of order"}}) if is_down else answer_by_rules(request)

    project.world.task = task
    project.cases(cases_of(["fruit", "animal"]))
    run = project.optimize("--gepa-trials=1")
    assert run.code == 0, run.everything
    result, name = run.result, "test_route.py::test_route[animal-two]"
    assert result["baseline"] == {"passed": 3, "total": 5, "score": 0.6}
    assert result["winner"] == {"passed": 5, "total": 5, "score": 1.0}
    assert name not in (*result["fixed"], *result["broken"])
    (trouble,) = result["trouble"]
    assert (trouble["case"], trouble["outcome"]) == (name, "error")
    assert not any(name in told(request) for request in run.reflections)
    run.matches("trial not counted * test_route.py::test_route?animal-two?: error: *")
    assert "3 failed, 3 passed" in run.out  # the user's own session tells what pytest saw
    # What the server refuses costs nothing, and is no rollout.
    answered = [one for one in run.task_requests if one["messages"][1]["content"] != "animal: two"]
    assert len(answered) == result["spent"]["rollouts"] < len(run.task_requests)


@pytest.mark.thorough
def test_cases_that_tell_nothing_about_a_prompt_are_run_but_not_searched_with(project: Project):
    project.cases(cases_of(["fruit", "animal"]))
    project.write({"test_others.py": OTHERS})
    run = project.optimize("--gepa-trials=1")
    assert run.code == 0, run.everything
    assert "4 failed, 3 passed, 1 skipped, 1 xfailed" in run.out
    # The sum is a failure without a model, which the winner does not mend; the others are no evidence.
    assert run.result["winner"] == {"passed": 6, "total": 7, "score": pytest.approx(6 / 7)}
    assert run.result["trouble"] == []
    assert failing_kinds(run.reflections[0]) == ["animal"]
    assert not any("test_others" in told(request) for request in run.reflections)
    assert len(run.task_requests) == run.result["spent"]["rollouts"]
