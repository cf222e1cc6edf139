"""The result of a run, however it ended."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_gepa.evolve.tasks import Reflect
from pytest_gepa.report.build import ancestry, build_result
from pytest_gepa.report.result import Result
from pytest_gepa.suite.rollout import Outcome
from pytest_gepa.verdict.judge import Tally
from tests.report.runs import PROMPT, TEXT, Desk

WORDS = ("ant", "bee", "cat", "dog", "elk", "fox", "gnu")


def built(desk: Desk) -> Result:
    return build_result("2026-01-31-1", desk.state, desk.cases, 0, "large")


def names(*words: str) -> list[str]:
    return [f"test_a.py::{word}[label]" for word in words]


def test_a_confirmed_gain_is_proven():
    found = built(Desk(WORDS).search().choose().confirm())
    assert (found.verdict, found.effect, found.trials) == ("proven", 1.0, 1)
    assert found.p_value == 2 / 2**7
    assert (found.baseline, found.winner) == (Tally(0, 7, 0.0), Tally(7, 7, 1.0))
    assert sorted(found.fixed) == names(*WORDS)
    assert found.broken == ()
    assert found.holdout is None
    assert found.search_ended == "every case passes"


def test_a_gain_that_may_be_chance_is_not_proven():
    found = built(Desk(WORDS[:3]).search().choose().confirm())
    assert (found.verdict, found.effect) == ("not proven", 1.0)
    assert len(found.fixed) == 3


def test_what_has_failed_under_today_s_prompts_in_the_search_was_broken_by_nobody():
    desk = Desk([*WORDS, "!gap"], text="Route it.\n").search().choose()
    assert desk.state.winner is not None
    kept, flaky = (f"test_a.py::{word}" for word in ("!gap", "dog"))
    desk.confirm()
    side = desk.state.confirm[desk.state.winner.id]
    for name in (kept, flaky):
        side[name, 0] = replace(side[name, 0], outcome=Outcome.failed, score=0.0)
    before = desk.state.confirm[desk.seed.id]
    before[flaky, 0] = replace(before[flaky, 0], outcome=Outcome.passed, score=1.0)
    assert sorted(built(desk).broken) == names("!gap")  # "dog" has failed under today's prompts in the search
    desk.again(desk.seed, "!gap", "-")
    assert built(desk).broken == ()


def test_a_winner_that_does_worse_in_the_confirm_run_is_worse():
    desk = Desk(WORDS).search().choose()
    assert desk.state.winner is not None
    desk.confirm()
    desk.state.trial_passes.clear()  # or the search would have seen today's prompts fail
    sides = desk.state.confirm
    sides[desk.seed.id], sides[desk.state.winner.id] = sides[desk.state.winner.id], sides[desk.seed.id]
    found = built(desk)
    assert (found.verdict, found.effect) == ("worse", -1.0)
    assert sorted(found.broken) == names(*WORDS)
    assert found.fixed == ()


def test_a_run_in_which_no_edit_helped_is_not_proven():
    found = built(
        Desk(WORDS, edit=lambda _desk, task: task.parent.texts[PROMPT] + "- hm\n", rollouts=60).search().choose()
    )
    assert found.verdict == "not proven"
    assert "no edit did better than today's prompts" in found.reason
    assert (found.baseline, found.winner) == (Tally(0, 7, 0.0), Tally(0, 7, 0.0))
    assert (found.trials, found.effect, found.interval, found.p_value) == (0, 0.0, (0.0, 0.0), 1.0)
    assert found.changes == found.edits == ()


@pytest.mark.parametrize(
    ("spoilt", "told"),
    [
        (["!ant"], "1 case (test_a.py::!ant[label])"),
        (
            ["!ant", "!bee", "!cat", "!dog"],
            "4 cases (test_a.py::!ant[label], test_a.py::!bee[label], test_a.py::!cat[label] and 1 more)",
        ),
    ],
)
def test_the_cases_that_bar_every_better_prompt_are_named(spoilt: list[str], told: str):
    every = f"{TEXT}{' '.join(WORDS)}\n"
    found = built(Desk([*WORDS, *spoilt], text="Route it.\n", edit=lambda _desk, _task: every).search().choose())
    assert found.verdict == "not proven"
    assert f"the best breaks {told} and is kept in frontier/" in found.reason


def test_nothing_is_to_do_when_every_case_passes():
    found = built(Desk(["ant"], text="mind the ant\n").search().choose())
    assert (found.verdict, found.reason) == ("nothing to do", "every case passes already")


def test_cases_that_gave_no_evidence_are_not_said_to_pass():
    found = built(Desk(["ant", "bee"], text="mind the ant\n", trouble=["bee"]).search().choose())
    assert (found.verdict, found.reason) == ("nothing to do", "every case that gave evidence passes already")


def test_nothing_is_to_do_when_no_case_gives_evidence():
    found = built(Desk(["ant", "bee"], trouble=["ant", "bee"]).search().choose())
    assert (found.verdict, found.reason) == (
        "nothing to do",
        "no case gave evidence; no case reached a model; the first failure: openai.InternalServerError: out of order",
    )
    assert found.baseline.total == 0


def test_a_search_that_was_stopped_before_its_first_reflection_left_something_to_do():
    found = built(Desk(WORDS).stop("the 5 minutes are over").choose())
    assert found.verdict == "not proven"
    assert found.reason == "no edit was tried (the 5 minutes are over)"


def test_edits_of_which_none_could_be_used_were_not_tried():
    desk = Desk(WORDS, edit=lambda _desk, _task: None).search().choose()
    assert built(desk).reason == f"no edit was tried ({desk.state.search_ended})"


def test_an_interrupted_search_is_not_confirmed_and_shows_its_search_scores():
    found = built(Desk(WORDS).search(reflections=2).choose())
    assert (found.verdict, found.trials) == ("not confirmed", 0)
    assert found.baseline == Tally(0, 7, 0.0)
    assert found.winner.passed == 2
    assert (found.fixed, found.broken) == ((), ())
    assert len(found.changes) == 1


def test_cases_that_nothing_can_change_count_on_both_sides_of_an_interrupted_search():
    desk = Desk([*WORDS, "Answer"], idle=["Answer"]).search(reflections=2).choose()
    found = built(desk)
    assert found.baseline == Tally(1, 8, 1 / 8)
    assert found.winner.total == found.baseline.total


def test_what_ended_in_trouble_under_the_winner_counts_there_as_under_todays_prompts():
    desk = Desk([*WORDS, "!gap"]).search().choose()
    assert desk.state.winner is not None
    known, name = desk.state.search.pool.ledger.results[desk.state.winner.id], "test_a.py::!gap"
    known[name] = replace(known[name], score=None, passed=None)
    lost = desk.state.rollouts[desk.state.winner.id, name]
    desk.state.rollouts[desk.state.winner.id, name] = replace(lost, outcome=Outcome.error, score=None)
    found = built(desk)
    assert found.baseline == Tally(1, 8, 1 / 8)
    assert found.searched == Tally(8, 8, 1.0)


def test_an_interrupted_confirm_run_claims_neither_effect_nor_fixed_cases():
    found = built(Desk(WORDS).search().choose().confirm(trials=1, of=3))
    assert found.verdict == "not confirmed"
    assert (found.effect, found.interval, found.p_value) == (0.0, (0.0, 0.0), 1.0)
    assert (found.fixed, found.broken) == ((), ())


def test_held_out_cases_stand_apart():
    found = built(Desk(WORDS, held_out=["hen", "owl"], text=f"{TEXT}- hen\n").search().choose().confirm())
    assert found.holdout is not None
    assert (found.holdout.baseline, found.holdout.winner) == (Tally(1, 2, 0.5), Tally(1, 2, 0.5))
    assert found.baseline.total == found.winner.total == 7
    assert not {*names("hen", "owl")} & {*found.fixed, *found.broken}


def test_trouble_is_listed_once_with_its_reason_and_counts_in_nothing():
    found = built(Desk([*WORDS, "down"], trouble=["down"]).search().choose().confirm(trials=2))
    assert found.baseline.total == found.winner.total == 7
    (trouble,) = found.trouble
    assert (trouble.case, trouble.outcome) == (names("down")[0], "error")
    assert "out of order" in trouble.reason


def test_the_ancestry_tells_each_change_with_its_findings_and_the_cases_read():
    desk = Desk(WORDS[:2]).search().choose()
    assert desk.state.winner is not None
    labels = {case.id: case.nodeid for case in desk.cases}
    first, second = ancestry(desk.state, desk.state.winner, labels)
    assert first.parents == (desk.seed.id,)
    assert second.parents == (first.candidate,)
    (change,) = first.changes
    assert change.component == PROMPT
    assert change.summary in ("+ - ant", "+ - bee")
    assert sorted(change.cases) == names("ant", "bee")
    (finding,) = change.findings
    assert finding.case in change.cases
    assert (finding.problem, finding.cause) == ("the answer lacks the mark", "nothing names it")


def test_a_change_tells_only_the_cases_that_were_shown_for_its_prompt():
    desk = Desk(WORDS[:2]).search(reflections=1)
    ((name, made),) = desk.state.proposals.items()
    shown = desk.state.asked[name].failing[:1]
    desk.state.proposals[name] = {PROMPT: replace(made[PROMPT], read=shown)}
    labels = {case.id: case.nodeid for case in desk.cases}
    (child,) = (one for one in desk.state.search.candidates.values() if one.origin == "reflection")
    ((change,),) = (edit.changes for edit in ancestry(desk.state, child, labels))
    assert change.cases == (labels[shown[0]],)


def test_a_changed_prompt_is_measured_in_characters_and_edits():
    (change,) = built(Desk(WORDS[:2]).search().choose().confirm()).changes
    assert (change.component, change.before, change.after, change.edits) == (
        PROMPT,
        len(TEXT),
        len(TEXT) + 12,
        2,
    )


def test_the_frontier_holds_neither_the_winner_nor_today():
    def two_at_once(_desk: Desk, task: Reflect) -> str:
        return f"{task.parent.texts[PROMPT]}- ant\n- bee\n"

    # The edit spoils a case that passes today, so it wins nothing, and yet nothing else is as good on two cases.
    desk = Desk(["ant", "bee", "!ant", "cat"], edit=two_at_once).search(reflections=1).choose()
    assert desk.state.winner is desk.seed
    (entry,) = built(desk).frontier
    assert desk.state.search.candidates[entry.candidate].texts[PROMPT].endswith("- ant\n- bee\n")
    assert (entry.passed, entry.total, entry.score, entry.patch) == (2, 4, 0.5, "")


def test_rejected_replies_are_counted_by_reason():
    found = built(Desk(WORDS, edit=lambda _desk, _task: None).search().choose())
    assert list(found.rejections) == ["empty reply"]
    assert found.rejections["empty reply"] == found.spent.reflections
