"""A check in words: what several of its reports say in the same way."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gepa.report.check_result import CaseCheck, CheckResult, Side
from pytest_gepa.report.phrases import groups_words
from pytest_gepa.run.base_prompts import PromptChange
from pytest_gepa.verdict.judge import Tally
from pytest_gepa.wording import count, joined, passed, some

TIER_WORDS = {
    "regressed": "proven worse under today's prompts",
    "suspect": "seen worse, not proven",
    "flaky": "passes now and then on both sides",
    "failing": "fails on both sides, not gated",
    "stable": "no worse",
    "improved": "proven better",
    "trouble": "no evidence on a side",
}
"""What the tiers mean, gravest first."""


def not_run_words(result: CheckResult) -> str:
    """What became of the cases that were left when a check had to end, "" where there are none."""
    if not result.not_run:
        return ""
    sides = "" if result.baseline else " on both sides"
    return f"{count(len(result.not_run), 'case')} not run{sides}, as the check had to end"


def tier_words(tier: str, result: CheckResult) -> str:
    """What a tier means in this check: with a saved baseline the prompts may be the same."""
    return "proven worse today" if tier == "regressed" and result.baseline else TIER_WORDS[tier]


def headline(result: CheckResult) -> str:
    """The verdict in a few words: `2 cases regressed, 1 suspect`."""
    regressed, suspect = (len(result.in_tier(tier)) for tier in ("regressed", "suspect"))
    if result.verdict not in ("regressed", "suspect") or not regressed + suspect:
        return result.verdict
    if not regressed:
        return f"{count(suspect, 'case')} suspect"
    return f"{count(regressed, 'case')} regressed" + (f", {suspect} suspect" if suspect else "")


def worst_first(cases: Sequence[CaseCheck]) -> list[CaseCheck]:
    """The cases by how much they have lost, ties in the order of the suite."""
    return sorted(cases, key=_lost, reverse=True)


def side_words(side: Side) -> str:
    """`7/8`, with the mean score where that says something else; `no evidence` of a side without any."""
    if not side.trials:
        return "no evidence"
    score = side.passed / side.trials if side.score is None else side.score
    return passed(Tally(side.passed, side.trials, score))


def grouped_words(result: CheckResult) -> str:
    """`, judged as 12 independent groups of 60 cases`, "" where no two cases share an answer of a model."""
    compared = sum(bool(case.base.trials and case.today.trials) for case in result.cases)
    return f", judged as {groups_words(result.groups, compared)}" if result.groups else ""


def line_words(lines: Sequence[int]) -> str:
    """`line 4`, `lines 4 to 6 and 9`; "" without any."""
    if not lines:
        return ""
    runs = [str(first) if first == last else f"{first} to {last}" for first, last in line_runs(lines)]
    return f"line{'s' if len(set(lines)) > 1 else ''} {joined(runs)}"


def moved_words(place: str) -> str:
    """`moved to app/route.md, as it was`."""
    return f"moved to {place}, as it was"


def unfilled_words(old: Sequence[str], today: Sequence[str]) -> str:
    """What follows a change by which placeholders have gone, "" where none have: those that either text alone has."""
    if not old:
        return ""
    alone = f"the old text alone has {some(old)}" + (f", today's alone has {some(today)}" if today else "")
    return f"; placeholders differ: {alone}; whichever the code of today does not fill in, its side ran without"


def line_runs(lines: Sequence[int]) -> list[tuple[int, int]]:
    """The first and last numbers of lines that stand together."""
    runs: list[tuple[int, int]] = []
    for number in sorted(set(lines)):
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def changes_of(case: CaseCheck, result: CheckResult) -> list[PromptChange]:
    """The changes of the prompts that a case uses."""
    return [change for change in result.changes if change.component in case.components]


def _lost(case: CaseCheck) -> float:
    base, today = (
        side.passed / side.trials if side.score is None and side.trials else side.score or 0.0
        for side in (case.base, case.today)
    )
    return base - today
