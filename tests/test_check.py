"""Whole checks in small repositories: `pytest --gepa-check` against a model in the test's own process."""

from __future__ import annotations

import json
import random
import re
import shlex
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from _pytest.config import get_config

from pytest_gepa.suite.usage import CaseUsage, load_usage, save_usage
from tests.check_prompts import BAD, GOOD
from tests.fake_openai import Answer, Body
from tests.harness import (
    ALONE,
    APART,
    APP,
    KINDS,
    PROMPT,
    Project,
    Run,
    answer_by_rules,
    cases_of,
    new_project,
    no_request,
    rule,
)


@pytest.fixture
def project(tmp_path: Path):
    """Four cases, one of each kind, all of which pass under the committed prompt."""
    for project in new_project(tmp_path / "project"):
        project.write({PROMPT: GOOD, "test_route.py": ""})
        project.cases(cases_of(words=("one",)))
        project.commit()
        yield project


def check(project: Project, *args: str, **kwargs: Any) -> Run:
    given = () if any(arg.startswith("--gepa-check") for arg in args) else ("--gepa-check",)
    return project.pytest(*given, *args, **kwargs)


def result(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.directory / "check.json").read_text(encoding="utf-8"))
    return found


def tiers(run: Run) -> dict[str, str]:
    """The tier of each case by its kind."""
    return {re.findall(r"\[(\w+)-", case["case"])[0]: case["tier"] for case in result(run)["cases"]}


LOADED = """\
import sys

def pytest_unconfigure():
    print("loaded", *sorted(name for name in sys.modules if "." not in name or name.startswith("pytest_gepa.")))
"""
TELLING = """\
def pytest_gepa_run_finished(result, directory, mode):
    print(f"told of {mode}: {result['verdict']} in {directory}")
"""
NEEDLESS = {"rich", "jinja2", "openai", "diskcache", "genai_prices", "sqlite3", "asyncio", "yaml", "tomlkit"}
NEEDLESS |= {
    f"pytest_gepa.{name}"
    for name in ("check.check", "front.check_run", "optimize.optimization", "suite.evaluate", "run.answers")
}


def test_unchanged_prompts_cost_nothing(project: Project) -> None:
    project.write({"conftest.py": LOADED + TELLING})
    run = check(project, python=APART)
    assert run.code == 0, run.everything
    assert no_request(run)
    run.matches("verdict*nothing changed: every prompt has the text that it had at *")
    assert result(run)["verdict"] == "nothing changed"
    assert f"told of check: nothing changed in {run.directory}" in run.out
    # Neither time: what only a comparison needs is not even imported.
    (loaded,) = (set(line.split()[1:]) for line in run.lines if line.startswith("loaded "))
    assert "pytest_gepa.front.check" in loaded
    assert not NEEDLESS & loaded


def test_a_bad_edit_is_caught_named_and_repaired_by_the_printed_command(project: Project) -> None:
    project.write({PROMPT: BAD, "conftest.py": TELLING})
    run = check(project, "--junitxml=junit.xml", env={"GITHUB_ACTIONS": "true"})
    assert run.code == 1, run.everything
    assert "Traceback" not in run.everything
    assert f"told of check: regressed in {run.directory}" in run.out
    assert tiers(run) == {"fruit": "stable", "animal": "stable", "city": "regressed", "tool": "stable"}
    run.matches(
        "test_route.py ..F.*",
        "REGRESSED test_route.py::test_route[[]city-one]",
        "*: 8/8 passed *| today: 0/8 passed",
        "one-CIT *| one-?",
        "E   *AssertionError: assert 'one-?' == 'one-CIT'",
        "-- The mark of a city is CIT.",
        "+- Be brief.",
        "verdict*regressed: 1 case proven worse than under the prompts of *FAILED",
    )
    (change,) = result(run)["changes"]
    assert (change["path"], change["state"], change["lines"]) == (PROMPT, "edited", [4])
    assert any(line.startswith(f"::error file={PROMPT},line=4,") for line in run.lines)
    assert "city-one" in (run.directory / "check.md").read_text(encoding="utf-8")
    assert json.loads((run.directory / "gl-code-quality.json").read_text(encoding="utf-8"))
    cases = ElementTree.parse(project.root / "junit.xml").iter("testcase")
    found = {case.get("name"): case.find("properties/property[@name='gepa_tier']") for case in cases}
    told = {name: tier.get("value") for name, tier in found.items() if tier is not None}
    assert told["test_route[city-one]"] == "regressed"
    assert list(told.values()).count("stable") == 3
    # Six clean trials a side for each of the others, eight for the one that broke.
    assert len(run.task_requests) == 3 * 12 + 16

    command = result(run)["command"]
    assert run.lines[run.lines.index(command)] == command
    words = shlex.split(command)
    assert words[-1] == "test_route.py::test_route[city-one]"
    assert words[0] == "pytest"
    repair = project.pytest(*words[1:], "--gepa-reflection-model=reflector")
    assert repair.code == 0, repair.everything
    assert not repair.reflections  # the base's own text does it
    assert repair.result["winner"]["passed"] == 1
    patch = next(path for path in repair.patches)
    assert "+- The mark of a city is CIT." in patch.read_text(encoding="utf-8")


