"""Which cases a check compares: what the first trial and earlier runs tell of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_gepa.suite.rollout import Outcome, Rollout
from pytest_gepa.suite.usage import CaseUsage
from pytest_gepa.trace.trajectory import Trajectory
from tests.check_world import EDITED, OTHER, World, tiers


class Overloaded(World):
    """The server has no answer for the case "broken" (or for all `down`) in its first `bouts` trials under today's
    prompts."""

    bouts = 1
    reads: tuple[str, ...] = ()
    down = ("broken",)

    def rollout(self, candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        run = super().rollout(candidate, texts, case, trial)
        is_today = texts[EDITED] == "as it is"
        if case not in self.down or not is_today or int(trial.rpartition("/")[2]) >= self.bouts:
            return run
        told = Trajectory(failure="503 overloaded")
        return replace(run, outcome=Outcome.error, score=None, trajectory=told, uses=(), reads=self.reads)


@pytest.mark.parametrize("bouts", [1, 2])
def test_a_case_of_which_nothing_is_known_is_tried_again_after_trouble(bouts: int, tmp_path: Path) -> None:
    world = Overloaded({"broken": (1, 0), "steady": (1, 1)})
    world.bouts = bouts
    result = world.check(tmp_path)
    assert tiers(result) == {"broken": "regressed", "steady": "stable"}
    assert len(set(world.ran)) == len(world.ran)


def test_a_case_that_turns_out_not_to_use_the_prompt_is_not_compared_for_its_trouble(tmp_path: Path) -> None:
    world = Overloaded({"steady": (1, 1)}, others=1)
    world.down = ("other0",)
    result = world.check(tmp_path)
    assert (tiers(result), result.untouched) == ({"steady": "stable"}, 1)
    assert [(side, trial[-1]) for side, case, trial in world.ran if case == "other0"] == [
        ("today", "0"),
        ("today", "1"),
    ]


def test_a_case_that_never_comes_out_of_trouble_is_listed_and_tried_three_times(tmp_path: Path) -> None:
    world = Overloaded({"broken": (1, 0), "steady": (1, 1)})
    world.bouts = 99
    result = world.check(tmp_path, fails_on_trouble=True)
    assert tiers(result) == {"broken": "trouble", "steady": "stable"}
    assert [side for side, case, _ in world.ran if case == "broken"] == ["today"] * 3
    assert result.failed


def test_a_case_in_trouble_that_has_read_the_prompt_is_compared_at_once(tmp_path: Path) -> None:
    world = Overloaded({"broken": (1, 0), "steady": (1, 1)})
    world.reads = (EDITED,)
    assert tiers(world.check(tmp_path)) == {"broken": "regressed", "steady": "stable"}
    assert [side for side, case, _ in world.ran if case == "broken"][:2] == ["today", "base"]


def test_where_all_is_in_trouble_no_case_is_tried_again_to_find_out(tmp_path: Path) -> None:
    world = Overloaded({"broken": (1, 0), "steady": (1, 1)})
    world.bouts, world.down = 99, ("broken", "steady")
    result = world.check(tmp_path)
    assert (result.verdict, result.failed, len(world.ran)) == ("not finished", True, 2)


def test_a_known_case_is_untouched_still_when_the_first_trial_is_in_trouble_elsewhere(tmp_path: Path) -> None:
    world = Overloaded({"broken": (1, 0)}, others=1)
    known = {"broken": CaseUsage({EDITED: 1}), "other0": CaseUsage({OTHER: 1})}
    result = world.check(tmp_path, known)
    assert (tiers(result), result.untouched) == ({"broken": "regressed"}, 1)


class Branching(World):
    """In trial 0 a first stage sends the case "broken" another way, on which it asks for no changed prompt."""

    def rollout(self, candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        run = super().rollout(candidate, texts, case, trial)
        if case != "broken" or not trial.endswith("/0"):
            return run
        (call,) = run.trajectory.calls
        other = Trajectory((replace(call, key="another way"),))
        return replace(run, outcome=Outcome.passed, score=1.0, trajectory=other, uses=(OTHER,), reads=(OTHER,))


@pytest.mark.parametrize("seen", [("steady",), ("steady", "broken")])
def test_a_case_that_was_seen_to_ask_for_the_prompt_is_compared_though_its_first_trial_does_not(
    seen: tuple[str, ...], tmp_path: Path
) -> None:
    known = {case: CaseUsage({EDITED: 1, OTHER: 1}) for case in seen}
    result = Branching({"broken": (1, 0), "steady": (1, 1)}).check(tmp_path, known)
    assert tiers(result).get("broken") == ("regressed" if "broken" in seen else None)


def test_a_part_of_a_usage_that_names_the_prompt_is_enough(tmp_path: Path) -> None:
    known = {"broken": CaseUsage({EDITED: 1}, is_partial=True)}
    result = Branching({"broken": (1, 0), "steady": (1, 1)}).check(tmp_path, known)
    assert tiers(result) == {"broken": "regressed", "steady": "stable"}


def test_a_case_that_only_opens_the_prompt_is_untouched_where_both_sides_ask_for_the_same(
    tmp_path: Path,
) -> None:
    known = {"broken": CaseUsage({OTHER: 1}, (EDITED,)), "steady": CaseUsage({EDITED: 1})}
    result = Branching({"broken": (1, 0), "steady": (1, 1)}).check(tmp_path, known)
    assert (tiers(result), result.untouched) == ({"steady": "stable"}, 1)


def test_a_change_that_no_request_shows_is_not_told_as_a_prompt_that_nobody_uses(tmp_path: Path) -> None:
    known = {"broken": CaseUsage({OTHER: 1}, (EDITED,))}
    result = Branching({"broken": (1, 0)}).check(tmp_path, known)
    assert (result.verdict, result.cases) == ("no regression", ())
    assert result.reason.startswith("the change reaches no request: 1 case that read a changed prompt asked")


class Keeping(World):
    """The case "facet" is answered by what an earlier one of its process has asked, but where it runs by itself."""

    def rollout(self, candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        run = super().rollout(candidate, texts, case, trial)
        if case != "facet" or self.suite.asked[-1].cases == ("facet",):
            return run
        return replace(run, trajectory=Trajectory(), uses=(), reads=(), asked_before=(EDITED,), charged=False)


def test_a_case_that_may_have_been_answered_before_is_not_untouched(tmp_path: Path) -> None:
    result = Keeping({"steady": (1, 1), "facet": (1, 0)}).check(tmp_path)
    assert (tiers(result), result.untouched) == ({"facet": "regressed", "steady": "stable"}, 0)


def test_nor_is_it_where_the_budget_does_not_let_it_run_by_itself(tmp_path: Path) -> None:
    result = Keeping({"steady": (1, 1), "facet": (1, 0)}).check(tmp_path, budget=2)
    assert (result.verdict, result.untouched) == ("not finished", 0)
    assert result.reason.startswith("the budget of 2 rollouts is used up")


def test_trouble_of_a_case_that_turns_out_to_use_no_changed_prompt_fails_no_check(tmp_path: Path) -> None:
    world = Overloaded({}, others=2)
    world.down = ("other0",)
    result = world.check(tmp_path)
    assert (result.verdict, result.failed, result.untouched) == ("no regression", False, 2)


class Imported(World):
    """The prompts are read at import, and reach the model unseen. The case "lint" opens them and asks nothing."""

    def rollout(self, candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        run = super().rollout(candidate, texts, case, trial)
        if case == "lint":
            return replace(run, trajectory=Trajectory(), uses=(), reads=(EDITED,), charged=False)
        return replace(run, uses=(), reads=(), imported=(EDITED,))


def test_that_a_test_has_opened_the_prompt_files_tells_nothing_of_other_cases(tmp_path: Path) -> None:
    known = {"lint": CaseUsage({}, (EDITED,)), "broken": CaseUsage({OTHER: 1})}
    result = Imported({"broken": (1, 0), "lint": (1, 1)}).check(tmp_path, known)
    assert tiers(result)["broken"] == "regressed"


class Sections(World):
    """One section of a prompt that is read at import is all that the case "broken" sends; "whole" sends all of it."""

    def rollout(self, candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        run = super().rollout(candidate, texts, case, trial)
        return replace(run, uses=(EDITED,) if case == "whole" else (), reads=(), imported=(EDITED,))


def test_a_case_that_was_found_to_go_by_a_piece_is_compared_by_the_next_check_too(tmp_path: Path) -> None:
    rates = {"broken": (1.0, 0.0), "whole": (1.0, 1.0)}
    world = Sections(rates)
    first = world.check(tmp_path)
    assert (world.learned["broken"].components, world.learned["broken"].partly) == ({}, (EDITED,))
    again = Sections(rates).check(tmp_path, world.learned)
    assert tiers(first) == tiers(again) == {"broken": "regressed", "whole": "stable"}


NEW = "prompts/new.md"


class Loading(World):
    """The application opens all of its prompts at start, the new one among them; `uses` are those that it sends."""

    added = (NEW,)
    uses: tuple[str, ...] = (EDITED,)

    def rollout(self, candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        run = super().rollout(candidate, texts, case, trial)
        return replace(run, uses=self.uses, reads=(EDITED, NEW))


@pytest.mark.parametrize("known", [{}, {"broken": CaseUsage({EDITED: 1}, (EDITED, NEW))}])
def test_a_new_prompt_that_is_only_opened_keeps_no_case_from_the_comparison(
    known: Mapping[str, CaseUsage], tmp_path: Path
) -> None:
    result = Loading({"broken": (1, 0)}).check(tmp_path, known)
    assert (tiers(result), result.on_new_prompts) == ({"broken": "regressed"}, ())


@pytest.mark.parametrize("known", [{}, {"broken": CaseUsage({EDITED: 1, NEW: 1})}])
def test_a_case_that_asks_with_a_new_prompt_is_listed(known: Mapping[str, CaseUsage], tmp_path: Path) -> None:
    world = Loading({"broken": (1, 0)})
    world.uses = (EDITED, NEW)
    result = world.check(tmp_path, known)
    assert (tiers(result), result.on_new_prompts) == ({}, ("broken",))
