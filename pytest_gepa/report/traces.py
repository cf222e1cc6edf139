"""The runs of cases that a reader of a result may want to see: those behind each edit, and those that differ or fail.

A trace is what happened in one run of a case, in order: what each model was asked and answered, logged steps, output,
and what the check said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pytest_gepa.report.matrix import Row, Runs
from pytest_gepa.report.wording import count
from pytest_gepa.run_state import RunState
from pytest_gepa.suite.rollout import Rollout
from pytest_gepa.trace.cut import byte_length, cut_middle, cut_report
from pytest_gepa.trace.trajectory import Call, Message

MOST_TRACES = 300
"""Traces of one result; further ones are left out, and counted."""

ALL_BYTES = 6_000_000
TRACE_BYTES = 60_000
TEXT_BYTES = 4_000
"""Bytes of all traces, of one, and of one text in it; the middle of what is longer is left out, visibly."""


@dataclass(frozen=True, slots=True)
class Part:
    """One text of a trace. `kind` is "asked", "answer", "step", "output", "failure" or "gap"."""

    kind: str
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Trace:
    """One run of a case under a candidate (their ids); `outcome` is pytest's word for how it ended.

    `trial` tells which run it is: "search", or "confirm run, trial 2".
    """

    candidate: str
    case: str
    trial: str
    outcome: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Traces:
    """The traces that are shown, and where they are: by candidate and case the position of the run that an edit was
    made from (`read`), and of the run that stands for how the case fared (`usual`). `left_out` counts further ones.
    """

    shown: tuple[Trace, ...] = ()
    read: Mapping[tuple[str, str], int] = field(default_factory=dict)
    usual: Mapping[tuple[str, str], int] = field(default_factory=dict)
    left_out: int = 0


def find_traces(
    state: RunState, rows: Sequence[Row], read: Sequence[tuple[str, str]], redact: Callable[[str], str] = str
) -> Traces:
    """Traces of the rows' cases that did not pass in all their trials under today's prompts and the winner's, and of
    those that edits were made from (`read`: candidate and case).

    What a reviewer must not miss comes first: cases that the winner breaks or leaves to chance.
    """
    today, winner = state.search.seed.id, (state.winner or state.search.seed).id
    runs = Runs(state)
    urgent = sorted((row for row in rows if _urgency(row)), key=_urgency)
    spoilt = [(name, row.case) for row in urgent if _urgency(row) < _FIXED for name in (today, winner)]
    others = [(name, row.case) for row in urgent if _urgency(row) >= _FIXED for name in (today, winner)]
    wanted = [
        *((pair, False) for pair in dict.fromkeys(spoilt)),
        *((pair, True) for pair in dict.fromkeys(read)),
        *((pair, False) for pair in dict.fromkeys(others)),
    ]
    places: tuple[dict[tuple[str, str], int], dict[tuple[str, str], int]] = ({}, {})
    numbers: dict[tuple[str, str, str], int] = {}
    shown: list[Trace] = []
    room, left_out = ALL_BYTES, 0
    for (candidate, case), is_read in wanted:
        rollout = runs.failing(candidate, case) if is_read else runs.usual(candidate, case)
        if rollout is None:
            continue
        key = (candidate, case, rollout.trial)
        if key not in numbers:
            texts = state.search.candidates[candidate].texts
            parts = _fitting([*_parts(rollout, texts, redact)])
            size = sum(byte_length(part.text) for part in parts)
            if len(shown) == MOST_TRACES or size > room:
                left_out += 1
                continue
            room -= size
            trial = trial_words(rollout.trial)
            shown.append(Trace(candidate, case, trial, rollout.outcome.value, tuple(parts)))
            numbers[key] = len(shown) - 1
        places[not is_read][candidate, case] = numbers[key]
    return Traces(tuple(shown), *places, left_out)


_FIXED = 3


def _urgency(row: Row) -> int:
    """What to look at first: 1 broken by the winner, 2 undecided or in trouble, 3 fixed, 4 failing; 0 for nothing."""
    today, winner = (row.cells[0].kind, row.cells[min(1, len(row.cells) - 1)].kind)
    if {today, winner} == {"passed"}:
        return 0
    if today == "passed" and winner == "failed":
        return 1
    if {today, winner} <= {"passed", "failed", "unknown"}:
        return _FIXED if winner == "passed" else 4
    return 2


def trial_words(trial: str) -> str:
    """A rollout's trial for a reader: `search`, `confirm run, trial 2`."""
    phase, _, number = trial.rpartition("/")
    if phase.rpartition("/")[2] != "confirm":
        return "search"
    return f"confirm run, trial {int(number) + 1}" if number.isdecimal() else "confirm run"


