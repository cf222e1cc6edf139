"""The runs of cases that a reader of a result may want to see: those behind each edit, and those that differ or fail.

A trace is what happened in one run of a case, in order: what each model was asked and answered, logged steps, output,
and what the check said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_gepa.report.result import EditRecord
from pytest_gepa.run_state import RunState
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.trace.cut import cut_middle, cut_report
from pytest_gepa.trace.trajectory import Call, Message

MOST_TRACES = 300
"""Traces of one result; further ones are left out, so that a page of many cases still opens."""

TEXT_BYTES = 4_000
"""Of each text of a trace; the middle of a longer one is left out, visibly."""


@dataclass(frozen=True, slots=True)
class Part:
    """One text of a trace. `kind` is "asked", "answer", "step", "output" or "failure"."""

    kind: str
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Trace:
    """One run of the case `case` (its nodeid) under `candidate`; `outcome` is pytest's word for how it ended."""

    candidate: str
    case: str
    outcome: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """How a case fared under one candidate: `passed` of `trials` that gave evidence, or `trouble` if none did.

    `is_confirm` tells those of the confirm run from those of the search.
    """

    passed: int = 0
    trials: int = 0
    trouble: str = ""
    is_confirm: bool = False

    @property
    def kind(self) -> str:
        """ "passed", "failed", "mixed", "trouble", or "unknown" where the case was not run."""
        if not self.trials:
            return "trouble" if self.trouble else "unknown"
        return {0: "failed", self.trials: "passed"}.get(self.passed, "mixed")


@dataclass(frozen=True, slots=True)
class Row:
    """A case (its nodeid) and how it fared under each of the candidates that are compared, in their order."""

    case: str
    split: str
    cells: tuple[Cell, ...]


def compare(state: RunState, cases: Sequence[Case], candidates: Sequence[str]) -> list[Row]:
    """All cases under these candidates (their ids): in the confirm run where they were in it, else in the search."""
    return [
        Row(case.nodeid, case.split, tuple(_cell(_runs(state, name, case.id)) for name in candidates))
        for case in cases
    ]


def traces_of(
    state: RunState, cases: Sequence[Case], edits: Sequence[EditRecord], rows: Sequence[Row]
) -> list[Trace]:
    """Traces of the cases that an edit was made from, under the prompts that it changed; then, under today's prompts
    and the winner's, of those that did not pass in all their trials of both.
    """
    ids = {case.nodeid: case.id for case in cases}
    today, winner = state.search.seed.id, (state.winner or state.search.seed).id
    wanted = [
        (edit.parents[0], name)
        for edit in edits
        if edit.parents
        for change in edit.changes
        for name in (*(found.case for found in change.findings), *change.cases)
        if name in ids
    ]
    read = set(wanted)
    wanted += [
        (name, row.case)
        for row in rows
        if any(cell.kind != "passed" for cell in row.cells[:2])
        for name in (today, winner)
    ]
    found: list[Trace] = []
    for candidate, nodeid in dict.fromkeys(wanted):
        case = ids[nodeid]
        # An edit's own trace is the one that the reflecting model has read, not one of the confirm run.
        rollout = state.standing.get((candidate, case)) if (candidate, nodeid) in read else None
        rollout = rollout or _typical(_runs(state, candidate, case))
        if rollout is not None and len(found) < MOST_TRACES:
            texts = state.search.candidates[candidate].texts
            found.append(Trace(candidate, nodeid, rollout.outcome.value, tuple(_parts(rollout, texts))))
    return found


def _runs(state: RunState, candidate: str, case: str) -> list[tuple[Rollout, bool]]:
    """The rollouts of a case under a candidate, each with whether it is one of the confirm run."""
    confirmed = [run for (name, _), run in state.confirm.get(candidate, {}).items() if name == case]
    if confirmed:
        return [(run, True) for run in confirmed]
    standing = state.standing.get((candidate, case))
    return [(standing, False)] if standing is not None else []


def _cell(runs: Sequence[tuple[Rollout, bool]]) -> Cell:
    ended = [run.outcome for run, _ in runs if run.score is not None]
    passed = sum(outcome is Outcome.passed for outcome in ended)
    trouble = next((run.outcome.value for run, _ in runs if run.score is None), "")
    return Cell(passed, len(ended), trouble, any(is_confirm for _, is_confirm in runs))


def _typical(runs: Sequence[tuple[Rollout, bool]]) -> Rollout | None:
    """A run that ended as most did; one that did not pass, where they are as many."""
    cell = _cell(runs)
    most = 2 * cell.passed > cell.trials
    alike = [run for run, _ in runs if (run.outcome is Outcome.passed) is most]
    return next(iter(alike or [run for run, _ in runs]), None)


def _parts(rollout: Rollout, texts: Mapping[str, str]) -> Iterator[Part]:
    trajectory = rollout.trajectory
    names = {text.strip(): name for name, text in texts.items() if text.strip()}
    seen: set[Message] = set()
    for number, call in enumerate(trajectory.calls, 1):
        yield from _asked(call, number, names, seen)
        yield from _answered(call, number)
    for step in trajectory.steps:
        yield Part("step", f"logged as {step.name}", cut_middle(step.value, TEXT_BYTES))
    for title, text in trajectory.output:
        if text.strip():
            yield Part("output", title, cut_middle(text.strip("\n"), TEXT_BYTES))
    if trajectory.failure:
        yield Part("failure", "what the check said", cut_report(trajectory.failure.strip("\n"), TEXT_BYTES))
    elif rollout.feedback:
        yield Part("failure", "what the check said", cut_report(rollout.feedback, TEXT_BYTES))


def _asked(call: Call, number: int, names: Mapping[str, str], seen: set[Message]) -> Iterator[Part]:
    """A request: what an earlier one of the same run has said is not said again."""
    repeated = 0
    for message in call.request:
        if message in seen:
            repeated += 1
            continue
        seen.add(message)
        label = f"call {number}, {message.role}"
        name = names.get(message.content.strip())
        if name is not None:
            yield Part("asked", label, f"[the text of {name}]")
        elif said := _said(message):
            yield Part("asked", label, cut_middle(said, TEXT_BYTES))
    if repeated:
        yield Part("asked", f"call {number}", f"[{repeated} earlier messages of this run again]")


def _answered(call: Call, number: int) -> Iterator[Part]:
    model = f"call {number}, {call.model or 'a model of unknown name'}"
    if call.answer is None:
        yield Part("answer", f"{model}: no answer", cut_middle(call.error or "no reason known", TEXT_BYTES))
        return
    if call.answer.reasoning:
        yield Part("answer", f"{model}: reasoning", cut_middle(call.answer.reasoning, TEXT_BYTES))
    ended = f" ({call.finish_reason})" if call.finish_reason not in ("", "stop") else ""
    yield Part("answer", f"{model}{ended}", cut_middle(_said(call.answer) or "[nothing]", TEXT_BYTES))


def _said(message: Message) -> str:
    tools = [
        f"calls {made.name}({made.arguments})" + (f"\n{made.result}" if made.result else "")
        for made in message.tool_calls
    ]
    return "\n".join([*([message.content] if message.content else []), *tools])
