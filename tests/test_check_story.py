"""What a check runs and what it concludes, without processes (`check_world`)."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_gepa.check import rounds
from pytest_gepa.front.check_run import known_by_these_names
from pytest_gepa.prompts.components import Component
from pytest_gepa.report.check_formats import annotation_lines, code_quality
from pytest_gepa.report.check_markdown import render_check_markdown
from pytest_gepa.report.check_terminal import check_lines
from pytest_gepa.run.journal import read_journal
from pytest_gepa.run.shared_budget import SharedBudget
from pytest_gepa.suite.evaluate import Evaluation
from pytest_gepa.suite.rollout import Outcome, Rollout
from pytest_gepa.suite.usage import CaseUsage
from pytest_gepa.trace.trajectory import Message, Trajectory
from tests.check_world import EDITED, OTHER, World, example_world, harmless_world
from tests.fake_suite import interrupt_twice

SEEDS = [*range(3), *(pytest.param(seed, marks=pytest.mark.thorough) for seed in range(3, 10))]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_example_suite_is_judged_as_it_should_be(seed: int, tmp_path: Path) -> None:
    result = example_world(seed).check(tmp_path)
    tiers = {check.case: check.tier for check in result.cases}
    assert result.failed
    assert result.verdict == "regressed"
    assert [case for case, tier in tiers.items() if tier == "regressed"] == ["broken"]
    assert [case for case, tier in tiers.items() if tier == "improved"] == ["helped0", "helped1"]
    assert tiers.pop("flaky") in ("flaky", "suspect", "failing")
    assert sum(tier == "stable" for tier in tiers.values()) == 13
    assert result.untouched == 3
    assert result.command == "broken"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_harmless_rewording_passes(seed: int, tmp_path: Path) -> None:
    result = harmless_world(seed).check(tmp_path)
    assert not result.failed
    assert result.verdict in ("no regression", "suspect")  # the flaky cases may seem worse, by chance


def test_both_answers_are_shown_as_they_tell_the_tier_apart(tmp_path: Path) -> None:
    result = example_world(0).check(tmp_path)
    broken = result.in_tier("regressed")[0]
    assert (broken.base.answer, broken.today.answer) == ("yes", "no")
    assert (broken.base.failure, broken.today.failure) == ("", "assert 'no' == 'yes'")
    assert (broken.base.passed, broken.today.passed, broken.today.trials) == (8, 0, 8)
    helped = result.in_tier("improved")[0]
    assert (helped.base.answer, helped.today.answer) == ("no", "yes")


def test_cases_that_are_known_to_be_untouched_are_not_run(tmp_path: Path) -> None:
    world = example_world(0)
    known = {case: CaseUsage({EDITED if case in world.rates else OTHER: 1}) for case in world.names}
    result = world.check(tmp_path, known)
    assert result.untouched == 3
    assert not [case for _, case, _ in world.ran if case.startswith("other")]


def test_a_map_that_has_never_seen_the_changed_prompt_is_not_believed(tmp_path: Path) -> None:
    world = World({"broken": (1, 0)})
    result = world.check(tmp_path, {"broken": CaseUsage({OTHER: 1})})
    assert result.failed


def test_both_sides_have_the_same_trials_and_none_is_run_twice(tmp_path: Path) -> None:
    world = example_world(1)
    world.check(tmp_path)
    ran = world.ran
    assert len(set(ran)) == len(ran)
    compared = {(case, trial) for _, case, trial in ran if case in world.rates}
    assert {(side, *one) for one in compared for side in ("base", "today")} <= set(ran)
    assert all(trial.startswith("run/check/") for _, _, trial in ran)


def test_the_budget_is_not_passed(tmp_path: Path) -> None:
    for budget in (1, 15, 40, 100):
        world = example_world(2)
        result = world.check(tmp_path, budget=budget)
        assert len(world.ran) <= budget
        assert result.stopped == f"the budget of {budget} rollouts is used up"
        assert result.verdict in ("not finished", "regressed")


def test_the_cases_that_a_check_has_not_come_to_are_told(tmp_path: Path) -> None:
    world = World({f"c{number}": (1, 1) for number in range(9)}, others=3)
    found = world.check(tmp_path, budget=14)
    ran = {side: {case for one, case, _ in world.ran if one == side} for side in ("base", "today")}
    assert ran["base"] < {*world.rates}
    assert [*found.not_run] == [case for case in world.rates if case not in ran["base"] & ran["today"]]
    assert world.check(tmp_path).not_run == ()


def test_a_check_that_never_came_to_a_case_does_not_say_that_it_was_run(tmp_path: Path) -> None:
    world = World({f"c{number}": (1, 1) for number in range(9)})
    found = world.check(tmp_path, budget=4)
    assert [*found.not_run] == [*world.rates]
    assert "- 0 cases run under both" in render_check_markdown(found)
    for told in (render_check_markdown(found), "\n".join(check_lines(found, "dir"))):
        assert "9 cases not run on both sides, as the check had to end" in told


def test_a_retry_that_takes_what_was_left_a_moment_ago_does_not_break_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    budgets: list[SharedBudget] = []

    class Raced(SharedBudget):
        """Whoever looks at what is left is followed by a thread that takes one of it."""

        def __init__(self, limit: int) -> None:
            super().__init__(limit)
            budgets.append(self)

        @property
        def remaining(self) -> int:
            found = super().remaining
            if found and not self._lock.locked():
                self.reserve(1)
                self.settle(1, 1)
            return found

    monkeypatch.setattr(rounds, "SharedBudget", Raced)
    world = World({f"c{number}": (1, 0) for number in range(4)})
    world.check(tmp_path, budget=14)
    assert len(world.ran) < budgets[0].spent <= 14


def test_a_check_that_was_stopped_fails_where_cases_without_evidence_do(tmp_path: Path) -> None:
    steady = World({f"steady{number}": (1, 1) for number in range(9)})
    assert steady.check(tmp_path, fails_on_trouble=True).broken_rules == ()
    assert steady.check(tmp_path, budget=4).broken_rules == ()
    stopped = steady.check(tmp_path, budget=4, fails_on_trouble=True)
    assert (stopped.verdict, stopped.broken_rules) == ("not finished", ("--gepa-fail-on-trouble",))


def test_the_gates(tmp_path: Path) -> None:
    def failed(world: World, rule: str | None) -> bool:
        return world.check(tmp_path, fail_on=rule).failed

    broken = {"broken": (1.0, 0.0), **{f"steady{number}": (1.0, 1.0) for number in range(9)}}
    assert failed(World(broken), None)
    assert failed(World(broken), "suspect")
    assert failed(World(broken), "score:0.05")
    assert not failed(World(broken), "score:0.1")
    assert not failed(World(broken), "none")
    assert not failed(World({"steady": (1, 1)}), "score:0")


class Documents(World):
    """Four cases look at the one answer to each document."""

    def rollout(self, candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        run = super().rollout(candidate, texts, case, trial)
        (call,) = run.trajectory.calls
        shared = replace(call, key=call.key.replace(case, case.partition("/")[0]), shared=True)
        return replace(run, trajectory=replace(run.trajectory, calls=(shared,)))


def test_cases_that_share_answers_are_judged_as_one_by_the_gate_of_the_score(tmp_path: Path) -> None:
    broken = {f"document {at // 4}/{at % 4}": (1.0, 0.0) for at in range(8)}
    alone, tied = (world(broken).check(tmp_path, fail_on="score:0.05", trials=1) for world in (World, Documents))
    assert (alone.failed, alone.groups, alone.p_value) == (True, 0, 2 / 2**8)
    assert (tied.failed, tied.groups, tied.p_value) == (False, 2, 0.5)
    for told in (render_check_markdown(tied), "\n".join(check_lines(tied, "dir"))):
        assert "p = 0.5, judged as 2 independent groups of 8 cases" in told
        assert "p = 0.5, judged as 2" not in render_check_markdown(alone)


def test_a_fall_that_is_not_proven_breaks_no_rule_and_trouble_breaks_its_own(tmp_path: Path) -> None:
    class Down(World):
        def rollout(self, candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
            run = super().rollout(candidate, texts, case, trial)
            return replace(run, outcome=Outcome.error, score=None) if case == "down" else run

    rates = {"down": (1.0, 1.0), "slipped": (1.0, 0.0), "steady": (1.0, 1.0)}
    options = {"fail_on": "score:0.02", "trials": 1}
    only = Down(rates).check(tmp_path, fails_on_trouble=True, **options)
    assert only.effect < -0.02
    assert (only.failed, only.broken_rules) == (True, ("--gepa-fail-on-trouble",))
    assert "- Gate: failed (`--gepa-fail-on-trouble`)" in render_check_markdown(only)
    neither = Down(rates).check(tmp_path, **options)
    assert (neither.failed, neither.broken_rules) == (False, ())
    both = Down(rates).check(tmp_path, fails_on_trouble=True, fail_on="suspect", trials=1)
    assert both.broken_rules == ("--gepa-fail-on=suspect", "--gepa-fail-on-trouble")


@pytest.mark.parametrize(("rule", "failed"), [(None, True), ("suspect", True), ("score:0.1", True), ("none", False)])
def test_a_check_in_which_every_case_ended_in_trouble_could_not_be_made(
    tmp_path: Path, rule: str | None, failed: bool
) -> None:
    class Keyless(World):
        def rollout(self, candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
            run = super().rollout(candidate, texts, case, trial)
            told = replace(run.trajectory, calls=(), failure="E   openai.OpenAIError: Missing credentials")
            return replace(run, outcome=Outcome.error, score=None, uses=(), reads=(), trajectory=told)

    result = Keyless({"one": (1.0, 1.0), "two": (1.0, 1.0)}).check(tmp_path, fail_on=rule)
    assert (result.verdict, result.failed, result.broken_rules) == ("not finished", failed, ())
    assert result.reason == (
        f"nothing was compared, as {len(result.trouble)} cases ended in trouble; the first: "
        "openai.OpenAIError: Missing credentials"
    )
    gate = "failed (nothing was compared)" if failed else "only reports (`--gepa-fail-on=none`)"
    assert f"- Gate: {gate}" in render_check_markdown(result)
    closing = "nothing was compared" if failed else "only reports (--gepa-fail-on=none)"
    lines = check_lines(result, "run")
    assert f"gate                 {closing}" in lines
    assert not any(line.startswith("mean score") for line in lines)


def test_a_check_in_which_the_application_reached_no_model_on_either_side_could_not_be_made(
    tmp_path: Path,
) -> None:
    class Unset(World):
        def rollout(self, candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
            run = super().rollout(candidate, texts, case, trial)
            code = "app.py:7: in ask\n    url = settings.url"
            failure = f"{code}\nE   ValueError: no address of the model\n\napp.py:9: ValueError"
            told = replace(run.trajectory, calls=(), failure=failure)
            return replace(run, outcome=Outcome.failed, score=0.0, uses=(), feedback="", grades=(), trajectory=told)

    result = Unset({"one": (0.0, 0.0), "two": (0.0, 0.0)}).check(tmp_path)
    assert (result.verdict, result.failed, result.is_unmade) == ("not finished", True, True)
    assert result.reason == (
        "nothing was compared, as no case reached a model; the first failure: ValueError: no address of the model"
    )


def test_one_trial_a_side_proves_nothing(tmp_path: Path) -> None:
    result = World({"broken": (1, 0)}).check(tmp_path, trials=1)
    assert (result.cases[0].tier, result.failed) == ("suspect", False)


def test_a_simulated_model_is_called_one_wherever_its_figures_are(tmp_path: Path) -> None:
    def told(model: str) -> list[bool]:
        result = World({"broken": (1.0, 0.0)}, model=model).check(tmp_path)
        every = (check_lines(result, "run"), annotation_lines(result), code_quality(result))
        return [result.simulated, *("simulated: the figures" in str(said) for said in every)]

    assert told("simulated-desk") == [True] * 4
    assert told("a-real-one") == [False] * 4


def test_trials_that_the_application_answers_from_a_store_of_its_own_prove_nothing(tmp_path: Path) -> None:
    world = World({f"steady{number}": (1.0, 1.0) for number in range(4)} | {"unlucky": (1.0, 0.0)})
    kept: set[tuple[str, str]] = set()
    usual = world.suite.run_case

    def run(candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        found = usual(candidate, texts, case, trial)
        if (texts[EDITED], case) in kept:
            return replace(found, trajectory=replace(found.trajectory, calls=()), charged=False)
        kept.add((texts[EDITED], case))
        return found

    world.suite.run_case = run
    result = world.check(tmp_path, fails_on_trouble=True)
    assert result.verdict == "not finished"
    assert result.stopped.startswith("steady0 and 4 other cases asked no model in further trials")
    assert result.failed
    assert {case.today.trials for case in result.cases} == {1}


class Keeping(World):
    """The application keeps an answer to the edited prompt, and asks about it in the cases of the other one."""

    said = "A long answer, word for word, that the application has kept."

    def rollout(self, candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        made = super().rollout(candidate, texts, case, trial)
        (call,) = made.trajectory.calls
        call = replace(call, key=f"{case} {texts[EDITED]}")
        if case in self.rates:
            call = replace(call, answer=Message("assistant", self.said))
        else:
            call = replace(call, request=(Message("user", f"Given: {self.said} What now?"),))
        return replace(made, trajectory=replace(made.trajectory, calls=(call,)))


def test_a_case_that_goes_by_a_kept_answer_to_the_changed_prompt_is_compared(tmp_path: Path) -> None:
    result = Keeping({"steady": (1, 1)}, others=1).check(tmp_path)
    assert {case.case: case.components for case in result.cases} == {"steady": (EDITED,), "other0": (EDITED,)}


def test_what_a_check_found_to_go_by_a_kept_answer_the_next_one_compares_too(tmp_path: Path) -> None:
    first = Keeping({"steady": (1, 1)}, others=1)
    first.check(tmp_path)
    again = Keeping({"steady": (1, 1)}, others=1).check(tmp_path, first.learned)
    assert {case.case for case in again.cases} == {"steady", "other0"}


def test_a_stopped_case_stops_the_check_though_nobody_has_written_down_why(tmp_path: Path) -> None:
    world = World({"steady": (1, 1), "other": (1, 1)})
    runs = world.suite.run_case

    def run(candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        made = runs(candidate, texts, case, trial)
        if case != "other":
            return made
        return replace(made, outcome=Outcome.stopped, trajectory=Trajectory(failure="no room for the bill"))

    world.suite.run_case = run
    result = world.check(tmp_path)
    assert (result.verdict, result.stopped) == ("not finished", "no room for the bill")
    assert {trial for _, _, trial in world.ran} == {"run/check/0"}


def test_when_the_minutes_are_over_nothing_is_begun_though_the_budget_has_run_short_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two cases, one a side at a time: the budget holds the next trials of the first, and time ends among them."""
    late = 0.0

    class Slow(World):
        def rollout(self, candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
            nonlocal late
            late += 1_000 * trial.endswith("/2")
            return super().rollout(candidate, texts, case, trial)

    monkeypatch.setattr(rounds, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + late))
    world = Slow({"first": (1, 1), "second": (1, 1)})
    result = world.check(tmp_path, budget=8, minutes=10, concurrency=1)
    assert [side for side, _, trial in world.ran if trial.endswith("/2")] == ["base"]
    assert result.stopped == "the budget of 8 rollouts is used up"


