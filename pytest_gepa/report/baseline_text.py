"""What saved baselines say on the terminal: before they are saved or compared with, and when one has been saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pytest_gepa.check.baselines import Baseline
from pytest_gepa.check.matching import Matched
from pytest_gepa.check.rounds import most_trials
from pytest_gepa.report.check_baseline import LISTED
from pytest_gepa.report.expected import expected_lines
from pytest_gepa.report.rows import row
from pytest_gepa.report.simulated import WARNING, is_simulated
from pytest_gepa.run.base_prompts import PromptChange
from pytest_gepa.run.plan import BudgetPlan
from pytest_gepa.settings import NO_MODEL, Settings
from pytest_gepa.suite.rollout import Case
from pytest_gepa.suite.usage import CaseUsage
from pytest_gepa.verdict.sequential import CAP, CLEAN, most_provable
from pytest_gepa.wording import count, dollars, some

LISTED_DIFFERENCES = 20
FRESH = "all asked anew"


def saving_opening(name: str, cases: int, trials: int) -> str:
    """What will be done to save a baseline."""
    return f"gepa: baseline {name}: {count(cases, 'case')}, at most {count(trials, 'trial')} in all"


def comparing_opening(name: str, baseline: Baseline, matched: Matched, changes: Sequence[PromptChange]) -> str:
    """What will be done to compare with one."""
    changed = f"; {count(len(changes), 'prompt')} not as then" if changes else ""
    return f"gepa: {count(len(matched.known), 'case')} of the baseline {name}, saved on {baseline.saved}{changed}"


def saving_plan(settings: Settings, cases: Sequence[Case], trials: int, usage: Mapping[str, CaseUsage]) -> list[str]:
    """The plan of a baseline that would be saved."""
    each = sorted({most_trials(case, settings) for case in cases})
    a_case = f"{each[0]}" if len(each) == 1 else f"{each[0]} to {each[-1]}"
    return [
        row("baseline", f"{settings.saved_baseline} would be saved"),
        row("cases", f"{len(cases):,}"),
        row(
            "rollouts",
            f"at most {trials:,}, {a_case} a case; those that reach no model run once",
        ),
        *_price(settings, cases, trials, usage),
        "nothing was run",
    ]


def comparing_plan(
    settings: Settings,
    baseline: Baseline,
    matched: Matched,
    changes: Sequence[PromptChange],
    cases: Sequence[Case],
    trials: int,
    usage: Mapping[str, CaseUsage],
) -> list[str]:
    """The plan of a comparison. `cases` are those that would be run, `trials` the most that they may take."""
    least = min(trials, CLEAN * len(cases))
    most = trials if settings.budget is None else min(trials, settings.budget)
    apart = ", ".join(
        f"{len(left_out):,} {words}"
        for left_out, words in (
            (matched.new, "not in the baseline"),
            (matched.edited, "edited since"),
            (matched.gone, "not in this session"),
        )
        if left_out
    )
    named = some([change.component for change in changes], LISTED)
    return [
        row(
            "baseline",
            f"{settings.baseline}, saved on {baseline.saved} by pytest-gepa {baseline.version}, "
            f"models {', '.join(baseline.models) or 'none'}",
        ),
        row("prompts", f"not as then: {named}" if changes else "all as then"),
        row("cases", f"{len(cases):,} compared{f'; not compared: {apart}' if apart else ''}"),
        row("rollouts", f"{least:,} where nothing differs ({CLEAN} a case), at most {most:,}"),
        *_price(settings, cases, most, usage),
        "nothing was run",
    ]


def _price(settings: Settings, cases: Sequence[Case], rollouts: int, usage: Mapping[str, CaseUsage]) -> list[str]:
    budget = BudgetPlan(rollouts, rollouts, 0, 0, 1)
    lines = expected_lines(replace(settings, max_cost=None), cases, NO_MODEL, budget, usage, None, FRESH)
    return lines if settings.max_cost is None else [*lines, row("cap", dollars(settings.max_cost))]


def saved_lines(name: str, baseline: Baseline) -> list[str]:
    """What has been saved: a baseline of one case or more."""
    numbers = sorted({case.trials for case in baseline.cases.values()})
    each = count(numbers[0], "trial") if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]} trials"
    passed = sum(case.passed for case in baseline.cases.values())
    trials = sum(case.trials for case in baseline.cases.values())
    return [
        row(
            "baseline",
            f"{name}: {count(len(baseline.cases), 'case')}, {each} each, {passed:,} of {trials:,} passed",
        ),
        row("models", ", ".join(baseline.models) or "none") + (f", {WARNING}" if is_simulated(baseline.models) else ""),
        _provable(numbers[0], len(baseline.cases)),
    ]


def replaced_lines(before: Baseline, differences: Sequence[str]) -> list[str]:
    """What the baseline that was replaced said otherwise."""
    if not differences:
        return [row("replaces", f"the one of {before.saved}: no difference but the day")]
    lines = [row("replaces", f"the one of {before.saved}: {count(len(differences), 'difference')}")]
    lines += [f"  {line}" for line in differences[:LISTED_DIFFERENCES]]
    if len(differences) > LISTED_DIFFERENCES:
        lines.append(f"  and {len(differences) - LISTED_DIFFERENCES} more; git diff shows them all")
    return lines


def _provable(recorded: int, cases: int) -> str:
    most = most_provable(recorded, cases)
    if most is None:
        return row("provable", "nothing: so few trials can prove no case worse; save more with --gepa-trials")
    return row(
        "provable",
        f"of a case that passed all of its {recorded} trials: that it is worse, when it passes at most {most} of {CAP}",
    )
