"""The plan as text: what an optimization would run, and the arithmetic of its budget."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gepa.plan import BudgetPlan
from pytest_gepa.prompts.components import Component
from pytest_gepa.prompts.placeholders import placeholders
from pytest_gepa.report.wording import count
from pytest_gepa.settings import Settings
from pytest_gepa.suite.rollout import Case
from pytest_gepa.verdict.judge import least_gain


def plan_lines(
    settings: Settings, cases: Sequence[Case], components: Sequence[Component], model: str, budget: BudgetPlan
) -> list[str]:
    """The lines of `--gepa-plan`."""
    searched = sum(case.split == "search" for case in cases)
    held_out = len(cases) - searched
    lines = [f"prompts              {len(components)}"]
    for component in components:
        names = ", ".join(sorted(placeholders(component.text)))
        keeps = f", placeholders {names}" if names else ""
        lines.append(f"  {component.id}: {len(component.text):,} characters{keeps}")
    lines += [
        f"cases                {len(cases)} ({searched} search, {held_out} held out)",
        "who reads what       unknown until the baseline",
        f"reflection model     {model}",
        f"budget               at most {count(budget.limit, 'rollout')}; a rollout is one run of one case",
        f"  baseline           {searched} = {count(searched, 'search case')}",
        f"  search             at most {budget.search - searched}",
        f"  repeats            {budget.probe}, to see whether answers repeat exactly",
        f"  confirm run        at most {budget.confirm} = 2 sides x {count(len(cases), 'case')} x "
        f"{count(budget.trials, 'trial')}",
        "price                unknown: no price table is read",
    ]
    least = least_gain(searched)
    if least is None:
        lines.append(
            f"provable             nothing: {count(searched, 'case')} are too few for p < 0.05 (6 would do)"
        )
    else:
        lines.append(f"provable             from {count(least, 'case')} fixed with none broken (p < 0.05)")
    lines.append(
        f"seed {settings.seed}, concurrency {settings.concurrency}, {settings.timeout:g} s a case; nothing was run"
    )
    return lines