def flip_coins(project: Project, seed: int) -> None:
    """Whether the case `fruit: flaky` passes is drawn anew each time, with the same chance under every prompt."""
    asked: Counter[str] = Counter()

    def task(request: Body) -> Answer:
        system, user = (message["content"] for message in request["messages"])
        if user != "fruit: flaky":
            return answer_by_rules(request)
        asked[system] += 1
        return "flaky-FRU" if random.Random(f"{seed} {system} {asked[system]}").random() < 0.5 else "no"

    project.world.task = task


def example_repository(project: Project) -> None:
    """Under the committed prompt one case fails that knows no animals, one no tools, and one is flaky."""
    project.write({PROMPT: "".join(f"- {rule(kind)}\n" for kind in ("fruit", "city"))})
    project.cases([*cases_of(words=("one",)), ("fruit", "flaky")])
    project.git("commit", "-q", "-a", "-m", "the example")


def by_case(run: Run) -> dict[str, str]:
    return {case["case"].partition("[")[2][:-1]: case["tier"] for case in result(run)["cases"]}


@pytest.mark.thorough
def test_the_example_repository_is_judged_as_it_should_be(project: Project) -> None:
    """As in `tests/test_check_story.py` and `benchmarks/check/example.py`, by way of git, pytest and a server."""
    example_repository(project)
    flip_coins(project, seed=1)
    project.write({PROMPT: "".join(f"- {rule(kind)}\n" for kind in ("fruit", "animal", "tool"))})
    run = check(project, "--gepa-check=HEAD", "--gepa-trials=8")
    assert run.code == 1, run.everything
    assert by_case(run) == {
        "fruit-one": "stable",
        "animal-one": "improved",
        "city-one": "regressed",
        "tool-one": "improved",
        "fruit-flaky": "flaky",
    }
    run.matches("verdict *regressed: 1 case proven worse than under the prompts of *FAILED")


@pytest.mark.thorough
def test_a_harmless_rewording_of_the_example_repository_passes(project: Project) -> None:
    example_repository(project)
    flip_coins(project, seed=2)
    project.write({PROMPT: "The marks:\n" + "".join(f"- {rule(kind)}\n" for kind in ("city", "fruit"))})
    run = check(project, "--gepa-check=HEAD")
    assert run.code == 0, run.everything
    assert by_case(run) == {
        "fruit-one": "stable",
        "animal-one": "failing",
        "city-one": "stable",
        "tool-one": "failing",
        "fruit-flaky": "flaky",
    }


@pytest.mark.thorough
def test_trials_are_never_answered_from_another_runs_cache(project: Project) -> None:
    project.write({PROMPT: GOOD + "Be polite.\n"})
    first = check(project)
    assert first.code == 0, first.everything
    assert set(tiers(first).values()) == {"stable"}
    shutil.rmtree(project.root / ".gepa/runs")  # so that the next run has the same name
    again = check(project)
    assert len(again.task_requests) == len(first.task_requests) == 4 * 12
    assert result(again)["spent"]["rollouts"] == 48


