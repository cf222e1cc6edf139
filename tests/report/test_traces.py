"""Traces: which runs of cases are shown, and what of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.report import traces
from pytest_gepa.report.build import build_result
from pytest_gepa.report.needs import telling_first
from pytest_gepa.report.result import Change, ChangeNeed, Finding
from pytest_gepa.report.traces import Cell, Part, Trace, compare, traces_of
from pytest_gepa.suite.rollout import Outcome, Rollout
from pytest_gepa.trace.trajectory import Call, Message, Step, ToolCall, Trajectory
from tests.report.runs import PROMPT, Desk

WORDS = ("ant", "bee", "cat", "dog", "elk", "fox", "gnu")


class Chatty(Desk):
    """A desk whose runs hold the trajectory `said`, and tell by their output under how long a prompt they were made."""

    said = Trajectory()

    def rollout(self, candidate: Candidate, name: str, trial: str = "search/0") -> Rollout:
        made = Desk.rollout(self, candidate, name, trial)
        seen = (("lines", f"{trial} of {candidate.texts[PROMPT].count(chr(10))} lines"),)
        return replace(made, trajectory=replace(self.said, output=seen))


def traced(desk: Desk) -> list[Trace]:
    result = build_result("2026-01-31-1", desk.state, desk.cases, 0, "large")
    assert desk.state.winner is not None
    rows = compare(desk.state, desk.cases, [desk.seed.id, desk.state.winner.id])
    return traces_of(desk.state, desk.cases, result.edits, rows)


def one(trajectory: Trajectory) -> tuple[Part, ...]:
    """What is shown of this trajectory, without its output."""
    desk = Chatty(WORDS[:1])
    desk.said = trajectory
    found = traced(desk.search(0).choose())
    assert len(found) == 1
    return tuple(part for part in found[0].parts if part.kind != "output")


def test_an_edit_is_shown_with_the_run_that_was_read_for_it():
    desk = Chatty(WORDS).search().choose().confirm()
    shown = {(trace.candidate, trace.case): trace.parts[-1].text for trace in traced(desk)}
    edits = build_result("2026-01-31-1", desk.state, desk.cases, 0, "large").edits
    assert {desk.seed.id} < {edit.parents[0] for edit in edits}
    for edit in edits:
        lines = desk.state.search.candidates[edit.parents[0]].texts[PROMPT].count("\n")
        for change in edit.changes:
            for found in change.findings:
                assert shown[edit.parents[0], found.case] == f"search/0 of {lines} lines"


def test_of_a_case_that_differs_both_runs_of_the_confirm_run_are_shown():
    desk = Chatty(WORDS).search().choose().confirm()
    assert desk.state.winner is not None
    for word in WORDS[1:]:
        both = {
            trace.candidate: trace.outcome
            for trace in traced(desk)
            if trace.case == f"test_a.py::{word}[label]"
        }
        assert both[desk.seed.id] == "failed"
        assert both[desk.state.winner.id] == "passed"


def test_a_case_that_passes_on_both_sides_is_not_shown():
    desk = Chatty((*WORDS, "!zoo")).search().choose().confirm()
    assert "test_a.py::!zoo[label]" not in [trace.case for trace in traced(desk)]


def test_of_trials_that_differ_the_usual_end_is_shown():
    desk = Chatty(WORDS[:1]).search().choose().confirm(trials=3)
    assert desk.state.winner is not None
    (name,) = {case.id for case in desk.cases}
    runs = desk.state.confirm[desk.state.winner.id]
    runs[name, 0] = replace(runs[name, 0], outcome=Outcome.failed, score=0.0)
    (row,) = compare(desk.state, desk.cases, [desk.state.winner.id])
    assert row.cells == (Cell(2, 3, "", True),)
    assert row.cells[0].kind == "mixed"
    (shown,) = [trace for trace in traced(desk) if trace.candidate == desk.state.winner.id]
    assert shown.outcome == "passed"


def test_a_case_in_trouble_is_told_as_such():
    desk = Desk(WORDS[:2], trouble=("bee",)).search().choose()
    (_, row) = compare(desk.state, desk.cases, [desk.seed.id, "unknown"])
    assert [cell.kind for cell in row.cells] == ["trouble", "unknown"]
    assert row.cells[0].trouble == "error"


def test_a_run_is_told_in_order():
    asked = Message("user", "How warm is it?")
    tool = Message(
        "assistant", "", tool_calls=(ToolCall("1", "weather", '{"at": "Rome"}'),), reasoning="I look."
    )
    back = Message("tool", "31", tool_call_id="1")
    prompt = Message("system", "Answer with the mark.")
    calls = (
        Call("k1", "small", (prompt, asked), tool),
        Call(
            "k2",
            "small",
            (prompt, asked, tool, back),
            Message("assistant", "31 degrees"),
            finish_reason="length",
        ),
        Call("k3", "", (Message("user", "again"),), None, error="429"),
    )
    failure = "E   assert '31 degrees' == '31'"
    assert one(Trajectory(calls, (Step("city", "Rome"),), failure=failure)) == (
        Part("asked", "call 1, system", f"[the text of {PROMPT}]"),
        Part("asked", "call 1, user", "How warm is it?"),
        Part("answer", "call 1, small: reasoning", "I look."),
        Part("answer", "call 1, small", 'calls weather({"at": "Rome"})'),
        Part("asked", "call 2, assistant", 'calls weather({"at": "Rome"})'),
        Part("asked", "call 2, tool", "31"),
        Part("asked", "call 2", "[2 earlier messages of this run again]"),
        Part("answer", "call 2, small (length)", "31 degrees"),
        Part("asked", "call 3, user", "again"),
        Part("answer", "call 3, a model of unknown name: no answer", "429"),
        Part("step", "logged as city", "Rome"),
        Part("failure", "what the check said", failure),
    )


def test_long_texts_are_cut_in_their_middle():
    (part,) = one(Trajectory(failure="x" * 100_000))
    assert len(part.text) <= traces.TEXT_BYTES + 100
    assert "characters cut" in part.text


def test_no_more_traces_than_a_page_can_hold(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(traces, "MOST_TRACES", 3)
    assert len(traced(Chatty(WORDS).search().choose().confirm())) == 3


def finding(name: str, cause: str) -> Finding:
    return Finding(name, "wrong", cause)


def test_the_findings_that_tell_why_come_first():
    findings = tuple(
        finding(name, cause)
        for name, cause in (
            ("a", "not to blame"),
            ("b", "not to blame"),
            ("c", "no rule"),
            ("d", "not to blame"),
        )
    )
    change = Change(PROMPT, "+ - mind the sign\n+ - mind the date", "", findings, ())
    assert [found.case for found in telling_first(change, ()).findings] == ["c", "a", "b", "d"]
    need = ChangeNeed(PROMPT, ("+ - mind the date",), "needed", ("d",))
    assert [found.case for found in telling_first(change, (need,)).findings] == ["d", "c", "a", "b"]
    elsewhere = replace(need, component="prompts/other.md")
    assert [found.case for found in telling_first(change, (elsewhere,)).findings] == ["c", "a", "b", "d"]
