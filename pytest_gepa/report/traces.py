"""The runs of cases that a reader of a result may want to see: those behind each edit, and those that differ or fail.

A trace is what happened in one run of a case, in order: what each model was asked and answered, logged steps, output,
and what the check said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from pytest_gepa.optimize.state import RunState
from pytest_gepa.report.matrix import Row, Runs
from pytest_gepa.suite.rollout import Rollout
from pytest_gepa.trace.cut import byte_length, cut_middle, cut_report
from pytest_gepa.trace.trajectory import Call, Message
from pytest_gepa.wording import count

MOST_TRACES = 300
"""Traces of one result; further ones are left out, and counted."""

ALL_BYTES = 6_000_000
TRACE_BYTES = 60_000
TEXT_BYTES = 4_000
"""Bytes of all traces, of one, and of one text in it; the middle of what is longer is left out, visibly."""


@dataclass(frozen=True, slots=True)
class TracePart:
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
    parts: tuple[TracePart, ...]


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
    sides = state.search.seed.id, (state.winner or state.search.seed).id
    by_rank: dict[Pressing, list[str]] = {rank: [] for rank in Pressing}
    for row in rows:
        by_rank[_pressing(row)].append(row.case)

    def both_sides(*ranks: Pressing) -> list[tuple[str, str]]:
        return [(name, case) for rank in ranks for case in by_rank[rank] for name in dict.fromkeys(sides)]

    shelf = _Shelf(state, redact)
    usual = shelf.take(both_sides(Pressing.broken, Pressing.in_doubt), Runs.usual)
    of_edits = shelf.take(dict.fromkeys(read), Runs.failing)
    usual |= shelf.take(both_sides(Pressing.fixed, Pressing.failing), Runs.usual)
    return Traces(tuple(shelf.shown), of_edits, usual, len(shelf.left_out))


class Pressing(Enum):
    """What a case has to say to a reviewer; nothing where it passed throughout."""

    broken = "broken"
    in_doubt = "in doubt"
    fixed = "fixed"
    failing = "failing"
    nothing = "nothing"


def _pressing(row: Row) -> Pressing:
    today, winner = row.cells[0].kind, row.cells[min(1, len(row.cells) - 1)].kind
    if today == winner == "passed":
        return Pressing.nothing
    if {today, winner} - {"passed", "failed", "unknown"}:
        return Pressing.in_doubt
    if winner == "passed":
        return Pressing.fixed
    return Pressing.broken if (today, winner) == ("passed", "failed") else Pressing.failing


class _Shelf:
    """The traces that are shown, each once, as far as there is room."""

    def __init__(self, state: RunState, redact: Callable[[str], str]) -> None:
        self._candidates = state.search.candidates
        self._runs = Runs(state)
        self._redact = redact
        self._places: dict[tuple[str, str, str], int] = {}
        self._room = ALL_BYTES
        self.shown: list[Trace] = []
        self.left_out: set[tuple[str, str, str]] = set()

    def take(
        self, pairs: Iterable[tuple[str, str]], choose: Callable[[Runs, str, str], Rollout | None]
    ) -> dict[tuple[str, str], int]:
        """Show a run of each candidate and case; where those are that found room."""
        chosen = {pair: choose(self._runs, *pair) for pair in pairs}
        found = {pair: self._place(*pair, rollout) for pair, rollout in chosen.items() if rollout is not None}
        return {pair: at for pair, at in found.items() if at is not None}

    def _place(self, candidate: str, case: str, rollout: Rollout) -> int | None:
        key = (candidate, case, rollout.trial)
        if key not in self._places:
            texts = self._candidates[candidate].texts
            parts = _fitting([*_parts(rollout, texts, self._redact)])
            size = sum(byte_length(part.text) for part in parts)
            if len(self.shown) == MOST_TRACES or size > self._room:
                self.left_out.add(key)
                return None
            self._room -= size
            self._places[key] = len(self.shown)
            when, ended = trial_words(rollout.trial), rollout.outcome.value
            self.shown.append(Trace(candidate, case, when, ended, tuple(parts)))
        return self._places[key]


def trial_words(trial: str) -> str:
    """A rollout's trial for a reader: `search`, `confirm run, trial 2`."""
    phase, _, number = trial.rpartition("/")
    if phase.rpartition("/")[2] != "confirm":
        return "search"
    return f"confirm run, trial {int(number) + 1}" if number.isdecimal() else "confirm run"


def _fitting(parts: list[TracePart]) -> list[TracePart]:
    """The parts, without those in the middle of a trace that is too long."""
    head: list[TracePart] = []
    end: list[TracePart] = []
    rest, room = list(parts), TRACE_BYTES
    while rest:
        # From both ends in turn: how it began and how it ended tell most.
        part = rest.pop(0 if len(head) <= len(end) else -1)
        room -= byte_length(part.text)
        if room < 0:
            return [*head, TracePart("gap", "", f"[{count(len(rest) + 1, 'part')} left out]"), *reversed(end)]
        (head if len(head) <= len(end) else end).append(part)
    return [*head, *reversed(end)]


def _parts(rollout: Rollout, texts: Mapping[str, str], redact: Callable[[str], str]) -> Iterator[TracePart]:
    def shown(text: str) -> str:
        return cut_middle(redact(text), TEXT_BYTES)

    trajectory = rollout.trajectory
    names = {text.strip(): name for name, text in texts.items() if text.strip()}
    seen: set[Message] = set()
    for number, call in enumerate(trajectory.calls, 1):
        for label, text in _asked(call, names, seen):
            yield TracePart("asked", f"call {number}{label}", shown(text))
        model = redact(call.model) or "a model of unknown name"
        for label, text in _answered(call, seen):
            yield TracePart("answer", f"call {number}, {model}{label}", shown(text))
    for step in trajectory.steps:
        yield TracePart("step", f"logged as {redact(step.name)}", shown(step.value))
    for title, text in trajectory.output:
        if text.strip():
            yield TracePart("output", redact(title), shown(text.strip("\n")))
    if said := trajectory.failure.strip("\n") or rollout.feedback:
        yield TracePart("failure", "what the check said", cut_report(redact(said), TEXT_BYTES))


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
