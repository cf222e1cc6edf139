"""A check as Markdown for a step summary or a comment that is kept up to date: what broke comes first."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gepa.report.check_baseline import apart_parts, compared_markdown
from pytest_gepa.report.check_result import TIERS, CaseCheck, CheckResult
from pytest_gepa.report.check_wording import (
    TIER_WORDS,
    changes_of,
    grouped_words,
    headline,
    line_words,
    moved_words,
    not_run_words,
    side_words,
    tier_words,
    unfilled_words,
    worst_first,
)
from pytest_gepa.report.fitting import ReportPart, fit
from pytest_gepa.report.foreign import code, fence, line, markup
from pytest_gepa.report.phrases import price
from pytest_gepa.report.simulated import WARNING
from pytest_gepa.run.base_prompts import PromptChange
from pytest_gepa.wording import count, duration, interval_words, p_words, points, some

MARKER = "<!-- pytest-gepa-check -->"
"""The first line, by which a comment is found again."""

LIMIT = 65_536
"""What GitHub takes as a comment, in characters."""

ANSWER, FAILURE, DIFF, COMMAND = 1_500, 2_500, 6_000, 8_000
NAMED = 3
"""Prompts that a sentence or a row names."""

REST = "All of it is in `check.json`, beside this report."


def render_check_markdown(result: CheckResult) -> str:
    """The report, ending in a newline; never longer than `LIMIT`."""
    parts = [
        ReportPart(0, _head(result)),
        *_broken_first(result),
        _changes(result.changes),
        _command(result),
        _broken_others(result),
        *_tables(result),
        _trouble(result),
        _new_prompts(result),
        _deleted_prompts(result),
        *(apart_parts(result.baseline) if result.baseline else ()),
        _problems(result),
        ReportPart(0, _foot(result)),
    ]
    return fit(parts, LIMIT, REST)


def _head(result: CheckResult) -> str:
    lines = [MARKER, f"## Prompt check: {headline(result)}", ""]
    lines += [f"**{_capital(result.verdict)}:** {line(result.reason).removesuffix('.')}.", ""]
    if result.stopped and result.stopped not in result.reason:
        lines += [f"**Not finished:** {line(result.stopped)}.", ""]
    if result.simulated:
        lines += [f"The model is {WARNING}.", ""]
    lines.append(f"- Gate: {_gate(result)}")
    saved = result.baseline
    lines += _compared(result) if saved is None else compared_markdown(result, saved)
    if result.not_run:
        listed = some([code(case, 100) for case in result.not_run], NAMED)
        lines.append(f"- {not_run_words(result)}: {listed}")
    if any(case.base.trials and case.today.trials for case in result.cases):
        lines.append(
            f"- Score {points(result.effect)}, {interval_words(result.interval)}, {p_words(result.p_value)}"
            f"{grouped_words(result)}"
        )
    return "\n".join([*lines, *_counts(result)]) + "\n"


def _compared(result: CheckResult) -> list[str]:
    revision = f" ({code(result.revision, 100)})" if result.revision not in ("", result.base) else ""
    lines = [f"- Today's prompts compared with those of {code(result.base, 100)}{revision}, both under today's code"]
    if result.changes:
        listed = some([code(change.component, 100) for change in result.changes], NAMED)
        lines.append(f"- {count(len(result.changes), 'prompt')} changed: {listed}")
        run = sum(case.case not in result.not_run for case in result.cases)
        lines.append(f"- {count(run, 'case')} run under both, {result.untouched:,} not touched by the change")
    return lines


def _gate(result: CheckResult) -> str:
    rule = f"--gepa-fail-on={result.gate}"
    if result.is_unmade:
        return "failed (nothing was compared)"
    if result.failed:
        return f"failed ({' and '.join(code(broken, 100) for broken in result.broken_rules)})"
    return f"{'only reports' if result.gate == 'none' else 'passed'} ({code(rule, 100)})"


def _counts(result: CheckResult) -> list[str]:
    if not result.cases:
        return []
    numbers = {tier: len(_of_tier(result, tier)) for tier in TIER_WORDS}
    shown = [tier for tier in TIER_WORDS if numbers[tier] or tier in ("regressed", "suspect")]
    rows = (shown, ["--:"] * len(shown), [f"{numbers[tier]:,}" for tier in shown])
    return ["", *(_cells(row).rstrip() for row in rows)]


def _worse(result: CheckResult) -> list[CaseCheck]:
    return [*worst_first(result.in_tier("regressed")), *worst_first(result.in_tier("suspect"))]


def _broken_first(result: CheckResult) -> list[ReportPart]:
    """The worst case, with both answers side by side."""
    details = [_detail(case, result) for case in _worse(result)[:1]]
    return [ReportPart(0, "\n### What broke first\n", (detail,), noun="case with its answers") for detail in details]


def _broken_others(result: CheckResult) -> ReportPart:
    """The same of every other case that is worse, folded."""
    folded = tuple(
        f"\n<details><summary>{_title(case)}</summary>\n{_detail(case, result)}\n</details>\n"
        for case in _worse(result)[1:]
    )
    return ReportPart(2, "\n### What else is worse\n" if folded else "", folded, noun="cases with their answers")


def _title(case: CaseCheck) -> str:
    name = markup(" ".join(case.case.split()), 200)
    return f"{case.tier}: {name}: {side_words(case.base)} &rarr; {side_words(case.today)} passed"


def _detail(case: CaseCheck, result: CheckResult) -> str:
    using = [change.component for change in changes_of(case, result)] or list(case.components)
    named = ", ".join(code(component, 100) for component in using[:NAMED])
    sides = f"{side_words(case.base)} before, {side_words(case.today)} today"
    lines = [
        "",
        f"{code(case.case)} is **{case.tier}** ({tier_words(case.tier, result)}): passed {sides}, "
        f"{p_words(case.p_value)}{f'; uses {named}' if named else ''}.",
        "",
    ]
    # A saved baseline has no answers.
    lines += _both_answers(case) if result.baseline is None else ["The answer today:", "", _answer(case), ""]
    text = "\n".join(lines)
    if case.today.failure:
        text += f"\nThe failure today:\n\n{fence(case.today.failure, FAILURE)}"
    if case.base.failure:
        text += f"\nThe failure before:\n\n{fence(case.base.failure, FAILURE)}"
    return text


def _both_answers(case: CaseCheck) -> list[str]:
    return [
        "<table>",
        '<tr><th width="50%" align="left">Answer before</th><th width="50%" align="left">Answer today</th></tr>',
        f'<tr><td valign="top">{markup(case.base.answer, ANSWER)}</td>'
        f'<td valign="top">{markup(case.today.answer, ANSWER)}</td></tr>',
        "</table>",
        "",
    ]


def _answer(case: CaseCheck) -> str:
    return fence(case.today.answer, ANSWER).rstrip("\n")


def _command(result: CheckResult) -> ReportPart:
    command = result.command
    if not command:
        return ReportPart(0, "")
    shown = fence(command, COMMAND, "sh")
    if len(command) > COMMAND:
        shown = "It names too many cases for this report: it stands in `check.json`, under `command`.\n"
    start = "both versions" if result.baseline is None else "today's"
    head = f"\n### Mend it\n\nThis looks for prompts that mend the regressed cases, starting from {start}:\n\n"
    return ReportPart(0, head, (shown,), noun="command")


def _changes(changes: Sequence[PromptChange]) -> ReportPart:
    items = []
    for change in changes:
        before = f" from {code(change.before)}" if change.before else ""
        moved = f", {moved_words(code(change.moved))}" if change.moved else ""
        old, today = ([code(name, 100) for name in names] for names in (change.unfilled, change.only_today))
        unfilled = unfilled_words(old, today)
        where = line_words(change.lines[:40])
        lines = f", {where}{' and more' if len(change.lines) > 40 else ''}" if where else ""
        diff = f"\n{fence(change.diff, DIFF, 'diff')}" if change.diff else ""
        what = f"{change.state}{before}{moved}{lines}{unfilled}"
        items.append(f"\n**{code(change.component)}** {what}\n{diff}")
    return ReportPart(1, "\n### What changed in the prompts\n" if items else "", tuple(items), noun="changed prompts")


def _tables(result: CheckResult) -> list[ReportPart]:
    """One table a tier; the gravest two open, the others folded."""
    names_prompts = len(result.changes) > 1
    parts = []
    for rank, tier in enumerate(("regressed", "suspect", "flaky", "improved", "failing", "stable"), 3):
        cases = worst_first(result.in_tier(tier))
        if not cases:
            continue
        is_tested = tier in ("regressed", "suspect", "improved")
        columns = ["case", "before", "today", *(["p"] * is_tested), *(["prompts"] * names_prompts)]
        ruler = ["---", *(["--:"] * (2 + is_tested)), *(["---"] * names_prompts)]
        head = f"{_cells(columns)}{_cells(ruler)}"
        rows = tuple(_row(case, columns) for case in cases)
        title = f"{_capital(tier)}: {count(len(cases), 'case')} ({tier_words(tier, result)})"
        noun = f"rows of {tier} cases"
        if tier in ("regressed", "suspect"):
            parts.append(ReportPart(rank, f"\n### {title}\n\n{head}", rows, noun=noun))
        else:
            folded = f"\n<details><summary>{title}</summary>\n\n{head}"
            parts.append(ReportPart(rank, folded, rows, "\n</details>\n", noun))
    return parts


def _row(case: CaseCheck, columns: Sequence[str]) -> str:
    cells = [code(case.case), side_words(case.base), side_words(case.today)]
    if "p" in columns:
        cells.append(p_words(case.p_value).removeprefix("p ").removeprefix("= "))
    if "prompts" in columns:
        cells.append(some([code(component, 100) for component in case.components], NAMED))
    return _cells(cells)


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _trouble(result: CheckResult) -> ReportPart:
    """What gave no evidence, with the reason where it is known."""
    told = {item.case for item in result.trouble}
    items = [f"- {code(item.case)}: {line(item.outcome, 40)}: {line(item.reason, 300)}\n" for item in result.trouble]
    items += [
        f"- {code(case.case)}: {TIER_WORDS['trouble']}\n"
        for case in _of_tier(result, "trouble")
        if case.case not in told
    ]
    head = "\n### Trouble: trials that are not counted, as they gave no evidence\n\n" if items else ""
    return ReportPart(5, head, tuple(items), noun="lines of trouble")


def _new_prompts(result: CheckResult) -> ReportPart:
    items = tuple(f"- {code(case)}\n" for case in result.on_new_prompts)
    title = f"Not compared: {count(len(items), 'case')} of a prompt that the base has not"
    head = f"\n<details><summary>{title}</summary>\n\n" if items else ""
    return ReportPart(9, head, items, "\n</details>\n" if items else "", "cases of new prompts")


def _deleted_prompts(result: CheckResult) -> ReportPart:
    items = [f"- {code(case)}\n" for case in result.on_deleted_prompts]
    items += [f"- {code(case)}, not among the cases of this session\n" for case in result.not_collected]
    title = f"Not compared: {count(len(items), 'case')} that used a prompt deleted since; both sides ran without it"
    head = f"\n<details><summary>{title}</summary>\n\n" if items else ""
    return ReportPart(9, head, tuple(items), "\n</details>\n" if items else "", "cases of deleted prompts")


def _problems(result: CheckResult) -> ReportPart:
    items = tuple(f"- {code(problem, 300)}\n" for problem in result.problems)
    head = "\n### Trouble in recording: calls or checks may be missing\n\n" if items else ""
    return ReportPart(5, head, items, noun="problems in recording")


def _foot(result: CheckResult) -> str:
    spent = result.spent
    models = ", ".join(code(name, 60) for names in list(result.models.values())[:NAMED] for name in names[:NAMED])
    return (
        f"\n<sub>Run {code(result.run, 60)}: {count(spent.rollouts, 'rollout')} ({spent.cached:,} more answered from "
        f"the cache), {spent.input_tokens:,} input and {spent.output_tokens:,} output tokens, "
        f"{line(price(spent), 200)}, {duration(spent.seconds)}{f', models: {models}' if models else ''}.</sub>\n"
    )


def _of_tier(result: CheckResult, tier: str) -> tuple[CaseCheck, ...]:
    """The cases of a tier; what is in none that is known gave no evidence."""
    if tier != "trouble":
        return result.in_tier(tier)
    return tuple(case for case in result.cases if case.tier not in TIERS)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
