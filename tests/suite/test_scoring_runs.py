"""Whole runs on cases that are graded, weighed, divided, or that share what a fixture did."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.harness import PROMPT, TODAY, Project, rule, told

HEAD = """\
import pytest

from app import PROMPT, route

CASES = [(kind, word) for kind in ("fruit", "animal", "city", "tool") for word in ("one", "two", "three")]
every_case = pytest.mark.parametrize(("kind", "word"), CASES)

"""
GRADED = (
    HEAD
    + """
@every_case
def test_route(kind, word, gepa):
    answer = route(kind, word)
    right = answer == f"{word}-{kind[:3].upper()}"
    gepa.score(right, name="mark", feedback="" if right else f"{answer} has not the mark of a {kind}")
    gepa.score(answer.startswith(word), name="word")
"""
)
WEIGHED = (
    HEAD
    + """
@pytest.mark.parametrize(
    ("kind", "word"), [pytest.param(*case, marks=pytest.mark.gepa(weight=3)) for case in CASES[:3]] + CASES[3:]
)
def test_route(kind, word):
    assert route(kind, word) == f"{word}-{kind[:3].upper()}"
"""
)
DIVIDED = (
    HEAD
    + """
@every_case
def test_route(kind, word, subtests):
    answer = route(kind, word)
    with subtests.test("word"):
        assert answer.startswith(word)
    with subtests.test("mark"):
        assert answer.endswith(kind[:3].upper())
"""
)
MARKED = (
    HEAD
    + """
MARKS = {
    "fruit": pytest.mark.gepa(trials=3),
    "animal": pytest.mark.gepa(split="holdout"),
    "city": (),
    "tool": (),
}


@pytest.mark.parametrize(("kind", "word"), [pytest.param(*case, marks=MARKS[case[0]]) for case in CASES])
def test_route(kind, word):
    assert route(kind, word) == f"{word}-{kind[:3].upper()}"
"""
)
SHARED = (
    HEAD
    + """
@pytest.fixture(scope="session")
def answers():
    return {case: route(*case) for case in CASES}


@every_case
def test_route(kind, word, answers):
    assert answers[kind, word] == f"{word}-{kind[:3].upper()}"
"""
)
STRAY = (
    HEAD
    + """
FIRST = route("fruit", "import")


@every_case
def test_route(kind, word):
    assert route(kind, word) == f"{word}-{kind[:3].upper()}"
"""
)
IMPORTED = (
    HEAD
    + """
TEXT = PROMPT.read_text()


def test_the_prompt_names_no_city():
    assert "city" not in TEXT


def test_a_sum():
    assert 1 + 1 == 3


@every_case
def test_route(kind, word):
    assert route(kind, word) == f"{word}-{kind[:3].upper()}"