def _fitting(parts: list[Part]) -> list[Part]:
    """The parts, without those in the middle of a trace that is too long."""
    head: list[Part] = []
    end: list[Part] = []
    rest, room = list(parts), TRACE_BYTES
    while rest:
        # From both ends in turn: how it began and how it ended tell most.
        part = rest.pop(0 if len(head) <= len(end) else -1)
        room -= byte_length(part.text)
        if room < 0:
            return [*head, Part("gap", "", f"[{count(len(rest) + 1, 'part')} left out]"), *reversed(end)]
        (head if len(head) <= len(end) else end).append(part)
    return [*head, *reversed(end)]


def _parts(rollout: Rollout, texts: Mapping[str, str], redact: Callable[[str], str]) -> Iterator[Part]:
    def shown(text: str) -> str:
        return cut_middle(redact(text), TEXT_BYTES)

    trajectory = rollout.trajectory
    names = {text.strip(): name for name, text in texts.items() if text.strip()}
    seen: set[Message] = set()
    for number, call in enumerate(trajectory.calls, 1):
        for label, text in _asked(call, names, seen):
            yield Part("asked", f"call {number}{label}", shown(text))
        model = redact(call.model) or "a model of unknown name"
        for label, text in _answered(call, seen):
            yield Part("answer", f"call {number}, {model}{label}", shown(text))
    for step in trajectory.steps:
        yield Part("step", f"logged as {redact(step.name)}", shown(step.value))
    for title, text in trajectory.output:
        if text.strip():
            yield Part("output", redact(title), shown(text.strip("\n")))
    if said := trajectory.failure.strip("\n") or rollout.feedback:
        yield Part("failure", "what the check said", cut_report(redact(said), TEXT_BYTES))


def _asked(call: Call, names: Mapping[str, str], seen: set[Message]) -> Iterator[tuple[str, str]]:
    """A request's messages; what earlier calls of the same run have said is not said again."""
    earlier, repeated = frozenset(seen), 0
    for message in call.request:
        bare = _bare(message)
        if bare in earlier:
            repeated += 1
            continue
        seen.add(bare)
        name = names.get(message.content.strip())
        said = f"[the text of {name}]" if name is not None else _said(message)
        if said:
            yield f", {message.role}", said
    if repeated:
        yield "", f"[{count(repeated, 'earlier message')} of this run again]"


def _answered(call: Call, seen: set[Message]) -> Iterator[tuple[str, str]]:
    if call.answer is None:
        yield ": no answer", call.error or "no reason known"
        return
    seen.add(_bare(call.answer))
    if call.answer.reasoning:
        yield ": reasoning", call.answer.reasoning
    ended = f" ({call.finish_reason})" if call.finish_reason not in ("", "stop") else ""
    yield ended, _said(call.answer) or "[nothing]"


def _bare(message: Message) -> Message:
    """A message by what comes back in a later request: its reasoning need not."""
    return replace(message, reasoning="", content=message.content.strip())


def _said(message: Message) -> str:
    tools = [
        f"calls {made.name}({made.arguments})" + (f"\n{made.result}" if made.result else "")
        for made in message.tool_calls
    ]
    return "\n".join([*([message.content] if message.content else []), *tools])
