"""What a check says on the terminal: what broke first, both answers side by side, the prompt's diff, and the rest."""

from __future__ import annotations

import shutil
import textwrap

from pytest_gepa.report.check_baseline import compared_lines
from pytest_gepa.report.check_result import TIERS, CaseCheck, CheckResult, Side
from pytest_gepa.report.check_wording import (
    grouped_words,
    moved_words,
    not_run_words,
    tier_words,
    unfilled_words,
)
from pytest_gepa.report.last_lines import spent_line, trouble_lines
from pytest_gepa.report.rows import row
from pytest_gepa.report.simulated import simulated_row
from pytest_gepa.run.base_prompts import BasePrompts, PromptChange
from pytest_gepa.wording import at_a_time, count, interval_words, p_words, points, printable, some

LISTED = 10
SHOWN_LINES = 12
SHOWN_DIFF = 40
WIDEST = 120
LISTED_TIERS = tuple(tier for tier in TIERS if tier != "stable")


def opening_line(base: BasePrompts, first: int, cases: int, concurrency: int) -> str:
    """What will be done, before it is."""
    names = ", ".join(change.component for change in base.changes)
    return (
        f"gepa: {count(len(base.changes), 'prompt')} changed since {base.name} ({names}); {first} of "
        f"{count(cases, 'case')} may use {'it' if len(base.changes) == 1 else 'them'}, {at_a_time(concurrency)}"
    )


def check_lines(result: CheckResult, directory: str) -> list[str]:
    """The closing section. `directory` is the run's, as seen from where the user is."""
    lines: list[str] = []
    worst = next((case for tier in ("regressed", "suspect") for case in result.in_tier(tier)), None)
    if worst is not None:
        lines += [*_case_lines(worst, result), *_diff_lines(result, worst), ""]
    state = " - FAILED" if result.failed else ""
    lines.append(row("verdict", f"{result.verdict}: {result.reason}{state}"))
    if any(case.base.trials and case.today.trials for case in result.cases):
        lines.append(
            row(
                "mean score",
                f"{points(result.effect)} against {result.base}, {interval_words(result.interval)}, "
                f"{p_words(result.p_value)}{grouped_words(result)}",
            )
        )
    if result.simulated:
        lines.append(simulated_row(name for names in result.models.values() for name in names))
    for tier in LISTED_TIERS:
        lines += _tier_lines(result, tier)
    if stable := result.in_tier("stable"):
        lines.append(row("stable", count(len(stable), "case")))
    if result.untouched:
        lines.append(row("untouched", f"{count(result.untouched, 'case')}, by every change"))
    if result.not_run:
        lines.append(row("not compared", f"{not_run_words(result)} ({some(result.not_run)})"))
    if result.on_new_prompts:
        lines.append(
            row(
                "new prompt",
                f"{count(len(result.on_new_prompts), 'case')} of a prompt that {result.base} has not: "
                f"not compared, not gated ({some(result.on_new_prompts)})",
            )
        )
    lines += _deleted_lines(result)
    if result.baseline is None:
        lines += [_change_line(change) for change in result.changes]
    else:
        lines += compared_lines(result, result.baseline)
    lines += trouble_lines(result.trouble, result.problems)
    if result.cases or result.spent.rollouts:
        if result.baseline is None:
            lines.append(row("compared", f"prompts only: both sides ran the code of today, not of {result.base}"))
        lines.append(spent_line(result.spent))
    lines.append(row("gate", _gate(result)))
    lines.append(row("report", f"{directory}/check.md"))
    if result.command:
        how = ", with both versions of the prompts as ancestors" if result.baseline is None else ""
        lines += [f"to mend exactly the regressed cases{how}:"]
        lines.append(result.command)
    return lines


def _gate(result: CheckResult) -> str:
    """`broken (--gepa-fail-on=regressed)`: what became of the gate, and by which options."""
    if result.is_unmade:
        return "nothing was compared"
    if result.failed:
        return f"broken ({' and '.join(result.broken_rules)})"
    return f"{'only reports' if result.gate == 'none' else 'held'} (--gepa-fail-on={result.gate})"


