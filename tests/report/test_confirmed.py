"""Candidates that are confirmed beside the winner, and what a run can prove."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from pytest_gepa.codec import from_json, to_json
from pytest_gepa.evolve.tasks import Reflect
from pytest_gepa.prompts.finding import find_components
from pytest_gepa.report.build import build_result
from pytest_gepa.report.confirmed import confirmed, gain_to_prove
from pytest_gepa.report.markdown import render_markdown
from pytest_gepa.report.patches import PatchBase, frontier_message, winner_message
from pytest_gepa.report.result import Confirmed, FrontierEntry, Result, SplitScores
from pytest_gepa.report.terminal import closing_lines
from pytest_gepa.report.write import write_run
from pytest_gepa.run.directory import new_run_directory
from pytest_gepa.suite.rollout import Outcome
from pytest_gepa.trace.trajectory import Call, Message, Trajectory
from pytest_gepa.verdict.judge import Tally
from pytest_gepa.verdict.power import ProvableGain
from tests.report.runs import PROMPT, Desk, result

SEVEN = ("ant", "bee", "cat", "dog", "elk", "fox", "gnu")
SIDE = Confirmed("proven", 0.5, (0.2, 0.8), 0.01, Tally(3, 12, 0.25), Tally(9, 12, 0.75))


def two_ways() -> Desk:
    """Two candidates of which neither is as good as the other everywhere: 8 of 9 cases, and 7 with one that the
    other lacks.
    """

    def edit(desk: Desk, _task: Reflect) -> str:
        return f"p q {' '.join(SEVEN)}\n" if desk.state.reflections == 1 else f"{' '.join(SEVEN[:6])}\n"

    desk = Desk([*SEVEN, "!p", "!q"], text="p q\n", edit=edit).search(reflections=2).choose()
    search = desk.state.search
    assert desk.state.winner is not None
    assert search.mean(desk.state.winner) == pytest.approx(8 / 9)
    others = [search.candidates[one.candidate] for one in search.frontier()]
    desk.state.rivals = tuple(one for one in others if one.id not in (desk.state.winner.id, desk.seed.id))
    assert [search.mean(one) for one in desk.state.rivals] == [pytest.approx(7 / 9)]
    return desk


def test_a_rival_is_judged_like_the_winner_and_each_pays_for_the_other():
    found = build_result("r", two_ways().confirm().state, two_ways().cases, 0, "large")
    (entry,) = found.frontier
    assert entry.confirmed is not None
    assert (found.verdict, found.p_value) == ("proven", 2 * 2 / 2**8)
    assert (entry.confirmed.verdict, entry.confirmed.p_value) == ("proven", 2 / 2**7)
    assert (entry.confirmed.baseline, entry.confirmed.winner) == (
        Tally(0, 9, 0.0),
        Tally(7, 9, pytest.approx(7 / 9)),
    )
    assert found.judged == 2
    assert from_json(Result, to_json(found)) == found


def test_a_winner_alone_is_judged_alone():
    desk = two_ways()
    desk.state.rivals = ()
    found = build_result("r", desk.confirm().state, desk.cases, 0, "large")
    assert (found.judged, found.p_value) == (1, 2 / 2**8)
    assert [entry.confirmed for entry in found.frontier] == [None]


def test_a_rival_is_not_judged_by_a_confirm_run_that_was_cut_off():
    desk = two_ways().confirm(1, of=3)
    assert confirmed(desk.state, desk.cases, {}, 0) == {}


def test_the_patch_of_a_proven_rival_has_its_confirmed_figures(tmp_path: Path):
    desk = two_ways().confirm()
    (tmp_path / "prompts").mkdir()
    (tmp_path / PROMPT).write_text(desk.text, encoding="utf-8")
    components = {found.id: found for found in find_components(tmp_path, tmp_path, ["prompts/*.md"])}
    directory = new_run_directory(tmp_path, date(2026, 1, 31))
    built = build_result(directory.name, desk.state, desk.cases, 0, "large")
    written = write_run(directory, built, desk.state, components, desk.cases, PatchBase(tmp_path, is_git=False))
    (entry,) = written.frontier
    told = (tmp_path / entry.patch).read_text(encoding="utf-8")
    assert told.startswith("gepa: frontier candidate, 0/9 -> 7/9 cases, proven better\n")
    assert "p = 0.016, adjusted for 2 candidates (Holm).\n" in told
    assert (directory / "best.patch").read_text("utf-8").startswith("gepa: 0/9 -> 8/9 cases, proven better\n")


def test_a_rival_that_is_not_proven_stays_unconfirmed_and_says_what_the_confirm_run_found():
    entry = FrontierEntry("f00", 7, 12, 0.58, "", confirmed=replace(SIDE, verdict="not proven", p_value=0.2))
    title, _, score, *_ = frontier_message(entry, (), result(trials=3, frontier=(entry,)))
    assert title.text == "gepa: frontier candidate, 7/12 cases (search score, unconfirmed)"
    assert score.text == (
        "Confirm run (3 trials a side): +50 points, 95 % interval +20 to +80, p = 0.2, adjusted for 2 candidates "
        "(Holm). NOT PROVEN."
    )


def test_terminal_and_report_tell_of_rivals():
    found = result(frontier=(FrontierEntry("f00", 7, 12, 0.58, "frontier/f00.patch", confirmed=SIDE),))
    lines = closing_lines(found, "dir", "cmd")
    assert "judged together      2 candidates, each p adjusted for the others (Holm)" in lines
    assert any(line.endswith("; 1 more on the frontier, 1 of them proven better too") for line in lines)
    page = render_markdown(found)
    assert "; 2 candidates were judged, each p is adjusted for the others after Holm)" in page
    line = "- 7/12: `frontier/f00.patch`; confirm run: proven, 3/12 to 9/12, +50 points, p = 0.01"
    assert line in page.splitlines()


def test_a_winner_that_breaks_a_case_says_so_first():
    held = SplitScores(Tally(2, 4, 0.5), Tally(3, 4, 0.75), ("a.py::test_h",))
    found = result(broken=("a.py::test_x",), fixed=("a.py::test_y",), holdout=held)
    assert closing_lines(found, "dir", "cmd")[0] == "BREAKS 2 cases: a.py::test_x, a.py::test_h"
    page = render_markdown(found)
    assert page.index("**Breaks 2 cases**") < page.index("The gain is too large to be chance")
    assert "- `a.py::test_h` (held out)" in page.splitlines()
    told = [line.text for line in winner_message(found)]
    assert told[0] == "gepa: BREAKS 2 cases, 3/12 -> 12/12 cases, proven better"
    assert told.index("Broken: 1") < told.index("Broken, held out: 1") < told.index("Fixed: 1")


def test_a_held_out_case_that_the_winner_breaks_is_broken():
    def spoils(_desk: Desk, _task: Reflect) -> str:
        return f"{' '.join(SEVEN)} hen\n"

    found = build_result(
        "r",
        (desk := Desk(SEVEN, held_out=["!hen"], edit=spoils).search().choose().confirm()).state,
        desk.cases,
        0,
        "m",
    )
    assert found.holdout is not None
    assert found.holdout.broken == ("test_a.py::!hen[label]",)
    assert found.broken == ()


def test_the_drop_from_the_search_to_held_out_cases_is_told():
    found = build_result(
        "r",
        (desk := Desk(SEVEN, held_out=["ant2", "bee2"]).search().choose().confirm()).state,
        desk.cases,
        0,
        "m",
    )
    assert (found.searched, found.drop) == (Tally(7, 7, 1.0), 1.0)
    lines = closing_lines(found, "dir", "cmd")
    assert "held out             0/2 -> 0/2, 100 points below the search score" in lines
    page = render_markdown(found)
    assert "was 1.00 in the search, 1.00 on the same cases in the confirm run and 0.00 on the held-out cases" in page
    assert "Held-out cases: 0/2 -> 0/2, 100 points below the search score." in [
        one.text for one in winner_message(found)
    ]


def test_without_held_out_cases_there_is_no_drop():
    assert build_result("r", (desk := Desk(SEVEN).search().choose().confirm()).state, desk.cases, 0, "m").drop is None


def test_a_run_that_proves_nothing_tells_what_it_could_have_proven():
    desk = Desk([*SEVEN[:3], *(f"!{word}" for word in SEVEN)]).search().choose().confirm()
    found = build_result("r", desk.state, desk.cases, 0, "large")
    assert (found.verdict, found.provable) == ("not proven", None)
    sentence = "nothing: even with every failing case mended a suite of this size is too small or too flaky"
    assert f"provable             {sentence}" in closing_lines(found, "dir", "cmd")
    assert f"What can be proven: {sentence}." in render_markdown(found)


def test_the_gain_that_could_be_proven_is_that_of_cases_as_flaky_as_they_were_seen_to_be():
    desk = Desk([f"w{n}" for n in range(20)], edit=lambda _desk, _task: None).search().choose()
    state = desk.state
    assert build_result("r", state, desk.cases, 0, "m").provable == ProvableGain(6, 0.3, 1.0)
    names = [case.id for case in desk.cases][:12]
    passes = [desk.rollout(desk.seed, name, "run/repeat/0") for name in names]
    state.repeats = [replace(one, score=1.0, outcome=Outcome.passed) for one in passes]
    flaky = build_result("r", state, desk.cases, 0, "m").provable
    assert flaky is not None
    assert flaky.cases > 6
    told = f"proves {100 * flaky.points:+.0f} points ({flaky.cases} cases mended) in 80 %"
    assert any(told in line for line in closing_lines(result(verdict="not proven", provable=flaky), "d", "c"))


def test_what_could_be_proven_pays_for_the_candidates_that_are_judged():
    desk = Desk([f"w{n}" for n in range(20)], edit=lambda _desk, _task: None).search().choose()
    found = build_result("r", desk.state, desk.cases, 0, "m", candidates=3)
    assert found.provable == ProvableGain(7, 0.35, 1.0, 3)
    assert from_json(Result, to_json(found)) == found
    assert any("80 % of runs or more, with 3 candidates judged" in one for one in closing_lines(found, "d", "c"))
    judged = two_ways()
    judged.state.rivals = judged.state.rivals[:1]
    provable = gain_to_prove(judged.confirm().state, judged.cases, 0, candidates=3)
    assert provable is not None
    assert (provable.cases, provable.candidates) == (7, 2)


def test_a_difference_that_is_no_chance_and_yet_too_small_says_so():
    desk = Desk(SEVEN).search().choose().confirm()
    for runs in desk.state.confirm.values():
        for place, run in runs.items():
            runs[place] = replace(run, score=0.5 + 0.001 * (run.score or 0.0))
    found = build_result("r", desk.state, desk.cases, 0, "m")
    assert (found.verdict, found.p_value < 0.05) == ("not proven", True)
    assert found.reason == (
        "the difference is statistically clear but too small: the cases that changed moved by less than half a point "
        "on average"
    )


def test_a_proven_run_says_nothing_of_what_could_be_proven():
    found = build_result("r", (desk := Desk(SEVEN).search().choose().confirm()).state, desk.cases, 0, "m")
    assert (found.verdict, found.provable) == ("proven", None)
    assert not any(line.startswith("provable") for line in closing_lines(found, "dir", "cmd"))


def share_answers(desk: Desk, *, of: int) -> Desk:
    """As if so many cases each, in the order of the suite, had sent the same request."""
    places = {case.id: at // of for at, case in enumerate(desk.cases)}
    for side, runs in desk.state.confirm.items():
        for (name, trial), run in runs.items():
            call = Call(f"{side} {places[name]}", "m", (), Message("assistant", f"answer {run.score}"))
            runs[name, trial] = replace(run, trajectory=Trajectory((call,)))
    return desk


def test_cases_that_share_answers_are_judged_as_groups_which_every_report_says():
    words = [f"{name}{n}" for name in ("ant", "bee", "cat", "dog") for n in range(3)]
    desk = Desk(words, held_out=["!x", "!y", "!z"]).search().choose().confirm()
    assert build_result("r", desk.state, desk.cases, 0, "m").verdict == "proven"
    found = build_result("r", share_answers(desk, of=3).state, desk.cases, 0, "m")
    assert (found.verdict, found.p_value, found.effect, found.groups) == ("not proven", 2 / 2**4, 1.0, 4)
    assert found.provable is None
    assert found.holdout is not None
    assert found.holdout.groups == 1
    assert from_json(Result, to_json(found)) == found
    words_of_it = "4 independent groups of 12 cases"
    lines = closing_lines(found, "dir", "cmd")
    assert f"                     judged as {words_of_it}, as some share answers" in lines
    assert any(line.startswith("held out") and "1 independent group of 3 cases" in line for line in lines)
    page = render_markdown(found)
    assert f"Judged as {words_of_it}: " in page
    assert "(exact paired sign-flip test over groups of cases, two-sided)" in page
    assert any(f"p = 0.12, over {words_of_it}." in line.text for line in winner_message(found))


def test_of_cases_that_share_nothing_no_groups_are_told():
    desk = share_answers(Desk(SEVEN).search().choose().confirm(), of=1)
    found = build_result("r", desk.state, desk.cases, 0, "m")
    assert (found.verdict, found.groups) == ("proven", 0)
    assert "groups" not in render_markdown(found)


def test_each_candidate_is_judged_by_the_answers_that_it_shares_itself():
    desk = two_ways().confirm()
    state = desk.state
    (rival,) = state.rivals
    for place, run in state.confirm[rival.id].items():
        call = Call("the one request", "m", (), Message("assistant", "one answer"), shared=True)
        state.confirm[rival.id][place] = replace(run, trajectory=Trajectory((call,)))
    found = build_result("r", state, desk.cases, 0, "large")
    (entry,) = found.frontier
    assert entry.confirmed is not None
    assert (found.verdict, found.groups) == ("proven", 0)
    assert (entry.confirmed.verdict, entry.confirmed.groups, entry.confirmed.p_value) == (
        "not proven",
        1,
        1.0,
    )


def test_what_can_be_proven_goes_by_the_answers_that_the_baseline_shared():
    desk = Desk([f"w{n}" for n in range(20)], edit=lambda _desk, _task: None).search().choose()
    for place, run in desk.state.rollouts.items():
        asked = (Message("system", desk.text),)
        call = Call("the one request", "m", asked, Message("assistant", "no"), shared=True)
        desk.state.rollouts[place] = replace(run, trajectory=Trajectory((call,)))
    assert build_result("r", desk.state, desk.cases, 0, "m").provable is None


def test_a_held_out_case_that_a_rival_breaks_is_told_with_it() -> None:
    held = SplitScores(Tally(4, 4, 1.0), Tally(3, 4, 0.75), ("a.py::test_h",))
    entry = FrontierEntry("f00", 7, 12, 0.58, "frontier/f00.patch", confirmed=replace(SIDE, holdout=held))
    assert ", breaks 1 case" in render_markdown(result(frontier=(entry,)))


def test_without_a_confirm_run_it_is_what_the_planned_trials_would_prove() -> None:
    desk = Desk([f"w{n}" for n in range(20)], edit=lambda _desk, _task: None).search().choose()
    state = desk.state
    runs = [desk.rollout(desk.seed, case.id, "run/repeat/0") for case in desk.cases[:12]]
    state.repeats = [replace(one, score=1.0, outcome=Outcome.passed) for one in runs]
    found = []
    for trials in (1, 3):
        state.planned_trials = trials
        found.append(gain_to_prove(state, desk.cases, 0))
    one, three = found
    assert one is not None
    assert three is not None
    assert three.cases < one.cases
