"""Traces: which runs of cases are shown, and what of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.report import traces
from pytest_gepa.report.build import build_result
from pytest_gepa.report.matrix import Cell, compare
from pytest_gepa.report.needs import telling_first
from pytest_gepa.report.result import Change, ChangeNeed, Finding
from pytest_gepa.report.traces import Trace, TracePart, Traces, find_traces
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


def found(desk: Desk) -> Traces:
    assert desk.state.winner is not None
    edits = build_result("2026-01-31-1", desk.state, desk.cases, 0, "large").edits
    ids = {case.nodeid: case.id for case in desk.cases}
    read = [
        (edit.parents[0], ids[finding.case]) for edit in edits for change in edit.changes for finding in change.findings
    ]
    rows = compare(desk.state, desk.cases, [desk.seed.id, desk.state.winner.id])
    return find_traces(desk.state, rows, read)


def traced(desk: Desk) -> tuple[Trace, ...]:
    return found(desk).shown


def one(trajectory: Trajectory) -> tuple[TracePart, ...]:
    """What is shown of this trajectory, without its output."""
    desk = Chatty(WORDS[:1])
    desk.said = trajectory
    (shown,) = traced(desk.search(0).choose())
    return tuple(part for part in shown.parts if part.kind != "output")


def test_an_edit_is_shown_with_the_run_that_was_read_for_it():
    desk = Chatty(WORDS).search().choose().confirm()
    traces_found = found(desk)
    assert {desk.seed.id} < {candidate for candidate, _ in traces_found.read}
    for (candidate, _), at in traces_found.read.items():
        lines = desk.state.search.candidates[candidate].texts[PROMPT].count("\n")
        assert traces_found.shown[at].parts[-1].text == f"search/0 of {lines} lines"
        assert traces_found.shown[at].trial == "search"


def test_a_later_trial_that_passed_does_not_stand_for_the_one_that_was_read():
    desk = Chatty(WORDS[:1]).search().choose()
    (name,) = {case.id for case in desk.cases}
    first = desk.state.rollouts[desk.seed.id, name]
    desk.state.usual[desk.seed.id, name] = replace(first, trial="search/2", outcome=Outcome.passed, score=1.0)
    traces_found = found(desk)
    assert traces_found.shown[traces_found.read[desk.seed.id, name]].outcome == "failed"


def test_of_a_case_that_differs_both_runs_of_the_confirm_run_are_shown():
    desk = Chatty(WORDS).search().choose().confirm()
    assert desk.state.winner is not None
    for word in WORDS:
        both = {
            trace.candidate: trace.outcome
            for trace in traced(desk)
            if trace.case == f"test_a.py::{word}" and trace.trial == "confirm run, trial 1"
        }
        assert both[desk.seed.id] == "failed"
        assert both[desk.state.winner.id] == "passed"


def test_a_case_that_passes_on_both_sides_is_not_shown():
    desk = Chatty((*WORDS, "!zoo")).search().choose().confirm()
    assert "test_a.py::!zoo" not in [trace.case for trace in traced(desk)]


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
    assert (shown.outcome, shown.trial) == ("passed", "confirm run, trial 2")


def test_a_case_in_trouble_is_told_as_such():
    desk = Desk(WORDS[:2], trouble=("bee",)).search().choose()
    (_, row) = compare(desk.state, desk.cases, [desk.seed.id, "unknown"])
    assert [cell.kind for cell in row.cells] == ["trouble", "unknown"]
    assert [cell.words for cell in row.cells] == ["error", "not run"]


def test_trouble_is_told_beside_what_passed_and_not_shown_for_it():
    desk = Chatty(WORDS[:1]).search().choose().confirm(trials=3)
    (name,) = {case.id for case in desk.cases}
    runs = desk.state.confirm[desk.seed.id]
    runs[name, 0] = replace(runs[name, 0], outcome=Outcome.timeout, score=None)
    (row,) = compare(desk.state, desk.cases, [desk.seed.id])
    assert row.cells[0].words == "0/2, 1 timeout"
    traces_found = found(desk)
    assert traces_found.shown[traces_found.usual[desk.seed.id, name]].outcome == "failed"


def test_what_the_winner_breaks_comes_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(traces, "MOST_TRACES", 2)
    desk = Chatty((*WORDS, "!zoo")).search().choose().confirm()
    assert desk.state.winner is not None
    runs = desk.state.confirm[desk.state.winner.id]
    key = ("test_a.py::!zoo", 0)
    runs[key] = replace(runs[key], outcome=Outcome.failed, score=0.0)
    traces_found = found(desk)
    assert {trace.case for trace in traces_found.shown} == {"test_a.py::!zoo"}
    assert [trace.outcome for trace in traces_found.shown] == ["passed", "failed"]
    assert traces_found.left_out > 0


def test_a_run_is_told_in_order():
    asked = Message("user", "How warm is it?")
    tool = Message("assistant", "", tool_calls=(ToolCall("1", "weather", '{"at": "Rome"}'),), reasoning="I look.")
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
        TracePart("asked", "call 1, system", f"[the text of {PROMPT}]"),
        TracePart("asked", "call 1, user", "How warm is it?"),
        TracePart("answer", "call 1, small: reasoning", "I look."),
        TracePart("answer", "call 1, small", 'calls weather({"at": "Rome"})'),
        TracePart("asked", "call 2, tool", "31"),
        TracePart("asked", "call 2", "[3 earlier messages of this run again]"),
        TracePart("answer", "call 2, small (length)", "31 degrees"),
        TracePart("asked", "call 3, user", "again"),
        TracePart("answer", "call 3, a model of unknown name: no answer", "429"),
        TracePart("step", "logged as city", "Rome"),
        TracePart("failure", "what the check said", failure),
    )


def test_long_texts_are_cut_in_their_middle():
    (part,) = one(Trajectory(failure="x" * 100_000))
    assert len(part.text) <= traces.TEXT_BYTES + 100
    assert "characters cut" in part.text


def test_a_message_that_one_request_holds_twice_is_no_earlier_one():
    twice = Message("user", "no")
    call = Call("k", "small", (twice, twice), Message("assistant", "no"))
    assert [part.text for part in one(Trajectory((call,), failure="E"))] == ["no", "no", "no", "E"]


def test_of_a_long_run_the_middle_is_left_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(traces, "TRACE_BYTES", 1000)
    steps = tuple(Step(f"s{number}", f"{number}" + "x" * 90) for number in range(50))
    desk = Chatty(WORDS[:1])
    desk.said = Trajectory(steps=steps, failure="E")
    (shown_trace,) = traced(desk.search(0).choose())
    texts = [part.text for part in shown_trace.parts]
    assert texts[0].startswith("0x")
    assert texts[-1] == "E"
    (gap,) = (text for text in texts if "left out" in text)
    shown = len(texts) - 1
    assert gap == f"[{52 - shown} parts left out]"
    assert sum(map(len, texts)) <= 1000 + len(gap)


def test_all_traces_together_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(traces, "ALL_BYTES", 100)
    traces_found = found(Chatty(WORDS).search().choose().confirm())
    assert 0 < len(traces_found.shown) < len(WORDS)
    assert traces_found.left_out > 0


def test_no_more_traces_than_a_page_can_hold(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(traces, "MOST_TRACES", 3)
    assert len(traced(Chatty(WORDS).search().choose().confirm())) == 3


def test_texts_are_cleaned_as_a_whole():
    desk = Chatty(WORDS[:1])
    desk.said = Trajectory(failure="a\n" + "x" * 10_000 + "\nb")
    desk.search(0).choose()
    rows = compare(desk.state, desk.cases, [desk.seed.id])
    (shown,) = find_traces(desk.state, rows, (), lambda text: text.replace("x" * 10_000, "[redacted]")).shown
    assert shown.parts[-1].text == "a\n[redacted]\nb"


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
