"""An audit in words: its plan, what it says while it runs and when it has ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from pytest_gepa.audit.plan import AuditPlan, PromptPlan
from pytest_gepa.prompts.pieces import SPANNING
from pytest_gepa.report.audit_result import AuditResult, PieceCoverage, PromptCoverage
from pytest_gepa.report.expected import expected_lines
from pytest_gepa.report.last_lines import spent_line, trouble_lines
from pytest_gepa.report.rows import capped, row
from pytest_gepa.report.simulated import simulated_row
from pytest_gepa.run.plan import BudgetPlan
from pytest_gepa.settings import NO_MODEL, Settings
from pytest_gepa.suite.rollout import Case
from pytest_gepa.suite.usage import CaseUsage
from pytest_gepa.wording import count, dollars, printable, some

LISTED = 5
"""So many cases, lines or reasons of a kind are named on the terminal; the listing has them all."""


def audit_plan_lines(
    settings: Settings, plan: AuditPlan, cases: Sequence[Case], usage: Mapping[str, CaseUsage]
) -> list[str]:
    """The lines of `--gepa-plan --gepa-audit`; `usage` is what earlier runs have shown, by case id."""
    known = all(prompt.is_known for prompt in plan.prompts)
    lines = [
        row(
            "baseline",
            f"{count(plan.cases * plan.trials, 'rollout')} = {count(plan.cases, 'case')} x "
            f"{count(plan.trials, 'trial')}; a rollout is one run of one case",
        ),
        row("prompts", f"{len(plan.prompts)}, each blanked, then without one of its pieces; cases that use it")
        + (", as earlier runs showed" if known else ": unknown until the baseline, so all of them"),
        *(f"  {_prompt_plan(prompt)}" for prompt in plan.prompts),
        row(
            "all",
            f"at most {plan.needed:,} rollouts = {plan.cases * plan.trials:,} + {plan.ablated:,}; "
            "cases that score nothing today are left out",
        ),
    ]
    if plan.trials > 1:
        lines.append(row("", "a case whose answers vary runs again with each text under which it does worse"))
    if settings.budget is not None:
        lines.append(row("budget", f"{count(settings.budget, 'rollout')}: {_room(plan)}"))
    if settings.max_cost is not None:
        lines.append(row("cap", f"{dollars(settings.max_cost)}; what has no room is told as not measured"))
    rollouts = min(plan.limit, plan.needed)
    budget = BudgetPlan(rollouts, rollouts, 0, 0, 1)
    return [
        *lines,
        *expected_lines(replace(settings, max_cost=None), cases, NO_MODEL, budget, usage, None),
        f"concurrency {settings.concurrency}, {settings.timeout:g} s a case; no reflection model; nothing was run",
    ]


def _prompt_plan(prompt: PromptPlan) -> str:
    if not prompt.cuts:
        return f"{prompt.component}: nothing to leave out"
    pieces = len(prompt.cuts) - 1
    kept = sum(cut.text is None for cut in prompt.cuts[1:])
    told = f", {kept} kept" if kept else ""
    return (
        f"{prompt.component}: {count(pieces, 'piece')}{told}; {count(prompt.texts, 'text')} x "
        f"{count(prompt.cases, 'case')} = {count(prompt.rollouts, 'rollout')}"
    )


def _room(plan: AuditPlan) -> str:
    if plan.limit >= plan.needed:
        return "room for all of it"
    return f"{plan.needed - plan.limit:,} fewer than that may take; whole prompts go first, then their first pieces"


def audit_opening(settings: Settings, plan: AuditPlan) -> str:
    """What will be done, before it is."""
    pieces = sum(max(0, len(prompt.cuts) - 1) for prompt in plan.prompts)
    limit = (
        f"budget {count(plan.limit, 'rollout')}" if settings.budget else f"at most {plan.needed:,} rollouts and repeats"
    )
    cap = "" if settings.max_cost is None else f" / {dollars(settings.max_cost)}"
    return (
        f"gepa: audit of {count(plan.cases, 'case')} by {count(len(plan.prompts), 'prompt')} of "
        f"{count(pieces, 'piece')}, {limit}{cap}"
    )


def audit_closing(result: AuditResult, directory: str) -> list[str]:
    """The closing section. `directory` is the run's, as seen from where the user is."""
    lines = [] if result.is_finished else [row("INTERRUPTED", "what follows was found before")]
    if result.simulated:
        lines.append(simulated_row(result.models))
    lines.append(row("prompt coverage", _share(result.noticed, result.measured)))
    for prompt in result.prompts:
        lines += _prompt_lines(prompt)
    lines += _case_lines(result)
    lines += trouble_lines(result.trouble, result.problems, LISTED, "audit.json")
    lines.append(spent_line(result.spent))
    return [*map(printable, lines), row("listing", f"{directory}/audit.md")]


def _share(noticed: int, measured: int) -> str:
    if not measured:
        return "no piece was measured"
    return f"{noticed} of {count(measured, 'piece')} noticed ({100 * noticed / measured:.0f} %)"