@pytest.mark.thorough
def test_a_check_is_replayed_without_the_server(project: Project) -> None:
    project.write({PROMPT: BAD})
    first = check(project, "--gepa-trials=2")
    again = check(project, "--gepa-trials=2", "--gepa-replay=only")
    assert no_request(again), again.everything
    assert tiers(again) == tiers(first)
    assert (result(again)["spent"]["rollouts"], result(again)["spent"]["cached"]) == (0, 16)
    again.matches("gepa: replaying *; nothing is sent")


def two_prompts(project: Project) -> None:
    """Cases of tools go by another prompt than the others; the map is not known yet."""
    app = (project.root / "app.py").read_text(encoding="utf-8")
    head = "def route(kind, word):\n"
    chosen = """'tool.md' if kind == 'tool' else 'route.md'"""
    app = app.replace(head, f"{head}    PROMPT = Path(__file__).parent / 'prompts' / ({chosen})\n")
    project.write({"app.py": app, "prompts/tool.md": f"{rule('tool')}\n", PROMPT: without_tool(GOOD)})


def without_tool(text: str) -> str:
    return text.replace(f"- {rule('tool')}\n", "")


@pytest.mark.thorough
def test_cases_that_use_no_changed_prompt_are_left_alone(project: Project) -> None:
    two_prompts(project)
    project.git("add", "-A")
    project.git("commit", "-q", "-m", "two")
    project.write({"prompts/tool.md": f"{rule('tool')}\nBe polite.\n"})
    # One counted trial of every case finds out; it is trial 0 of today's side.
    run = check(project, "--gepa-check=HEAD")
    assert run.code == 0, run.everything
    assert len(run.task_requests) == 3 + 12
    assert tiers(run) == {"tool": "stable"}
    assert result(run)["untouched"] == 3
    run.matches("*4 passed*", "untouched*3 cases*")
    again = check(project)
    assert len(again.task_requests) == 12
    again.matches("*1 passed*", "untouched*3 cases*")


@pytest.mark.thorough
def test_a_case_that_sends_one_section_of_a_file_which_another_sends_whole_is_compared(
    project: Project,
) -> None:
    app = (project.root / "app.py").read_text(encoding="utf-8")
    head = "def route(kind, word):\n"
    part = "next(line for line in TEXT.splitlines() if kind in line) if kind != 'tool' else TEXT"
    app = app.replace(head, f"TEXT = PROMPT.read_text(encoding='utf-8')\n\n\n{head}    text = {part}\n")
    app = app.replace('"content": PROMPT.read_text(encoding="utf-8")', '"content": text')
    project.write({"app.py": app})
    project.git("add", "-A")
    project.git("commit", "-q", "-m", "sections")
    project.write({PROMPT: GOOD.replace(rule("city"), "The mark of a city is left out.")})
    run = check(project, "--gepa-check=HEAD")
    assert tiers(run)["city"] == "regressed", run.everything
    assert run.code == 1
    again = check(project, "--gepa-check=HEAD")
    assert (again.code, tiers(again)) == (1, tiers(run)), again.everything


UNLESS_NAMED = """\
import pytest


def pytest_configure(config):
    config.addinivalue_line("markers", "live: asks a model")
    config.is_live = "live" in config.getoption("-m")


def pytest_collection_modifyitems(config, items):
    for item in items:
        item.add_marker(pytest.mark.live)
        if not config.is_live:
            item.add_marker(pytest.mark.skip(reason="-m live runs it"))
"""


@pytest.mark.thorough
def test_cases_that_run_only_when_named_are_compared_when_they_are(project: Project) -> None:
    project.write({PROMPT: BAD, "conftest.py": UNLESS_NAMED})
    run = check(project, "-m", "live")
    assert run.code == 1, run.everything
    assert tiers(run)["city"] == "regressed"


