"""Cases that stand in a candidate's texts as examples, as the result, the patches and the pages tell of them."""

from __future__ import annotations

from dataclasses import replace

from pytest_gepa.codec import from_json, to_json
from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.prompts.examples import Example
from pytest_gepa.report.build import build_result
from pytest_gepa.report.markdown import render_markdown
from pytest_gepa.report.patches import frontier_message, winner_message
from pytest_gepa.report.result import Change, EditRecord, FrontierEntry, Result, TakenCase
from pytest_gepa.report.terminal import closing_lines
from pytest_gepa.verdict.judge import Tally
from tests.report.runs import PROMPT, Desk, result

WORDS = ("ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen")
TAKEN = ("test_a.py::ant[label]", "test_a.py::bee[label]")
NOTES = tuple(TakenCase(PROMPT, case) for case in TAKEN)


def with_examples(candidate: Candidate) -> Candidate:
    taken = (Example("test_a.py::ant", PROMPT, "- ant"), Example("test_a.py::bee", PROMPT, "- bee"))
    return replace(candidate, taken=taken)


def built(desk: Desk) -> Result:
    assert desk.state.winner is not None
    desk.state.winner = with_examples(desk.state.winner)
    return build_result("2026-01-31-1", desk.state, desk.cases, 0, "large")


def test_the_verdict_leaves_them_out_on_both_sides():
    found = built(Desk(WORDS).search().choose().confirm())
    assert found.excluded == TAKEN
    assert found.examples == NOTES
    assert (found.baseline, found.winner) == (Tally(0, 6, 0.0), Tally(6, 6, 1.0))
    assert not set(TAKEN) & {*found.fixed, *found.broken}
    assert (found.verdict, found.p_value) == ("proven", 2 / 2**6)


def test_an_interrupted_run_leaves_them_out_of_its_search_scores():
    found = built(Desk(WORDS).search(reflections=3).choose())
    assert found.verdict == "not confirmed"
    assert found.baseline == Tally(0, 6, 0.0)
    assert found.winner.total == 6


def test_a_winner_whose_every_case_is_an_example_proves_nothing():
    desk = Desk(WORDS[:2]).search().choose().confirm()
    found = built(desk)
    assert (found.verdict, found.effect, found.baseline.total) == ("not proven", 0.0, 0)


def test_a_run_without_examples_excludes_nothing():
    found = build_result("r", Desk(WORDS).search().choose().confirm().state, Desk(WORDS).cases, 0, "large")
    assert found.excluded == found.examples == ()
    assert to_json(found)["excluded"] == []
    assert from_json(Result, to_json(found)) == found


def test_patches_say_which_cases_their_examples_are():
    told = [line.text for line in winner_message(result(excluded=TAKEN, examples=NOTES))]
    wanted = [f"The example of {PROMPT} is case {case}, which is left out of the verdict" for case in TAKEN]
    assert [line for line in told if line.startswith("The example of")] == wanted
    told = [line.text for line in frontier_message(FrontierEntry("f", 3, 4, 0.75, "", NOTES[:1]), (), result())]
    assert wanted[0] in told
    assert wanted[1] not in told
    hostile = TakenCase("p.md", "a.py::test[\ndiff --git a/x b/x]")
    lines = frontier_message(FrontierEntry("f", 3, 4, 0.75, "", (hostile,)), (), result())
    assert all(line.quoted for line in lines if "diff" in line.text)


def test_the_terminal_and_the_report_name_them():
    change = Change(PROMPT, "+ Example: ant", "d", (), (), TAKEN[:1])
    found = result(excluded=TAKEN, examples=NOTES, edits=(EditRecord("c", "reflection", (PROMPT,), ("s",), (change,)),))
    lines = closing_lines(found, "dir", "cmd")
    assert f"left out             2 cases taken into the prompts as examples: {', '.join(TAKEN)}" in lines
    page = render_markdown(found)
    for text in (
        "Left out of the verdict, on both sides, as they stand in the prompts as examples:",
        f"- `{TAKEN[1]}` in `{PROMPT}`",
        f"The example is case `{TAKEN[0]}`, taken whole.",
    ):
        assert text in page
    assert "Left out" not in render_markdown(result())
    assert not any(line.startswith("left out") for line in closing_lines(result(), "dir", "cmd"))
