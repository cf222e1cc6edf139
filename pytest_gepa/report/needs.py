"""What each change of the winner is needed for: from the state of a run, and as lines for terminal and patch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from pytest_gepa.optimize.state import RunState
from pytest_gepa.prompts.patch import PatchLine
from pytest_gepa.report.result import Change, ChangeNeed
from pytest_gepa.wording import count

LISTED_LINES = 6
LISTED_CASES = 4


def change_needs(state: RunState, labels: Mapping[str, str]) -> tuple[ChangeNeed, ...]:
    """The changes of the winner as the search has found it, in order; none where it was not shrunk."""
    if state.shrink is None:
        return ()
    return tuple(
        ChangeNeed(
            need.component,
            need.hunk.lines,
            need.state,
            tuple(labels[case] for case in need.cases),
            need.reason,
            need.at_least,
        )
        for need in state.shrink.needs
    )


def telling_first(change: Change, needs: Sequence[ChangeNeed]) -> Change:
    """The change with its findings in the order in which they tell why it was made.

    First those of cases that are worse without one of its lines; then those whose cause is said of the fewest cases, as
    that a prompt is not to blame is said of many.
    """
    lines = set(change.summary.splitlines())
    needing = {
        case
        for need in needs
        if need.component == change.component and lines.intersection(need.lines)
        for case in need.cases
    }
    often = Counter(found.cause for found in change.findings)
    ordered = sorted(change.findings, key=lambda found: (found.case not in needing, often[found.cause]))
    return replace(change, findings=tuple(ordered))


def needs_words(needs: Sequence[ChangeNeed]) -> str:
    """What became of the changes: `5 changes: 3 needed, 1 not measured, 1 dropped as no case is worse without it`."""
    states = [need.state for need in needs]
    dropped = states.count("dropped")
    told = [f"{states.count(state)} {state}" for state in ("needed", "not measured") if state in states]
    if dropped:
        told.append(f"{dropped} dropped as no case is worse without {'it' if dropped == 1 else 'them'}")
    return f"{count(len(needs), 'change')}: {', '.join(told)}"


def need_lines(needs: Sequence[ChangeNeed]) -> Iterator[PatchLine]:
    """The changes that are left, each with the cases that are worse without it; what others have written is quoted."""
    if not needs:
        return
    yield PatchLine(f"Shrunk: {needs_words(needs)}", quoted=False)
    kept = [need for need in needs if need.state != "dropped"]
    for number, need in enumerate(kept, 1):
        yield PatchLine("", quoted=False)
        yield PatchLine(f"Change {number} of {len(kept)}, in", quoted=False)
        yield PatchLine(need.component)
        yield from map(PatchLine, shown_lines(need))
        if need.state == "needed":
            yield PatchLine(f"worse without it{', at least' * need.at_least}:", quoted=False)
            yield from map(PatchLine, shown_cases(need))
        else:
            yield PatchLine("not measured:", quoted=False)
            yield PatchLine(need.reason)


def shown_lines(need: ChangeNeed) -> list[str]:
    """A change's lines, the first of many."""
    left = len(need.lines) - LISTED_LINES
    return [*need.lines[:LISTED_LINES], *([f"({left} more changed lines)"] if left > 0 else [])]


def shown_cases(need: ChangeNeed) -> list[str]:
    """The cases that are worse without a change, the first of many."""
    left = len(need.cases) - LISTED_CASES
    return [*need.cases[:LISTED_CASES], *([f"and {left} more"] if left > 0 else [])]
