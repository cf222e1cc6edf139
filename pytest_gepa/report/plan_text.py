"""The plan as text: what an optimization would run, and the arithmetic of its budget."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from pytest_gepa.prompts.components import Component
from pytest_gepa.prompts.placeholders import declared, placeholders
from pytest_gepa.report.expected import expected_lines
from pytest_gepa.report.phrases import groups_words, provable_words
from pytest_gepa.report.rows import row
from pytest_gepa.run.plan import BudgetPlan
from pytest_gepa.settings import NO_MODEL, Settings
from pytest_gepa.suite.rollout import Case, file_of
from pytest_gepa.suite.ties import group_count
from pytest_gepa.suite.usage import CaseUsage, ReflectionUsage
from pytest_gepa.verdict.judge import ALPHA, least_gain
from pytest_gepa.verdict.power import SeenCase, least_effect, provable_gain
from pytest_gepa.wording import count, mean_calls, points, printable

LISTED_FILES = 4


def plan_lines(
    settings: Settings,
    cases: Sequence[Case],
    components: Sequence[Component],
    model: str,
    budget: BudgetPlan,
    usage: Mapping[str, CaseUsage],
    reflection: ReflectionUsage | None = None,
    *,
    redact: Callable[[str], str],
) -> list[str]:
    """The lines of `--gepa-plan`; `usage` is what earlier runs have shown, by case id, `reflection` of replies.

    `model` is the name by which its price is found; `redact` is made to it, and to those of the usage, to show them.
    """
    searched = sum(case.split == "search" for case in cases)
    held_out = len(cases) - searched
    lines = [row("prompts", str(len(components)))]
    for component in components:
        names = ", ".join(sorted(placeholders(component.text, declared(component.id))))
        keeps = f", placeholders {names}" if names else ""
        lines.append(f"  {component.id}: {len(component.text):,} characters{keeps}")
    lines += [
        row("cases", f"{len(cases)} ({searched} search, {held_out} held out)"),
        *_usage_lines(cases, components, usage),
        row("reflection model", model if model == NO_MODEL else redact(model)),
        row("budget", f"at most {count(budget.limit, 'rollout')}; a rollout is one run of one case"),
        f"  baseline           {searched} = {count(searched, 'search case')}",
        f"  search             at most {budget.search - searched}",
        f"  repeats            {budget.probe}, to see whether answers repeat exactly",
        *_shrink_lines(settings, budget),
        f"  confirm run        at most {budget.confirm} = {1 + budget.candidates} sides x {_sides(cases, budget)}",
        *expected_lines(settings, cases, model, budget, usage, reflection, redact=redact),
    ]
    seen = [_seen(case, budget, usage.get(case.id)) for case in cases if case.split == "search"]
    groups = {case.id: usage[case.id].group for case in cases if case.id in usage and usage[case.id].group}
    units = group_count([case.id for case in cases if case.split == "search"], groups)
    alpha = ALPHA / budget.candidates
    below = f"p < {alpha:.2g}" + (f", as {budget.candidates} candidates are judged" if budget.candidates > 1 else "")
    least, effect = least_gain(units, alpha), least_effect(seen, alpha)
    is_grouped = units < searched
    if least is None or effect is None:
        few = groups_words(units, searched) if is_grouped else count(searched, "case")
        lines.append(row("provable", f"nothing: {few} are too few for {below} ({_would_do(alpha)} would do)"))
    else:
        apart = f", each of another group ({groups_words(units, searched)}, as runs showed)" if is_grouped else ""
        told = f"from {count(least, 'case')} better and none worse, at the least {points(effect)} ({below}){apart}"
        lines += [row("provable", told), *_provable_lines(seen, budget)]
    lines.append(
        f"seed {settings.seed}, concurrency {settings.concurrency}, {settings.timeout:g} s a case; nothing was run"
    )
    return lines


def _shrink_lines(settings: Settings, budget: BudgetPlan) -> list[str]:
    if not settings.shrinks:
        return []
    return [f"  shrinking          at most {budget.shrink}, and what the search leaves"]


def _seen(case: Case, budget: BudgetPlan, usage: CaseUsage | None) -> SeenCase:
    """The case as earlier runs have shown it, without scores where none has."""
    scores, group = (usage.scores, usage.group) if usage else ((), "")
    return SeenCase(scores, case.trials or budget.trials, case.weight, group)


def _provable_lines(searched: Sequence[SeenCase], budget: BudgetPlan) -> list[str]:
    """The gain that would be proven in most runs, of cases as flaky as runs have shown them to be."""
    known = [case for case in searched if case.scores]
    if not known:
        return [row("", "how flaky the cases are is unknown until the baseline")]
    repeated = sum(len(case.scores) > 1 for case in known)
    if not repeated:
        return [row("", "how flaky the cases are is unknown: earlier runs ran each of them once")]
    flaky = f"{sum(case.is_flaky for case in known)} of {count(repeated, 'case')} flaky"
    gain = provable_gain(known, candidates=budget.candidates)
    rest = f", {len(searched) - len(known)} not known yet" if len(searched) > len(known) else ""
    return [row("", f"{provable_words(gain)} ({flaky} as runs showed{rest})")]


def _would_do(alpha: float) -> int:
    """The fewest cases that can prove anything."""
    return next(number for number in itertools.count(1) if least_gain(number, alpha) is not None)


def _sides(cases: Sequence[Case], budget: BudgetPlan) -> str:
    """What one side of the confirm run runs: `41 cases x 3 trials`; some cases may have trials of their own."""
    numbers = Counter(case.trials or budget.trials for case in cases)
    parts = [f"{count(those, 'case')} x {count(trials, 'trial')}" for trials, those in sorted(numbers.items())]
    return parts[0] if len(parts) == 1 else f"({' + '.join(parts)})"


def _usage_lines(cases: Sequence[Case], components: Sequence[Component], usage: Mapping[str, CaseUsage]) -> list[str]:
    """Which prompt reaches which cases, as far as runs have shown it."""
    known = [case for case in cases if case.id in usage]
    if not known:
        return [row("who reads what", "unknown until the baseline")]
    runs = sorted({usage[case.id].run for case in known})
    several = f"runs {runs[0]} to {runs[-1]}" if len(runs) > 1 else f"run {runs[0]}"
    lines = [row("who reads what", f"as {several} showed")]
    for component in components:
        users = [case for case in known if component.id in usage[case.id].components]
        readers = [case for case in known if component.id in usage[case.id].reads and case not in users]
        calls = sum(usage[case.id].components[component.id] for case in users)
        each = f", {mean_calls(calls / len(users))} a case" if users else ""
        lines.append(f"  {component.id}: {_where(users)}{each}")
        if readers:
            lines.append(f"    opened, and seen in no request: {_where(readers)}")
    names = {component.id for component in components}
    others = [case for case in known if names.isdisjoint(usage[case.id].touches)]
    unknown = [case for case in cases if case.id not in usage]
    lines += [f"  none of these: {_where(others)}"] if others else []
    return lines + ([f"  not known yet: {_where(unknown)}"] if unknown else [])


def _where(cases: Sequence[Case]) -> str:
    """How many cases, and in which files."""
    files = Counter(file_of(case.id) for case in cases)
    if not files:
        return "no case"
    named = [f"{printable(file)} {number}" for file, number in files.most_common(LISTED_FILES)]
    more = [f"{len(files) - LISTED_FILES} more files"] if len(files) > LISTED_FILES else []
    return f"{count(len(cases), 'case')} ({', '.join([*named, *more])})"