@pytest.mark.thorough
def test_flaky_suspect_failing_and_improved_cases_do_not_gate_unless_asked(project: Project) -> None:
    seen: dict[str, int] = {}

    def flaky(request: Body) -> Answer:
        system, user = (message["content"] for message in request["messages"])
        kind = user.split(": ")[0]
        side = "today" if "New." in system else "base"
        seen[f"{side} {kind}"] = number = seen.get(f"{side} {kind}", 0) + 1
        fails = {
            "fruit": number % 2 == 0,
            "animal": side == "today" and number % 2 == 0,
            "city": True,
            "tool": side == "base",
        }[kind]
        return "wrong" if fails else answer_by_rules(request)

    project.world.task = flaky
    project.write({PROMPT: GOOD + "New.\n"})
    run = check(project, "--gepa-trials=8")
    assert tiers(run) == {"fruit": "flaky", "animal": "suspect", "city": "failing", "tool": "improved"}
    assert run.code == 0, run.everything
    seen.clear()
    strict = check(project, "--gepa-trials=8", "--gepa-fail-on=suspect")
    assert strict.code == 1
    assert result(strict)["verdict"] == "suspect"


@pytest.mark.thorough
def test_trouble_is_no_regression(project: Project) -> None:
    project.write(
        {
            PROMPT: GOOD + "New.\n",
            "conftest.py": "import pytest\n\n@pytest.fixture(autouse=True)\ndef broken(request):\n"
            "    if 'city' in request.node.name:\n        raise OSError('no such service')\n",
        }
    )
    run = check(project, "--gepa-trials=1", "--gepa-fail-on-trouble")
    assert run.code == 1, run.everything
    assert result(run)["verdict"] == "no regression"
    (trouble,) = result(run)["trouble"]
    assert trouble["case"] == "test_route.py::test_route[city-one]"
    run.matches("trial not counted*city-one]: error: *no such service*")
    assert check(project, "--gepa-trials=1").code == 0


@pytest.mark.thorough
def test_a_check_without_a_key_fails_and_says_why(project: Project) -> None:
    project.write({PROMPT: BAD, "conftest.py": "import os\n\nos.environ.pop('OPENAI_API_KEY', None)\n"})
    run = check(project)
    assert run.code == 4, run.everything
    assert no_request(run)
    assert (result(run)["verdict"], result(run)["failed"]) == ("not finished", True)
    run.matches(
        "verdict*not finished: nothing was compared, as 4 cases ended in trouble; the first: KeyError: *_KEY*",
        "gate*nothing was compared",
    )
    assert check(project, "--gepa-fail-on=none").code == 0
    assert check(project, "--gepa-fail-on-trouble").code == 1


@pytest.mark.thorough
def test_a_budget_ends_the_check(project: Project) -> None:
    project.write({PROMPT: BAD})
    run = check(project, "--gepa-budget=10")
    assert run.code == 0, run.everything
    assert len(run.task_requests) <= 10
    assert result(run)["verdict"] == "not finished"
    run.matches("verdict*not finished: the budget of 10 rollouts is used up*")


def test_a_file_that_cannot_be_collected_is_no_pass(project: Project) -> None:
    project.write({"test_broken.py": "import nothing_of_this_name\n"})
    run = check(project, "--continue-on-collection-errors")
    assert run.code == 1, run.everything
    assert result(run)["verdict"] == "nothing changed"


SKIPPING = """\
import pytest

@pytest.fixture(autouse=True)
def live(request):
    if any(kind in request.node.name for kind in {kinds}):
        pytest.skip("asks a model")
"""


def test_a_check_in_which_every_case_was_skipped_is_no_pass(project: Project) -> None:
    project.write({PROMPT: BAD, "conftest.py": SKIPPING.format(kinds=KINDS)})
    run = check(project)
    assert run.code == 4, run.everything
    run.matches(
        "verdict*not finished: nothing was compared, as all cases that may use what has changed (4) are skipped*"
    )
    assert result(run)["failed"]
    assert check(project, "--gepa-fail-on=none").code == 0


@pytest.mark.thorough
def test_where_only_cases_are_skipped_that_do_not_use_what_changed_nothing_is_amiss(project: Project) -> None:
    project.write({"prompts/other.md": "Nobody reads this.\n"})
    project.commit()
    project.write({"prompts/other.md": "Nobody.\n", "conftest.py": SKIPPING.format(kinds=["city"])})
    run = check(project)
    assert (run.code, result(run)["verdict"]) == (0, "no regression"), run.everything
    assert "no case uses a prompt that has changed" in run.out


