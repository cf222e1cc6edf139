"""Whole runs that save a baseline and compare with it, against a model in the test's own process."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from pytest_gepa.stash import settings_key
from tests.check_prompts import GOOD
from tests.fake_openai import Answer, Body
from tests.harness import ALONE, KEY, PROMPT, Project, Run, answer_by_rules, cases_of, new_project, no_request
from tests.test_check import result, tiers

FILE = ".gepa/baselines/nightly.json"


def passing(root: Path) -> Iterator[Project]:
    """Four cases, one of each kind, all of which pass under the prompt of today."""
    for project in new_project(root):
        project.write({PROMPT: GOOD})
        project.cases(cases_of(words=("one",)))
        yield project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    yield from passing(tmp_path / "project")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What a run leaves that has saved a baseline: one trial was run, and stands in the file 32 times."""
    for project in passing(tmp_path_factory.mktemp("saved") / "project"):
        assert project.pytest("--gepa-save-baseline=nightly", "--gepa-trials=1").code == 0
        edit(project, lambda case: {**case, "passed": 32, "scores": {"1": 32}, "trials": 32})
        yield project.root / ".gepa"


@pytest.fixture
def saved(project: Project, kept: Path) -> Project:
    """The same with that baseline."""
    shutil.copytree(kept, project.root / ".gepa")
    return project


def edit(project: Project, change: Any) -> None:
    path = project.root / FILE
    data = json.loads(path.read_text("ascii"))
    data["cases"] = {name: change(case) for name, case in data["cases"].items()}
    path.write_text(json.dumps(data, indent=1), "ascii")


def compare(project: Project, *args: str, **kwargs: Any) -> Run:
    return project.pytest("--gepa-baseline", "nightly", *args, **kwargs)


def without_cities(request: Body) -> Answer:
    """The model of another day: it has lost a mark, whatever the prompt says."""
    return "one-?" if request["messages"][1]["content"].startswith("city") else answer_by_rules(request)


def test_a_baseline_is_small_and_of_fresh_answers_and_changes_only_when_it_is_saved(project: Project) -> None:
    project.git("init", "-q")
    project.cases([*cases_of(words=("one",)), ("fruit", KEY)])
    run = project.pytest("--gepa-save-baseline", "nightly", "--gepa-trials=2")
    assert run.code == 0, run.everything
    assert len(run.task_requests) == 5 * 2
    run.matches("*5 passed*", "baseline*nightly: 5 cases, 2 trials each, 10 of 10 passed", "written*" + FILE)
    (command,) = re.findall(r"`(git add -f [^`]+)`", run.out)
    project.shell(command)
    assert project.git("diff", "--cached", "--name-only") == f"{FILE}\n"
    text = (project.root / FILE).read_text("ascii")
    assert len(text) < 1500
    assert len(re.findall(r"^  .*\[\w+-one\].*$", text, re.M)) == 4
    assert "test_route[fruit-[redacted]]" in text
    assert not [word for word in (KEY, "one-CIT", "The mark of", "assert", "127.0.0.1") if word in text]

    project.world.task = without_cities
    again = project.pytest("--gepa-save-baseline", "nightly", "--gepa-trials=2")
    assert again.code == 0, again.everything
    assert len(again.task_requests) == 5 * 2  # of which the cache had all
    again.matches("replaces*the one of *: 1 difference", "  test_route.py::test_route[[]city-one]: 2/2 -> 0/2")
    (gone, come) = (line for line in project.git("diff", "-U0").splitlines() if re.match(r"[-+] ", line))
    assert "city-one" in gone
    assert "city-one" in come


@pytest.mark.thorough
def test_a_model_that_stayed_the_same_passes_and_a_later_run_has_none_of_its_answers(saved: Project) -> None:
    run = compare(saved)
    assert run.code == 0, run.everything
    assert len(run.task_requests) == 4 * 6
    run.matches("verdict*no regression: none of 4 cases is proven worse than in the baseline nightly")
    saved.world.task = without_cities
    shutil.rmtree(saved.root / ".gepa/runs")  # so that the next run has the same name
    run = compare(saved)
    assert run.code == 1, run.everything
    assert len(run.task_requests) == 4 * 6


