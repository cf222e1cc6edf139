"""Whole runs whose confirm run judges more than the winner."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.fake_openai import Answer, Body
from tests.harness import PROMPT, Project, edits, new_project

# A word of `a` is answered right under rule A, one of `b` under rule B, one of `c` under either.
TESTS = """\
import pytest

from app import route


@pytest.mark.parametrize("kind", {kinds})
def test_route(kind):
    assert route(kind, "word") == "right"
"""


def by_either_rule(request: Body) -> Answer:
    system, user = (message["content"] for message in request["messages"])
    rule = system.split("RULE ")[1].split()[0]
    return "right" if (user[0] == "c" and rule != "0") or user[0] == rule.lower() else "wrong"


def one_rule_then_the_other(request: Body) -> Answer:
    return edits("RULE B" if "RULE A" in str(request["messages"]) else "RULE A", kind="rewrite")


@pytest.fixture
def project(tmp_path: Path):
    for project in new_project(tmp_path / "project"):
        kinds = [f"{kind}{n}" for kind, number in (("a", 1), ("b", 4), ("c", 8)) for n in range(number)]
        project.write({"prompts/route.md": "RULE 0\n", "test_route.py": TESTS.format(kinds=kinds)})
        project.world.task = by_either_rule
        project.world.reflect = one_rule_then_the_other
        yield project


@pytest.mark.thorough
def test_others_of_the_frontier_are_confirmed_beside_the_winner(project: Project) -> None:
    project.write({"pytest.ini": "[pytest]\ngepa_confirm = 2\n"})
    run = project.optimize("--gepa-trials=1")
    assert run.code == 0, run.out
    assert (run.result["verdict"], run.result["winner"]["passed"]) == ("proven", 12)
    (entry,) = run.result["frontier"]
    assert entry["confirmed"]["verdict"] == "proven"
    assert entry["confirmed"]["winner"]["passed"] == 9
    (record,) = run.records("confirm")
    assert record["rivals"] == [entry["candidate"]]
    trials = Counter(record["candidate"] for record in run.records("rollout") if record["trial"].endswith("/confirm/0"))
    assert list(trials.values()) == [13, 13, 13]
    patch = (run.rootdir / entry["patch"]).read_text(encoding="utf-8")
    assert patch.startswith("gepa: frontier candidate, 0/13 -> 9/13 cases, proven better\n")
    assert run.best_patch.read_text("utf-8").startswith("gepa: 0/13 -> 12/13 cases, proven better\n")
    assert run.result["spent"]["rollouts"] <= run.records("run")[0]["budget"]["limit"]


@pytest.mark.thorough
def test_the_winner_is_confirmed_alone_unless_more_is_asked_for(project: Project) -> None:
    run = project.optimize("--gepa-trials=1")
    (entry,) = run.result["frontier"]
    assert entry["confirmed"] is None
    assert run.records("confirm")[0]["rivals"] == []


@pytest.mark.thorough
def test_where_answers_repeat_one_trial_is_enough(project: Project) -> None:
    run = project.optimize()
    assert run.result["trials"] == 1
    assert [record["trials"] for record in run.records("confirm")] == [1]


@pytest.mark.thorough
def test_a_first_trial_that_is_unlike_the_search_is_followed_by_the_others(project: Project) -> None:
    asked: Counter[str] = Counter()

    def unlike_in_its_second_run(request: Body) -> Answer:
        said = str([message["content"] for message in request["messages"]])
        asked[said] += 1
        is_off = "RULE B" in said and "c7" in said and asked[said] == 2
        return "wrong" if is_off else by_either_rule(request)

    project.world.task = unlike_in_its_second_run
    run = project.optimize()
    assert run.result["trials"] == 3
    assert [record["trials"] for record in run.records("confirm")] == [1, 3]
    confirmed = [record for record in run.records("rollout") if "/confirm/" in record["trial"]]
    assert len(confirmed) == len({(r["candidate"], r["case"], r["trial"]) for r in confirmed}) == 2 * 13 * 3
    assert run.result["effect"] == pytest.approx((12 - 1 / 3) / 13)
    (flaky,) = run.result["rates"]
    assert flaky["case"].endswith("[c7]")
    assert [(flaky[side]["trials"], flaky[side]["passed"]) for side in ("today", "winner")] == [
        (4, 0),
        (4, 3),
    ]
    run.matches("gepa: confirm run, * 1 trial a side", "gepa: confirm run, * 3 trials a side")


@pytest.mark.thorough
def test_the_plan_after_a_run_tells_what_its_cases_can_prove(project: Project) -> None:
    project.optimize()
    plan = project.pytest("--gepa-plan", "--gepa-reflection-model=m")
    plan.matches(
        "provable * from 6 cases better and none worse, at the least +*",
        "* proves +46 points (6 cases mended) in 80 % of runs or more (0 of 13 cases flaky as runs showed)",
    )
    # Under other prompts the cases fare otherwise; which prompt they use is known all the same.
    prompt = project.root / PROMPT
    prompt.write_text(prompt.read_text(encoding="utf-8") + "RULE Z\n", encoding="utf-8")
    edited = project.pytest("--gepa-plan", "--gepa-reflection-model=m")
    edited.matches("who reads what * showed", "* how flaky the cases are is unknown until the baseline")
    assert "flaky as runs showed" not in edited.out


ONE_ANSWER = """\
import pytest

from app import route


@pytest.fixture(scope="module")
def answer():
    return route("kind", "word")


@pytest.mark.parametrize("number", range(8))
def test_answer(answer, number):
    assert answer == "right"
"""


@pytest.mark.thorough
def test_tests_that_look_at_the_one_answer_of_a_fixture_prove_no_more_than_one(project: Project) -> None:
    project.write({"test_route.py": ONE_ANSWER})
    project.world.task = lambda request: "right" if "RULE A" in str(request["messages"]) else "wrong"
    run = project.optimize()
    assert run.code == 0, run.out
    found = run.result
    assert (found["verdict"], found["effect"], found["groups"], found["p_value"]) == (
        "not proven",
        1.0,
        1,
        1.0,
    )
    run.matches("* judged as 1 independent group of 8 cases, as some share answers")
    plan = project.pytest("--gepa-plan", "--gepa-reflection-model=m")
    plan.matches("provable * nothing: 1 independent group of 8 cases are too few for p < 0.05 (6 would do)")


KEPT_APP = """\
import hashlib

from app import PROMPT, route as ask


def route(kind, word):
    said = PROMPT.read_text(encoding="utf-8") + kind + word
    kept = {directory} / hashlib.sha256(said.encode()).hexdigest()
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(ask(kind, word), encoding="utf-8")
    return kept.read_text(encoding="utf-8")
"""


@pytest.mark.thorough
@pytest.mark.parametrize(("of_each_trial", "verdict"), [(False, "not confirmed"), (True, "proven")])
def test_an_application_that_keeps_answers_on_disk_needs_a_directory_for_each_trial(
    of_each_trial: bool, verdict: str, project: Project
) -> None:
    tests = (project.root / "test_route.py").read_text(encoding="utf-8").replace("from app", "from kept")
    disk = f"Path({str(project.root.parent / 'answers')!r})"
    if of_each_trial:
        disk += " / os.environ['GEPA_TRIAL']"
    app = "import os\nfrom pathlib import Path\n" + KEPT_APP.format(directory=disk)
    project.write({"kept.py": app, "test_route.py": tests})
    run = project.optimize()
    assert run.result["verdict"] == verdict, run.everything
    if not of_each_trial:
        assert "asked no model in the confirm run" in run.result["reason"]