@pytest.mark.parametrize("way", [pytest.param("interrupt", marks=pytest.mark.thorough), "terminate"])
def test_a_check_that_is_ended_keeps_what_it_found(project: Project, tmp_path: Path, way: str) -> None:
    temp = tmp_path / "temp"
    temp.mkdir()

    def task(request: Body) -> Answer:
        if len(project.world.task_requests) == 20:
            getattr(project, way)()
        return answer_by_rules(request)

    project.world.task = task
    project.write({PROMPT: BAD})
    run = check(project, "--gepa-concurrency=1", env={"TMPDIR": str(temp)})
    assert run.code == 2, run.everything
    assert result(run)["verdict"] == "not finished"
    assert result(run)["cases"]
    assert (project.root / ".gepa/usage.json").is_file()
    run.matches("*= gepa =*", "verdict *not finished: the check was interrupted*")
    assert not list(temp.glob("gepa-*"))
    assert not project.children()


FULL_DISK = """\
import os
import sqlite3

if "GEPA_TRIAL" in os.environ:
    import diskcache

    usual = diskcache.Cache.set

    def refuse(self, *args, **options):
        if "runs" in self.directory or "gepa-" in self.directory:
            raise sqlite3.OperationalError("database or disk is full")
        return usual(self, *args, **options)

    diskcache.Cache.set = refuse
"""


@pytest.mark.thorough
def test_answers_that_cannot_be_stored_are_told_and_leave_no_recording(project: Project) -> None:
    project.write({PROMPT: BAD, "conftest.py": FULL_DISK})
    run = check(project, "--gepa-trials=1")
    assert run.code == 0, run.everything
    full = "OperationalError: database or disk is full"
    assert result(run)["problems"] == [
        f"this run has left no recording, as answers could not be stored: {full}",
        f"answers are not recorded, nor found in the recording: {full}",
    ]
    run.matches("trouble in recording*no recording*", "trouble in recording*not recorded*disk is full")
    assert not (run.directory / "recording").exists()


@pytest.mark.thorough
def test_new_prompts_are_listed_and_not_gated(project: Project) -> None:
    two_prompts(project)
    project.write({PROMPT: without_tool(BAD)})
    run = check(project, "--gepa-trials=2")
    assert run.code == 0, run.everything
    assert result(run)["on_new_prompts"] == ["test_route.py::test_route[tool-one]"]
    assert {change["component"]: change["state"] for change in result(run)["changes"]} == {
        PROMPT: "edited",
        "prompts/tool.md": "added",
    }
    alone = check(project, "--gepa-trials=2", "-k", "tool")
    assert alone.code == 0, alone.everything
    alone.matches("verdict*: 1 case that may use what has changed cannot run at *: nothing was compared")


def test_what_was_seen_of_another_program_leaves_no_case_out(project: Project) -> None:
    state, city = project.root / ".gepa", "test_route.py::test_route[2.2]"
    every = [f"test_route.py::test_route[{at}.{at}]" for at in range(4)]
    known = {case: CaseUsage({PROMPT: 1}, program="as it was") for case in every}
    state.mkdir()
    save_usage(state, known | {city: CaseUsage({"prompts/other.md": 1}, program="as it was")})
    project.write({PROMPT: BAD})
    assert "city" in tiers(check(project, "--gepa-trials=1"))

    learned = load_usage(state)
    (program,) = {one.program for one in learned.values()}
    assert program not in ("", "as it was")
    save_usage(state, {city: replace(learned[city], components={}, reads=(), prompts="others")})
    assert "city" not in tiers(check(project, "--gepa-trials=1"))