def test_a_model_that_changed_under_unchanged_prompts_is_caught_and_named(saved: Project) -> None:
    before = (saved.root / FILE).read_bytes()
    saved.world.task = without_cities
    run = compare(saved, "--junitxml=junit.xml", env={"GITHUB_ACTIONS": "true"})
    assert run.code == 1, run.everything
    assert "Traceback" not in run.everything
    assert len(run.task_requests) == 4 * 6
    assert tiers(run) == {"fruit": "stable", "animal": "stable", "city": "regressed", "tool": "stable"}
    run.matches(
        "test_route.py ..F.*",
        "REGRESSED test_route.py::test_route[[]city-one]",
        "nightly: 32/32 passed | today: 0/6 passed",
        "verdict*regressed: 1 case proven worse than in the baseline nightly - FAILED",
        "models*task then and today",
        "prompts*every one has the text that it had then",
        "pytest --gepa-optimize 'test_route.py::test_route[[]city-one]'",
    )
    (marked,) = (line for line in run.lines if line.startswith("::error "))
    assert "file=test_route.py,line=8," in marked
    assert "title=gepa%3A 1 case regressed since the baseline nightly was saved::test_route[city-one]" in marked
    assert "city-one" in (run.directory / "check.md").read_text(encoding="utf-8")
    (finding,) = json.loads((run.directory / "gl-code-quality.json").read_text(encoding="utf-8"))
    assert finding["location"]["path"] == "test_route.py"
    cases = ElementTree.parse(saved.root / "junit.xml").iter("testcase")
    told = [case.find("properties/property[@name='gepa_tier']") for case in cases]
    assert [tier.get("value") for tier in told if tier is not None].count("regressed") == 1
    assert (saved.root / FILE).read_bytes() == before


@pytest.mark.thorough
def test_what_has_changed_since_is_told_and_the_rest_is_compared(saved: Project) -> None:
    saved.write({PROMPT: GOOD + "Be polite.\n"})
    saved.cases([("fruit", "one"), ("fruit", "two"), ("animal", "one"), ("tool", "one")])
    run = compare(saved)
    assert run.code == 0, run.everything
    assert tiers(run) == {"fruit": "stable", "animal": "stable", "tool": "stable"}
    assert len(run.task_requests) == 3 * 6
    found = result(run)["baseline"]
    assert found["new"] == ["test_route.py::test_route[fruit-two]"]
    assert found["gone"] == ["test_route.py::test_route[city-one]"]
    run.matches(f"prompt*{PROMPT}: another text than when the baseline was saved")


def test_a_plan_spends_nothing(saved: Project) -> None:
    run = compare(saved, "--gepa-plan")
    assert run.code == 0, run.everything
    assert no_request(run)
    run.matches(
        "baseline*nightly, saved on *, models task",
        "prompts*all as then",
        "cases*4 compared",
        "rollouts*24 where nothing differs (6 a case), at most 128",
        "all of the budget*128 calls,*all asked anew",
        "nothing was run",
    )
    run = saved.pytest("--gepa-save-baseline=other", "--gepa-plan")
    assert run.code == 0, run.everything
    assert no_request(run)
    run.matches("baseline*other would be saved", "rollouts*at most 128, 32 a case*")
    assert not (saved.root / ".gepa/baselines/other.json").exists()


def test_what_cannot_be_compared_is_a_usage_error_before_anything_is_sent(project: Project) -> None:
    run = compare(project)
    assert (run.code, no_request(run)) == (4, True), run.everything
    assert "there is no baseline nightly: " in run.err
    assert "Save one with --gepa-save-baseline nightly" in run.err
    project.write({FILE: json.dumps({
        "format": 1, "saved": "2026-01-31", "pytest_gepa": "0.1.0", "models": [], "prompts": {}, "cases": {},
    })})  # fmt: skip
    run = compare(project)
    assert (run.code, no_request(run)) == (4, True), run.everything
    assert "none of the 4 cases of this session can be compared with the baseline" in run.err
    run = project.pytest("--gepa-save-baseline=nightly", "--gepa-replay=only")
    assert (run.code, no_request(run)) == (4, True), run.everything
    assert "a baseline is saved of fresh answers" in run.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--gepa-baseline", "../nightly"), "--gepa-baseline: '../nightly' is no name of a baseline"),
        (("--gepa-baseline", ""), "--gepa-baseline: '' is no name of a baseline"),
        (("--gepa-save-baseline", "tests/"), "--gepa-save-baseline: 'tests/' is no name of a baseline"),
        (("--gepa-baseline=a", "--gepa-save-baseline=b"), "--gepa-save-baseline and --gepa-baseline exclude"),
        (("--gepa-baseline=a", "--gepa-check"), "--gepa-baseline and --gepa-check exclude each other"),
        (("--gepa-baseline=a", "--gepa-optimize"), "--gepa-baseline and --gepa-optimize exclude each other"),
        (("--gepa-save-baseline=a", "--gepa-audit"), "--gepa-save-baseline and --gepa-audit exclude each other"),
        (("--gepa-baseline=a", "--gepa-fail-on=not-proven"), "expected one of regressed, suspect, none, score:X"),
        (("--gepa-plan", "--gepa-baseline=a", "--gepa-fail-on=score:2"), "expected one of regressed, suspect, none"),
        (("--gepa-save-baseline=a", "--gepa-fail-on=regressed"), "--gepa-save-baseline has no gate"),
    ],
)  # fmt: skip
def test_settings_that_do_not_go_together(pytester: pytest.Pytester, args: tuple[str, ...], said: str) -> None:
    with pytest.raises(pytest.UsageError, match=re.escape(said)):
        pytester.parseconfigure(*args, *ALONE.split())