def test_retries_are_among_the_rollouts_that_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World({"steady": (1, 1)})
    run = world.suite.run

    def retrying(*args: Any, **options: Any) -> Evaluation:
        allowance = options["allowance"]
        assert allowance.reserve(1)
        allowance.settle(1, 1)
        return run(*args, **options)

    monkeypatch.setattr(world.suite, "run", retrying)
    result = world.check(tmp_path)
    assert result.spent.rollouts == len(world.ran) + len(world.suite.asked)


@pytest.mark.parametrize(("today", "then"), [("all.yaml::a", "all.yaml::"), ("all.yaml::", "all.yaml::a")])
def test_what_was_learned_of_a_file_by_another_name_is_not_the_whole_truth(today: str, then: str) -> None:
    known = {"then": CaseUsage({then: 1}), "now": CaseUsage({today: 1}), "other": CaseUsage({"gone.md": 1})}
    components = [Component(today, Path("all.yaml"), "as it is")]

    assert known_by_these_names(known, components, {today}).keys() == {"now", "other"}
    assert known_by_these_names(known, components, {"edited.md"}) == known


def test_a_case_with_evidence_is_no_trouble_for_one_trial_that_was(tmp_path: Path) -> None:
    class Once(World):
        def rollout(self, candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
            run = super().rollout(candidate, texts, case, trial)
            return replace(run, outcome=Outcome.error, score=None) if trial.endswith("/2") else run

    result = Once({"steady": (1.0, 1.0)}).check(tmp_path, fails_on_trouble=True)
    assert (result.cases[0].tier, result.failed) == ("stable", False)
    assert result.trouble


def test_a_second_ctrl_c_while_a_check_stops_does_not_lose_what_was_paid_for(tmp_path: Path) -> None:
    world, usual = World({"one": (1.0, 1.0), "two": (1.0, 1.0)}), signal.getsignal(signal.SIGINT)
    interrupt_twice(world.suite)
    with pytest.raises(KeyboardInterrupt):
        world.check(tmp_path)
    assert [one["record"] for one in read_journal(tmp_path / "journal-0.jsonl")] == ["rollout"]
    assert signal.getsignal(signal.SIGINT) is usual