@pytest.mark.thorough
def test_a_deleted_prompt_is_told_with_the_cases_that_used_it(project: Project) -> None:
    two_prompts(project)
    project.git("add", "-A")
    project.git("commit", "-q", "-m", "two")
    (project.root / "prompts/tool.md").unlink()
    project.write({"app.py": APP, PROMPT: GOOD})  # the other prompt has what it said
    used = CaseUsage({"prompts/tool.md": 1}, digest="another source")
    tool, gone = "test_route.py::test_route[3.3]", "test_route.py::test_tool_alone"
    (project.root / ".gepa").mkdir()
    save_usage(
        project.root / ".gepa",
        {tool: used, gone: used, "test_route.py::test_route[0.0]": CaseUsage({PROMPT: 1})},
    )
    run = check(project, "--gepa-check=HEAD", "--gepa-trials=1")
    assert run.code == 0, run.everything
    assert result(run)["on_deleted_prompts"] == ["test_route.py::test_route[tool-one]"]
    assert result(run)["not_collected"] == [gone]
    run.matches(
        "deleted prompt *1 case that used one before: not compared in this, *(test_route.py::test_route[[]tool-one])",
        f"deleted prompt *1 case that used one before, and not among the cases of today ({gone})",
        "prompt *prompts/tool.md: deleted; the code of today runs without it on both sides",
    )

    # Alone it leaves nothing to run, and is told all the same.
    project.git("commit", "-q", "-a", "-m", "one")
    project.git("checkout", "-q", "HEAD~1", "--", PROMPT)
    alone = check(project, "--gepa-check=HEAD~1")
    assert alone.code == 0, alone.everything
    assert no_request(alone)
    assert result(alone)["not_collected"] == [gone]


@pytest.mark.thorough
def test_a_renamed_prompt_is_compared_with_what_it_was(project: Project) -> None:
    (project.root / PROMPT).rename(project.root / "prompts/desk.md")
    project.write({"prompts/desk.md": BAD, "app.py": APP.replace("route.md", "desk.md")})
    run = check(project, "--gepa-trials=6")
    assert run.code == 1, run.everything
    assert tiers(run)["city"] == "regressed"
    (change,) = result(run)["changes"]
    assert (change["component"], change["state"], change["before"]) == ("prompts/desk.md", "renamed", PROMPT)


def test_no_base_is_a_usage_error(project: Project) -> None:
    run = check(project, "--gepa-check=nowhere")
    assert run.code == 4
    assert "git knows no commit nowhere here; name one with --gepa-check=REV" in run.err
    shutil.rmtree(project.root / ".git")
    project.root.joinpath("test_route.py").touch()
    assert "in no git repository" in check(project).err


@pytest.mark.parametrize(
    ("args", "revision", "paths"),
    [
        (("--gepa-check", "tests"), "", ["tests"]),
        (("--gepa-check=main~1", "tests"), "main~1", ["tests"]),
        (("tests", "--gepa-check"), "", ["tests"]),
    ],
)
def test_the_revision_stands_behind_an_equals_sign_only(
    args: tuple[str, ...], revision: str, paths: list[str], tmp_path: Path
) -> None:
    (tmp_path / "tests").mkdir()
    words = [*args, f"--rootdir={tmp_path}", "-c", "/dev/null"]
    config = get_config(words)
    config.parse(words)
    assert config.getoption("gepa_check") == revision
    assert config.getoption("file_or_dir") == paths


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--gepa-fail-on=not-proven",), "is not valid; expected one of regressed, suspect, none, score:X"),
        (("--gepa-fail-on=score:2",), "is not valid; expected one of regressed"),
        (("--gepa-plan",), "--gepa-plan and --gepa-check exclude each other"),
    ],
)
def test_settings_that_do_not_go_with_a_check(pytester: pytest.Pytester, args: tuple[str, ...], said: str) -> None:
    with pytest.raises(pytest.UsageError, match=re.escape(said)):
        pytester.parseconfigure("--gepa-check", *args, *ALONE.split())


def test_a_rule_of_the_ini_file_that_cannot_be_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ngepa_fail_on = score:2\n")
    said = "'score:2' is not valid; expected one of regressed, suspect, none, score:X"
    with pytest.raises(pytest.UsageError, match=re.escape(said)):
        pytester.parseconfigure("--gepa-check", *ALONE.split())
