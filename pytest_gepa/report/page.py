"""The result as one HTML file that needs nothing else: no script, no font, no address.

Every text of a model, a test or a prompt is escaped by the template engine, and a policy in the page forbids whatever
could run or be fetched all the same.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_gepa.optimize.state import RunState
from pytest_gepa.prompts.summary import one_line
from pytest_gepa.report.filters import environment
from pytest_gepa.report.matrix import Row, compare
from pytest_gepa.report.result import Result
from pytest_gepa.report.simulated import WARNING
from pytest_gepa.report.traces import Traces, find_traces
from pytest_gepa.suite.rollout import Case
from pytest_gepa.wording import count, name_without_file, printable

COMPARED = 8
"""Candidates beside which the cases are shown: today's prompts, the winner, and others of the frontier."""

BRIEF = 90
"""Characters by which an edit is named before it is opened."""

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
    candidates of the columns (id and title; today's prompts first, then the winner where there is one), and traces.
    `cases` has the ids of the cases that a nodeid of the result can only mean.
    """

    result: Result
    prompts: Mapping[str, tuple[Line, ...]]
    columns: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]
    traces: Traces
    cases: Mapping[str, str]


def build_page(result: Result, state: RunState, cases: Sequence[Case], redact: Callable[[str], str] = str) -> Page:
    """A page of a result and of the state that it was made from; what it takes from the state goes through `redact`,
    each text as a whole. The result has gone through it.
    """
    seed, winner = state.search.seed, state.winner or state.search.seed
    columns = [(seed.id, "today")]
    columns += [(winner.id, "winner")] if winner.id != seed.id else []
    columns += [(entry.candidate, f"frontier {number}") for number, entry in enumerate(result.frontier, 1)]
    columns = columns[:COMPARED]
    rows = compare(state, cases, [name for name, _ in columns])
    ids = {redact(case.nodeid): case.id for case in cases}
    # Names that are the same without their secrets lead nowhere, rather than to another case.
    times = Counter(redact(case.nodeid) for case in cases)
    unique = {name: case for name, case in ids.items() if times[name] == 1}
    read = [
        (edit.parents[0], unique[name])
        for edit in result.edits
        if edit.parents
        for change in edit.changes
        for name in (*(found.case for found in change.findings), *change.cases)
        if name in unique
    ]
    return Page(
        result=result,
        prompts={
            name: tuple(changed_lines(redact(before), redact(winner.texts[name])))
            for name, before in seed.texts.items()
            if winner.texts[name] != before
        },
        columns=tuple(columns),
        rows=tuple(replace(row, label=redact(row.label)) for row in rows),
        traces=find_traces(state, rows, read, redact),
        cases=unique,
    )


def render_page(page: Page) -> str:
    """The page as HTML."""
    titles = dict(page.columns)
    words = {"today": "today's prompts", "winner": "the winner"}

    def read(nodeid: str, candidate: str) -> int | None:
        """The position of the trace that an edit of this candidate was made from."""
        return page.traces.read.get((candidate, page.cases.get(nodeid, "")))

    def title(candidate: str) -> str:
        found = titles.get(candidate)
        return words.get(found, found) if found else f"an earlier candidate, {candidate}"

    filters: dict[str, Callable[..., object]] = {
        "brief": lambda text: one_line(printable(text), BRIEF),
        "flat": lambda text: " ".join(printable(text).split()),
        "label": {row.case: row.label for row in page.rows}.get,
        "read": read,
        "short": name_without_file,
        "shown": printable,
        "title_of": title,
        "usual": lambda case, candidate: page.traces.usual.get((candidate, case)),
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


def _by_file(rows: Sequence[Row]) -> dict[str, list[Row]]:
    files: dict[str, list[Row]] = {}
    for row in rows:
        files.setdefault(row.label.split("::", 1)[0], []).append(row)
    return files