def coverage_words(prompt: PromptCoverage) -> str:
    """How much of a prompt is noticed, and by how many cases that it is blank."""
    if prompt.whole is None:
        return f"not audited: {prompt.reason}"
    if not prompt.users and prompt.whole.state == "unnoticed":
        return f"no case uses it: {_share(0, len(prompt.measured))}"
    return f"{_share(len(prompt.noticed), len(prompt.measured))}; {blank_words(prompt.whole)}"


def blank_words(whole: PieceCoverage) -> str:
    """What became of the cases when the whole prompt was blanked."""
    if whole.state == "noticed":
        return f"blanked, {_notice(len(whole.cases), whole.measured)}"
    if whole.state == "unnoticed":
        return "blanked, no case notices"
    return f"not blanked: {whole.reason}"


def _notice(noticing: int, measured: int) -> str:
    return f"{noticing} of {count(measured, 'case')} {'notices' if noticing == 1 else 'notice'}"


def _prompt_lines(prompt: PromptCoverage) -> Iterator[str]:
    yield f"{prompt.component:<20} {coverage_words(prompt)}"
    ranges = unnoticed_lines(prompt) if prompt.users else []
    yield from (f"  {lines} of {prompt.path}: no case notices" for lines in ranges[:LISTED])
    if len(ranges) > LISTED:
        yield f"  and {len(ranges) - LISTED} more places that no case notices, in the listing"
    reasons = Counter(piece.reason for piece in prompt.pieces if piece.state == "not measured")
    yield from (f"  {count(number, 'piece')} not measured: {reason}" for reason, number in reasons.most_common(LISTED))
    kept = [piece for piece in prompt.pieces if piece.state == "kept"]
    yield from (f"  {lines_of(prompt, piece)} kept: {piece.reason}" for piece in kept[:LISTED])
    if len(kept) > LISTED:
        yield f"  and {len(kept) - LISTED} more kept, in the listing"


def _case_lines(result: AuditResult) -> Iterator[str]:
    every = [one.case for one in result.anyhow if one.is_every]
    if every:
        yield row("pass anyhow", f"{count(len(every), 'case')}, whatever a prompt says: {some(every, LISTED)}")
    part = len(result.anyhow) - len(every)
    if part:
        yield row("pass without", f"a prompt that they use: {count(part, 'case')}, and not without another")
    for group in result.contradictions[:LISTED]:
        said = "; ".join(f"{case} ({told})" for case, told in zip(group.cases, group.expected, strict=True))
        yield row("contradictory", f"alike inputs, different expectations: {said}")
    flaky = [row("flaky", flaky_words(one.case, one.passed, one.trials, one.scores)) for one in result.flaky]
    yield from capped(flaky, LISTED, "the listing")
    says_nothing = [
        row("failure says nothing", f"{one.case}: {' '.join(one.printed.split()) or 'no message'}")
        for one in result.says_nothing
    ]
    yield from capped(says_nothing, LISTED, "the listing")
    if result.failing:
        yield row("fail today", f"{count(len(result.failing), 'case')}, which can notice nothing")


def flaky_words(case: str, passed: int, trials: int, scores: Sequence[float]) -> str:
    """How a flaky case fared: `test_a: passed 1 of 2 trials`."""
    if passed in (0, trials):
        return f"{case}: scores {', '.join(f'{score:.2f}' for score in scores)}"
    return f"{case}: passed {passed} of {trials} trials"


def lines_of(prompt: PromptCoverage, piece: PieceCoverage) -> str:
    """Where in its file a piece stands: `line 3`, `lines 7 to 9`."""
    return _lines(prompt.file_lines[piece.first - 1], prompt.file_lines[piece.last - 1])


def _lines(first: int, last: int) -> str:
    return f"lines {first} to {last}" if last > first else f"line {first}"


def unnoticed_lines(prompt: PromptCoverage) -> list[str]:
    """The stretches of a prompt that no case notices, pieces that follow each other as one."""
    text = prompt.text.split("\n")
    stretches: list[tuple[int, int]] = []
    for number in sorted(unnoticed_rows(prompt)):
        if stretches and not any(line.strip() for line in text[stretches[-1][1] : number - 1]):
            stretches[-1] = stretches[-1][0], number
        else:
            stretches.append((number, number))
    return [_lines(prompt.file_lines[first - 1], prompt.file_lines[last - 1]) for first, last in stretches]


def unnoticed_rows(prompt: PromptCoverage) -> set[int]:
    """The lines of the text, from 1, without which no case is worse."""
    text = prompt.text.split("\n")
    noticed = (piece for piece in prompt.noticed if piece.kind not in SPANNING)
    rows = _rows(piece for piece in prompt.pieces if piece.state == "unnoticed") - _rows(noticed)
    return {row for row in rows if row <= len(text) and text[row - 1].strip()}


def _rows(pieces: Iterable[PieceCoverage]) -> set[int]:
    return {row for piece in pieces for row in range(piece.first, piece.last + 1)}


def ablation_words(component: str, lines: tuple[int, int] | None, noticing: int, measured: int) -> str:
    """One text that has been tried, while the audit runs: without these lines, or blanked."""
    what = "blanked" if lines is None else f"without {_lines(*lines)}"
    told = "no case notices" if not noticing else _notice(noticing, measured)
    return f"{component} {what}: {told}"