def test_a_rule_and_a_replay_in_the_ini_file_are_those_of_a_comparison(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ngepa_fail_on = suspect\ngepa_trials = 16\n")
    settings = pytester.parseconfigure("--gepa-baseline", "nightly", "x.py", *ALONE.split()).stash[settings_key]
    assert (settings.mode, settings.baseline, settings.fail_on, settings.trials) == (
        "baseline",
        "nightly",
        "suspect",
        16,
    )
    settings = pytester.parseconfigure("--gepa-save-baseline=nightly", *ALONE.split()).stash[settings_key]
    assert (settings.mode, settings.saved_baseline, settings.fail_on) == ("save-baseline", "nightly", None)
    pytester.makeini("[pytest]\ngepa_baseline = nightly\n")
    with pytest.raises(pytest.UsageError, match=r"gepa_baseline \(tox.ini\) is a mode, not a setting"):
        pytester.parseconfigure("--gepa-baseline=nightly", *ALONE.split())


@pytest.mark.thorough
def test_a_baseline_that_did_not_come_to_its_end_is_not_saved(saved: Project) -> None:
    before = (saved.root / FILE).read_bytes()
    run = saved.pytest("--gepa-save-baseline=nightly", "--gepa-trials=4", "--gepa-budget=15")
    assert run.code == 1, run.everything
    assert len(run.task_requests) == 4
    run.matches("not saved*nightly: the trials do not fit the budget; the smallest*--gepa-budget 16, *as it was")
    assert (saved.root / FILE).read_bytes() == before


@pytest.mark.thorough
def test_an_interrupted_baseline_is_not_saved(saved: Project) -> None:
    def task(request: Body) -> Answer:
        if len(saved.world.task_requests) == 6:
            saved.interrupt()
        return answer_by_rules(request)

    before = (saved.root / FILE).read_bytes()
    saved.world.task = task
    run = saved.pytest("--gepa-save-baseline=nightly", "--gepa-concurrency=1")
    assert run.code == 2, run.everything
    run.matches("not saved*nightly: interrupted; what there was before is as it was")
    assert (saved.root / FILE).read_bytes() == before
    assert not saved.children()


@pytest.mark.thorough
def test_a_comparison_is_replayed_without_the_server(saved: Project) -> None:
    saved.world.task = without_cities
    first = compare(saved)
    again = compare(saved, "--gepa-replay=only")
    assert no_request(again), again.everything
    assert again.code == first.code == 1
    assert tiers(again) == tiers(first)
    assert result(again)["spent"]["rollouts"] == 0


@pytest.mark.thorough
def test_a_case_without_evidence_is_trouble_and_a_skipped_one_is_not_compared(saved: Project) -> None:
    saved.write(
        {
            "conftest.py": "import pytest\n\n@pytest.fixture(autouse=True)\ndef broken(request):\n"
            "    if 'city' in request.node.name:\n        raise OSError('no such service')\n"
            "    if 'tool' in request.node.name:\n        pytest.skip('not today')\n",
        }
    )
    run = compare(saved, "--gepa-trials=1", "--gepa-fail-on-trouble")
    assert run.code == 1, run.everything
    assert tiers(run) == {"fruit": "stable", "animal": "stable", "city": "trouble"}
    assert result(run)["baseline"]["gone"] == ["test_route.py::test_route[tool-one]"]
    skipping = "import pytest\n\n@pytest.fixture(autouse=True)\ndef live():\n    pytest.skip('not today')\n"
    saved.write({"conftest.py": skipping})
    run = compare(saved)
    assert run.code == 4, run.everything
    run.matches(
        "verdict*not finished: nothing was compared, as all cases that may use what has changed (4) are skipped*"
    )