"""
)


@pytest.mark.thorough
def test_graded_cases_that_all_pass_are_made_better(project: Project) -> None:
    project.write({"test_route.py": GRADED})

    run = project.optimize()

    assert run.result["verdict"] == "proven", run.everything
    assert run.result["baseline"] == {"passed": 12, "total": 12, "score": 0.625}
    assert run.result["winner"] == {"passed": 12, "total": 12, "score": 1.0}
    assert run.result["effect"] == 0.375
    run.matches("*= 12 passed in *", "search cases * 12/12 (score 0.62) -> 12/12 (confirm run)", "*broke none")


@pytest.mark.thorough
def test_a_threshold_says_which_graded_cases_fail(project: Project) -> None:
    graded = GRADED.replace("@every_case", "@pytest.mark.gepa(threshold=0.8)\n@every_case")
    project.write({"test_route.py": graded})

    run = project.optimize()

    assert run.result["verdict"] == "proven", run.everything
    assert run.result["baseline"] == {"passed": 3, "total": 12, "score": 0.625}
    assert len(run.result["fixed"]) == 9
    run.matches("*= 9 failed, 3 passed in *", "search cases * 3/12 (score 0.62) -> 12/12 (confirm run)")
    evidence = told(run.reflections[0])
    assert "the score of 0.5 is below the threshold of 0.8" in evidence
    assert "mark 0 of 1: one-? has not the mark of a animal" in evidence
    assert "word 1 of 1" in evidence


def test_cases_above_their_threshold_are_left_alone(project: Project) -> None:
    graded = GRADED.replace("@every_case", "@pytest.mark.gepa(threshold=0.5)\n@every_case")
    project.write({"test_route.py": graded})

    run = project.optimize()

    assert (run.code, run.result["verdict"]) == (0, "nothing to do")
    assert run.reflections == []


@pytest.mark.thorough
def test_a_weight_counts_in_every_mean(project: Project) -> None:
    project.write({"test_route.py": WEIGHED})

    run = project.optimize()

    # Three cases of weight 3 pass today, nine of weight 1 fail.
    assert run.result["baseline"] == {"passed": 3, "total": 12, "score": 0.5}
    assert run.result["effect"] == 0.5
    (today,) = [record for record in run.records("decision") if record["kind"] == "baseline"]
    assert today["scores"] == [0.5]


@pytest.mark.thorough
def test_trials_and_split_are_those_of_the_marker(project: Project) -> None:
    project.write({"test_route.py": MARKED})

    run = project.optimize("--gepa-trials=2")

    confirmed = Counter(record["case"] for record in run.records("rollout") if "/confirm/" in record["trial"])
    searched = {record["case"] for record in run.records("rollout") if record["trial"] == "search/0"}
    fruit, animal, *others = (
        {f"test_route.py::test_route[{at}.{at}]" for at in range(3 * kind, 3 * kind + 3)} for kind in range(4)
    )
    assert searched == fruit.union(*others)
    assert {confirmed[case] for case in fruit} == {6}
    assert {confirmed[case] for case in animal.union(*others)} == {4}
    assert (run.result["baseline"]["total"], run.result["holdout"]["baseline"]["total"]) == (9, 3)


@pytest.mark.thorough
def test_subtests_count_as_partial_credit(project: Project) -> None:
    project.write({"test_route.py": DIVIDED})

    run = project.optimize()

    assert run.result["verdict"] == "proven", run.everything
    assert run.result["baseline"] == {"passed": 3, "total": 12, "score": 0.625}
    assert run.result["winner"] == {"passed": 12, "total": 12, "score": 1.0}
    assert "1 of 2 subtests passed; failed: [mark]" in told(run.reflections[0])


@pytest.mark.thorough
def test_a_prompt_that_only_a_shared_fixture_uses_is_improved(project: Project) -> None:
    project.write({"test_route.py": SHARED})

    run = project.optimize()

    assert run.result["winner"]["passed"] == 12, run.everything
    # All cases hang on the same answers, so that what has mended one has mended all, maybe by luck.
    assert (run.result["groups"], run.result["verdict"]) == (1, "not proven")
    evidence = told(run.reflections[0])
    assert "made once for several cases" in evidence
    first = run.records("rollout")[:12]
    assert {record["trial"] for record in first} == {"search/0"}
    assert [record["charged"] for record in first] == [True] + [False] * 11
    assert {len(record["trajectory"]["calls"]) for record in first} == {12}


@pytest.mark.thorough
def test_requests_of_no_case_are_kept_and_said(project: Project) -> None:
    project.write({"test_route.py": STRAY})

    run = project.optimize()

    (kept,) = run.records("stray")
    asked = {made["call"]["request"][1]["content"] for made in kept["calls"]}
    # Under each candidate the prompt is another one, and so is the request.
    assert asked == {"fruit: import"}
    assert run.result["stray"] == ["task: fruit: import"] * len(kept["calls"])
    run.matches(f"calls of no case * {len(kept['calls'])} requests at import, *; the first: task: fruit: import")
    assert "- `task: fruit: import`" in (run.directory / "report.md").read_text(encoding="utf-8")


@pytest.mark.thorough
def test_a_case_that_looks_at_a_prompt_read_at_import_is_run_again_and_is_no_evidence(
    project: Project,
) -> None:
    project.write({"test_route.py": IMPORTED})

    run = project.optimize()

    texts = {record["candidate"]["id"]: record["candidate"]["texts"] for record in run.records("evaluate")}
    seen = {
        (rule("city") in texts[found["candidate"]][PROMPT], found["outcome"])
        for found in run.records("rollout")
        if found["trial"].startswith("search/") and found["case"].endswith("::test_the_prompt_names_no_city")
    }
    assert seen == {(False, "passed"), (True, "failed")}
    assert run.result["broken"] == []
    assert TODAY in project.prompt()
    # A case without a call, that fails for a reason of its own, is shown to no reflection.
    assert not any("test_a_sum" in told(request) for request in run.reflections)