def _deleted_lines(result: CheckResult) -> list[str]:
    lines = []
    if result.on_deleted_prompts:
        cases = result.on_deleted_prompts
        lines.append(
            row(
                "deleted prompt",
                f"{count(len(cases), 'case')} that used one before: not compared in this, as both "
                f"sides ran without it ({some(cases)})",
            )
        )
    if result.not_collected:
        lines.append(
            row(
                "deleted prompt",
                f"{count(len(result.not_collected), 'case')} that used one before, and not among the "
                f"cases of today ({some(result.not_collected)})",
            )
        )
    return lines


def _case_lines(case: CaseCheck, result: CheckResult) -> list[str]:
    """One case: both answers side by side, and the assertion that failed. A saved baseline has no answers."""
    lines = [f"{case.tier.upper()} {case.case}"]
    left, right = f"{result.base}: {_rate(case.base)}", f"today: {_rate(case.today)}"
    if result.baseline is not None:
        answer = _cut((case.today.answer or "(no answer)").splitlines(), SHOWN_LINES)
        lines += [f"{left} | {right}", *(f"    {line}".rstrip() for line in answer)]
    else:
        lines += _side_by_side((left, case.base.answer), (right, case.today.answer))
    failure = case.today.failure or case.base.failure
    lines += [f"E   {line}".rstrip() for line in _cut(failure.splitlines(), SHOWN_LINES)]
    return lines


def _side_by_side(*columns: tuple[str, str]) -> list[str]:
    width = (min(WIDEST, shutil.get_terminal_size((100, 24)).columns) - 3) // 2
    wrapped = []
    for title, text in columns:
        lines = [part for line in text.splitlines() or ["(no answer)"] for part in _wrapped(line, width)]
        wrapped.append([title[:width], *_cut(lines, SHOWN_LINES)])
    height = max(map(len, wrapped))
    left, right = ([*column, *[""] * (height - len(column))] for column in wrapped)
    return [f"{one.ljust(width)} | {other}".rstrip() for one, other in zip(left, right, strict=True)]


def _wrapped(line: str, width: int) -> list[str]:
    return textwrap.wrap(printable(line), width, replace_whitespace=False, drop_whitespace=False) or [""]


def _cut(lines: list[str], most: int) -> list[str]:
    return lines if len(lines) <= most else [*lines[: most - 1], f"... {len(lines) - most + 1} more lines"]


def _diff_lines(result: CheckResult, case: CaseCheck) -> list[str]:
    used = [change for change in result.changes if change.component in case.components] or result.changes
    return [line for change in used[:2] for line in _cut(change.diff.splitlines(), SHOWN_DIFF)]


def _tier_lines(result: CheckResult, tier: str) -> list[str]:
    cases = result.in_tier(tier)
    if not cases:
        return []
    lines = [f"{tier} ({tier_words(tier, result)}):"]
    for case in cases[:LISTED]:
        proof = f", {p_words(case.p_value)}" if tier in ("regressed", "improved") else ""
        lines.append(f"  {case.case}: {_rate(case.base)} -> {_rate(case.today)}{proof}")
    if len(cases) > LISTED:
        lines.append(f"  and {len(cases) - LISTED} more, in the report")
    return lines


def _rate(side: Side) -> str:
    """`8/8 passed`, and the mean score where that says something else."""
    share = side.passed / side.trials if side.trials else 0.0
    graded = f" (score {side.score:.2f})" if side.score is not None and abs(side.score - share) >= 0.005 else ""
    return f"{side.passed}/{side.trials} passed{graded}"


def _change_line(change: PromptChange) -> str:
    gone = "deleted; the code of today runs without it on both sides"
    if change.moved:
        gone = f"deleted ({moved_words(change.moved)})"
    words = {
        "added": "new prompt, nothing to compare it with",
        "deleted": gone,
        "renamed": f"renamed from {change.before}, and edited",
    }
    unfilled = unfilled_words(change.unfilled, change.only_today)
    return row("prompt", f"{change.component}: {words.get(change.state, change.state)}{unfilled}")
