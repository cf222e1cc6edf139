"""The result as one HTML file that needs nothing else: no script, no font, no address.

Every text of a model, a test or a prompt is escaped by the template engine, and a policy in the page forbids whatever
could run or be fetched all the same.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_gepa.report.filters import environment
from pytest_gepa.report.result import Result
from pytest_gepa.report.simulated import WARNING
from pytest_gepa.report.traces import Cell, Row, Trace, compare, traces_of
from pytest_gepa.report.wording import count, name_without_file, printable
from pytest_gepa.run_state import RunState
from pytest_gepa.suite.rollout import Case

COMPARED = 8
"""Candidates beside which the cases are shown: today's prompts, the winner, and others of the frontier."""

CONTEXT = 3
"""Lines around a change that are shown with it."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a changed prompt: `kind` is "same", "added", "removed" or "gap" (lines that are left out)."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """What a page shows beside the result: the changed prompts' lines by their names, the cases under the
    candidates of the columns (today's prompts first, then the winner where there is one), and the traces.
    """

    result: Result
    prompts: Mapping[str, tuple[Line, ...]]
    columns: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]
    traces: tuple[Trace, ...]


def build_page(result: Result, state: RunState, cases: Sequence[Case]) -> Page:
    """A page of a result and of the state that it was made from."""
    seed, winner = state.search.seed, state.winner or state.search.seed
    columns = [(seed.id, "today")]
    columns += [(winner.id, "winner")] if winner.id != seed.id else []
    columns += [(entry.candidate, f"frontier {number}") for number, entry in enumerate(result.frontier, 1)]
    columns = columns[:COMPARED]
    rows = compare(state, cases, [name for name, _ in columns])
    return Page(
        result=result,
        prompts={
            name: tuple(changed_lines(before, winner.texts[name]))
            for name, before in seed.texts.items()
            if winner.texts[name] != before
        },
        columns=tuple(columns),
        rows=tuple(rows),
        traces=tuple(traces_of(state, cases, result.edits, rows)),
    )


def render_page(page: Page, redact: Callable[[str], str] = str) -> str:
    """The page as HTML. What is shown of prompts and traces goes through `redact`; the result has gone through it."""
    places = {(trace.candidate, trace.case): number for number, trace in enumerate(page.traces, 1)}

    def shown(text: str) -> str:
        return printable(redact(text))

    def place(case: str, candidate: str) -> int:
        """The number of a trace; 0 where there is none."""
        return places.get((candidate, case), 0)

    filters: dict[str, Callable[..., object]] = {
        "column": dict(page.columns).get,
        "flat": lambda text: " ".join(printable(text).split()),
        "cell_words": _cell_words,
        "place": place,
        "short": name_without_file,
        "shown": shown,
    }
    template = environment(filters, autoescape=True).get_template("report.html.j2")
    return template.render(page=page, result=page.result, warning=WARNING, by_file=_by_file(page.rows))


def changed_lines(before: str, after: str) -> Iterator[Line]:
    """The lines of a text with what was added and removed, and a gap for what is far from any change."""
    old, new = before.splitlines(), after.splitlines()
    groups = list(difflib.SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(CONTEXT))
    at = 0
    for group in groups:
        first, last = group[0], group[-1]
        if first[1] > at:
            yield _gap(first[1] - at)
        at = last[2]
        for tag, start, end, new_start, new_end in group:
            if tag == "equal":
                yield from (Line("same", line) for line in old[start:end])
                continue
            yield from (Line("removed", line) for line in old[start:end])
            yield from (Line("added", line) for line in new[new_start:new_end])
    if not groups:
        yield Line("gap", "only the ends of lines, or of the file, differ")
    elif len(old) > at:
        yield _gap(len(old) - at)


def _gap(lines: int) -> Line:
    return Line("gap", f"{count(lines, 'line')} as before")


def _cell_words(cell: Cell) -> str:
    if not cell.trials:
        return cell.trouble or "not run"
    if cell.trials == 1:
        return "passed" if cell.passed else "failed"
    return f"{cell.passed}/{cell.trials}"


def _by_file(rows: Sequence[Row]) -> dict[str, list[Row]]:
    files: dict[str, list[Row]] = {}
    for row in rows:
        files.setdefault(row.case.split("::", 1)[0], []).append(row)
    return files
