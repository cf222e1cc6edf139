"""What is run to save a baseline and to compare with one, and what is concluded, without processes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_gepa.check.baselines import baseline_text
from pytest_gepa.codec import from_json, to_json
from pytest_gepa.report.baseline_text import saving_plan
from pytest_gepa.report.check_formats import annotation_lines, code_quality
from pytest_gepa.report.check_markdown import render_check_markdown
from pytest_gepa.report.check_result import CheckResult
from pytest_gepa.report.check_terminal import check_lines
from pytest_gepa.suite.evaluate import Evaluation
from pytest_gepa.suite.rollout import Case, Rollout
from pytest_gepa.trace.redact import Redactor
from pytest_gepa.wording import for_log
from tests.baseline_world import PROMPT, SECRET, ModelWorld
from tests.check_world import tiers, world_settings
from tests.report.test_check_formats import SCHEMA, problems, read_command

STEADY = {f"steady{number}": 1.0 for number in range(9)}
SEEDS = [*range(2), *(pytest.param(seed, marks=pytest.mark.thorough) for seed in range(2, 5))]


# Saving


def test_every_case_is_tried_as_often_whatever_it_answers(tmp_path: Path) -> None:
    world = ModelWorld({"good": 1, "bad": 0, "flaky": 0.5})
    baseline, state = world.save(tmp_path)
    assert state.has_ended
    assert {name: case.trials for name, case in baseline.cases.items()} == {
        "good": 32,
        "bad": 32,
        "flaky": 32,
    }
    assert (baseline.cases["good"].passed, baseline.cases["bad"].passed) == (32, 0)
    assert 0 < baseline.cases["flaky"].passed < 32
    assert len(set(world.ran("good"))) == 32
    assert all(trial.startswith("then/baseline/") for trial in world.ran("good"))


def test_the_number_of_trials_is_the_one_that_was_asked_for(tmp_path: Path) -> None:
    baseline, _ = ModelWorld({"good": 1}).save(tmp_path, trials=5)
    assert baseline.cases["good"].scores == {1.0: 5}


def test_what_reaches_no_model_or_gives_no_evidence_is_not_saved(tmp_path: Path) -> None:
    world = ModelWorld({"good": 1, "plain": 1, "skipped": 1, "down": 1})
    baseline, state = world.save(tmp_path)
    assert list(baseline.cases) == ["good"]
    assert state.untouched == {"plain"}
    assert [len(world.ran(name)) for name in ("good", "plain", "skipped", "down")] == [32, 1, 1, 3]


def test_the_file_holds_counts_and_names_and_nothing_that_was_said(tmp_path: Path) -> None:
    baseline, _ = ModelWorld({"good": 1, "graded": 0.7, "secretive": 0}).save(tmp_path, trials=4)
    text = baseline_text(baseline)
    assert not [word for word in ("answer", "Be brief", "assert", "then/", SECRET) if word in text]
    assert '"name": "secretive[-]"' in text
    assert sorted(json.loads(text)) == ["cases", "format", "models", "prompts", "pytest_gepa", "saved"]
    assert baseline.models == ("small-model",)
    assert len(text.splitlines()) < 20


@pytest.mark.parametrize("pattern", [r"\d{6}", r"\d{4}-\d{2}-\d{2}", ".+"])
def test_a_pattern_of_the_users_loses_no_case(tmp_path: Path, pattern: str) -> None:
    world = ModelWorld({"order-123456": 1, "order-654321": 0, "day-2026-01-31": 1})
    baseline, _ = world.save(tmp_path, Redactor({}, [pattern]).redact, trials=8)

    assert set(baseline.cases) == set(world.rates)
    assert len(world.compare(tmp_path, baseline).cases) == 3


def test_a_budget_that_cannot_hold_the_first_trial_buys_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = ModelWorld({"plain0": 1, "plain1": 1, "plain2": 1, "first": 1, "second": 1})
    run = world.suite.run

    def charging(*args: Any, **options: Any) -> Evaluation:
        found = run(*args, **options)
        return Evaluation(found.rollouts, {case: one.charged for case, one in found.rollouts.items()})

    monkeypatch.setattr(world.suite, "run", charging)
    _, state = world.save(tmp_path, budget=4, trials=2)
    assert state.stopped == "the budget of 4 rollouts is used up"
    assert (len(world.ran("first")), world.ran("second")) == (1, [])


def test_a_budget_that_cannot_hold_the_sample_ends_it_after_one_trial(tmp_path: Path) -> None:
    world = ModelWorld({"good": 1, "bad": 0, "plain": 1, "skipped": 1})
    _, state = world.save(tmp_path, budget=50)
    assert not state.has_ended
    assert "the smallest that holds them is --gepa-budget 66, or" in state.stopped
    assert len(world.ran("good")) == 1
    assert world.save(tmp_path, budget=66)[1].has_ended
    assert not world.save(tmp_path, budget=65)[1].has_ended


# Comparing


@pytest.mark.parametrize("seed", SEEDS)
def test_a_model_that_got_worse_is_caught_and_named(seed: int, tmp_path: Path) -> None:
    world = ModelWorld({"slipped": 1.0, "halved": 1.0, **STEADY}, seed)
    baseline, _ = world.save(tmp_path)
    world.rates |= {"slipped": 0.0, "halved": 0.4}
    result = world.compare(tmp_path, baseline)
    assert (result.verdict, result.failed) == ("regressed", True)
    assert [case.case for case in result.in_tier("regressed")] == ["slipped", "halved"]
    assert result.reason == "2 cases proven worse than in the baseline nightly"
    assert result.command == "slipped halved"
    slipped = result.cases[0]
    assert (slipped.base.passed, slipped.base.trials, slipped.today.passed) == (32, 32, 0)
    assert (slipped.base.answer, slipped.today.answer) == ("", "answer 0")
    assert result.effect == pytest.approx((-1 + result.cases[1].today.score - 1) / 11)  # type: ignore[operator]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_model_that_stayed_the_same_passes(seed: int, tmp_path: Path) -> None:
    world = ModelWorld({**STEADY, "flaky": 0.5, "rare": 0.9, "bad": 0.0, "graded": 0.6}, seed)
    result = world.compare(tmp_path, world.save(tmp_path)[0])
    assert not result.failed
    assert {tiers(result)[name] for name in STEADY} == {"stable"}
    assert tiers(result)["bad"] == "failing"
    assert world.ran("steady0")[32:] == [f"now/baseline/{number}" for number in range(6)]


def test_scores_by_degrees_are_compared_as_they_are(tmp_path: Path) -> None:
    world = ModelWorld({"graded": 0.8})
    baseline, _ = world.save(tmp_path)
    assert len(baseline.cases["graded"].scores) > 5
    assert tiers(world.compare(tmp_path, baseline)) == {"graded": "stable"}
    world.rates["graded"] = 0.6  # still passes every time
    assert tiers(world.compare(tmp_path, baseline)) == {"graded": "regressed"}


@pytest.mark.parametrize("score", [2 / 3, 1 / 7])
def test_a_score_that_the_file_rounds_is_the_same_on_both_sides(tmp_path: Path, score: float) -> None:
    world = ModelWorld({f"exact{number}": score for number in range(8)})
    baseline, _ = world.save(tmp_path)
    assert baseline.cases["exact0"].scores == {round(score, 6): 32}
    result = world.compare(tmp_path, baseline, fail_on="score:0")
    assert (result.effect, result.p_value, result.failed) == (0.0, 1.0, False)
    world.rates = dict.fromkeys(world.rates, score - 0.05)
    assert world.compare(tmp_path, baseline, fail_on="score:0").failed


def test_an_improvement_is_told_and_does_not_gate(tmp_path: Path) -> None:
    world = ModelWorld({"mended": 0.0, **STEADY})
    baseline, _ = world.save(tmp_path)
    world.rates["mended"] = 1.0
    result = world.compare(tmp_path, baseline)
    assert (tiers(result)["mended"], result.failed) == ("improved", False)


def test_cases_that_came_went_or_were_edited_are_listed_and_not_run(tmp_path: Path) -> None:
    world = ModelWorld({"same": 1, "gone": 1, "edited": 1})
    baseline, _ = world.save(tmp_path)
    edited = replace(baseline.cases["edited"], digest="another")
    baseline = replace(baseline, cases={**baseline.cases, "edited": edited})
    world.rates = {"new": 0.0, "same": 1, "edited": 0.0}
    result = world.compare(tmp_path, baseline)
    assert tiers(result) == {"same": "stable"}
    assert result.baseline is not None
    assert (result.baseline.new, result.baseline.edited, result.baseline.gone) == (
        ("new",),
        ("edited",),
        ("gone",),
    )
    assert not world.ran("new")
    said = "\n".join(check_lines(result, "."))
    assert "not compared         1 case not in the baseline (new)" in said
    assert "1 case of the baseline that this session has not, or skips (gone)" in said
    assert "- 1 case compared; not compared: 1 new, 1 edited, 1 not run in this session" in render_check_markdown(
        result
    )


def test_a_case_with_another_threshold_is_edited_and_not_compared(tmp_path: Path) -> None:
    """The same answers, of which each threshold lets others pass: 32 of 32 then, none today."""
    world = ModelWorld({"exact": 0.7, "same": 1.0})
    for then, now in ((None, 0.8), (0.6, 0.8), (0.8, 0.6), (0.8, None)):
        world.thresholds = {"same": 0.5, **({} if then is None else {"exact": then})}
        baseline, _ = world.save(tmp_path)
        assert tiers(world.compare(tmp_path, baseline)).keys() == {"exact", "same"}
        world.thresholds = {"same": 0.5, **({} if now is None else {"exact": now})}
        result = world.compare(tmp_path, baseline)
        assert (tiers(result), result.failed) == ({"same": "stable"}, False)
        assert result.baseline is not None
        assert result.baseline.edited == ("exact",)
        assert "not compared: 1 edited" in render_check_markdown(result)


def test_prompts_that_changed_are_named_and_compared_all_the_same(tmp_path: Path) -> None:
    world = ModelWorld({"slipped": 1.0})
    baseline, _ = world.save(tmp_path)
    changed = ModelWorld({"slipped": 0.0}, text="Be long.")
    result = changed.compare(tmp_path, baseline)
    (change,) = result.changes
    assert (change.component, change.state, change.diff) == (PROMPT, "edited", "")
    assert result.cases[0].components == (PROMPT,)
    assert f"prompt               {PROMPT}: another text than when the baseline was saved" in check_lines(result, ".")
    assert f"- 1 prompt not as then: `{PROMPT}`" in render_check_markdown(result)
    _, place, _ = read_command(annotation_lines(result)[0])
    assert place["file"] == PROMPT


def test_a_budget_is_not_passed(tmp_path: Path) -> None:
    world = ModelWorld({"slipped": 0.0, **STEADY})
    baseline, _ = world.save(tmp_path)
    world.suite.asked.clear()
    result = world.compare(tmp_path, baseline, budget=25)
    assert sum(len(asked.cases) for asked in world.suite.asked) <= 25
    assert (result.verdict, result.stopped) == ("not finished", "the budget of 25 rollouts is used up")
    assert {*result.not_run} == {case.id for case in world.cases if not world.ran(case.id)}


def test_the_gates(tmp_path: Path) -> None:
    world = ModelWorld({"slipped": 1.0, **STEADY})
    baseline, _ = world.save(tmp_path)
    assert not world.compare(tmp_path, baseline, fail_on="suspect").failed
    world.rates["slipped"] = 0.0
    assert world.compare(tmp_path, baseline, fail_on="score:0.05").failed
    assert not world.compare(tmp_path, baseline, fail_on="score:0.2").failed
    assert not world.compare(tmp_path, baseline, fail_on="none").failed


def test_cases_that_share_answers_today_are_one_for_the_gate_of_the_score(tmp_path: Path) -> None:
    class Tied(ModelWorld):
        def rollout(self, candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
            run = super().rollout(candidate, texts, case, trial)
            calls = tuple(replace(call, key=f"one {trial}") for call in run.trajectory.calls)
            return replace(run, trajectory=replace(run.trajectory, calls=calls))

    for world_of, groups in ((ModelWorld, 0), (Tied, 1)):
        world = world_of({f"case{number}": 1.0 for number in range(8)})
        baseline, _ = world.save(tmp_path, trials=1)
        world.rates = dict.fromkeys(world.rates, 0.0)
        result = world.compare(tmp_path, baseline, fail_on="score:0.05", trials=1)
        assert (result.groups, result.failed) == (groups, not groups)


# What is written


@pytest.fixture
def worse(tmp_path: Path) -> CheckResult:
    world = ModelWorld({"slipped": 1.0, "other": 1.0, **STEADY})
    baseline, _ = world.save(tmp_path)
    world.rates |= {"slipped": 0.0, "other": 0.0}
    return world.compare(tmp_path, baseline)


def test_check_json_is_as_the_schema_says(worse: CheckResult) -> None:
    data = json.loads(json.dumps(to_json(worse)))
    assert problems(data, SCHEMA) == []
    assert from_json(CheckResult, data) == worse
    assert problems({**data, "baseline": {"saved": 1}}, SCHEMA) != []


def test_worse_cases_are_marked_at_their_tests_where_no_prompt_changed(worse: CheckResult) -> None:
    (line,) = annotation_lines(worse)
    level, place, message = read_command(line)
    assert (level, place["file"], place["line"]) == ("error", "tests/test_it.py", "7")
    assert place["title"] == "gepa: 2 cases regressed since the baseline nightly was saved"
    assert message.startswith("slipped passed 32/32 before, 0/")
    assert "before: " not in message
    findings = code_quality(worse)
    assert [finding["location"]["path"] for finding in findings] == ["tests/test_it.py"] * 2
    assert len({finding["fingerprint"] for finding in findings}) == 2
    assert annotation_lines(replace(worse, baseline=None)) == []


def test_the_reports_say_what_was_compared_with_what(worse: CheckResult) -> None:
    worse = replace(worse, models={"task": ("other-model",)})
    report = render_check_markdown(worse)
    assert "- Today compared with the baseline `nightly`, saved on `2026-01-31`\n" in report
    assert "- Models: `small-model` then, `other-model` today\n" in report
    assert "- Every prompt has the text that it had then\n" in report
    assert "Answer before" not in report
    assert "The answer today:\n\n```text\nanswer 0\n```" in report
    assert "What changed in the prompts" not in report
    said = check_lines(worse, ".")
    assert "models               small-model then, other-model today" in said
    assert "prompts              every one has the text that it had then" in said
    assert not [line for line in said if "prompts only" in line or "ancestor" in line]


def test_what_models_have_said_is_shown_as_text(worse: CheckResult) -> None:
    hostile = "</td>```\n##[stop]\n::error::x\x1b[2J @everyone"
    cases = tuple(replace(case, today=replace(case.today, answer=hostile)) for case in worse.cases)
    saved = replace(worse.baseline, models=(hostile,), gone=(hostile,), new=(hostile,))  # type: ignore[type-var]
    worse = replace(worse, cases=cases, baseline=saved)
    closing = [for_log(line) for line in check_lines(worse, ".")]
    for text in (render_check_markdown(worse), "".join(closing), *annotation_lines(worse)):
        assert "\x1b" not in text
    # A line that begins so, or holds the second of these anywhere, is a command to the runner of a workflow.
    lines = [line for said in closing for line in said.split("\n")]
    assert not [line for line in lines if line.lstrip().startswith("::") or "##[" in line]
    assert all("\n" not in line for line in annotation_lines(worse))


def test_the_plan_of_a_baseline_tells_trials_and_cap_as_they_are() -> None:
    settings = world_settings(mode="save-baseline", saved_baseline="nightly", max_cost=0.004)
    told = "\n".join(saving_plan(settings, [Case(name, name, trials=4) for name in "abc"], 12, {}))
    assert "at most 12, 4 a case" in told
    assert "$0.004" in told
