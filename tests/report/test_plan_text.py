"""The plan as text, and the arithmetic of the budget below it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.errors import SettingsError
from pytest_gepa.prompts.components import Component
from pytest_gepa.report.plan_text import plan_lines
from pytest_gepa.run.plan import plan_budget
from pytest_gepa.settings import Settings
from pytest_gepa.suite.rollout import Case
from pytest_gepa.suite.usage import CaseUsage, ModelUsage, ReflectionUsage
from pytest_gepa.trace.redact import Redactor
from tests.report.runs import case

HERE = Path("/nowhere")
SETTINGS = Settings(
    mode="optimize",
    is_plan=True,
    rootdir=HERE,
    prompts=(),
    prompts_base=HERE,
    reflection_model="large",
    budget=None,
    minutes=None,
    concurrency=8,
    trials=None,
    holdout=0.0,
    seed=3,
    timeout=120.0,
    max_broken=0,
    fail_on=None,
    isolation="auto",
)
COMPONENTS = (
    Component("prompts/a.md", HERE / "prompts/a.md", "x" * 1234),
    Component("prompts/b.md", HERE / "prompts/b.md", "For {name}: {{ question }}"),
)


def cases(searched: int, held_out: int = 0) -> list[Case]:
    found = [case(f"s{n}") for n in range(searched)]
    return found + [case(f"h{n}", split="holdout") for n in range(held_out)]


def text(
    settings: Settings,
    chosen: Sequence[Case],
    usage: Mapping[str, CaseUsage] | None = None,
    reflection: ReflectionUsage | None = None,
    model: str = "large",
    redact: Callable[[str], str] = str,
) -> str:
    budget = plan_budget(settings, chosen)
    told = plan_lines(settings, chosen, COMPONENTS, model, budget, usage or {}, reflection, redact=redact)
    return "\n".join(told)


def test_a_plan_names_prompts_cases_and_costs():
    told = text(SETTINGS, cases(31, 10))
    assert "prompts              2\n  prompts/a.md: 1,234 characters\n" in told
    assert re.search(r"prompts/b\.md: \d+ characters, placeholders .*name", told)
    assert "cases                41 (31 search, 10 held out)" in told
    assert "who reads what       unknown until the baseline" in told
    assert "reflection model     large" in told
    assert "seed 3, concurrency 8, 120 s a case; nothing was run" in told
    assert "from 6 cases better and none worse, at the least +6 points (p < 0.05)" in told


@pytest.mark.parametrize("settings", [SETTINGS, replace(SETTINGS, budget=200), replace(SETTINGS, trials=2)])
def test_the_parts_of_the_budget_add_up_to_its_limit(settings: Settings):
    told = text(settings, cases(12, 3))
    limit = int(re.search(r"at most ([\d,]+) rollouts;", told)[1].replace(",", ""))  # type: ignore[index]
    parts = re.findall(r"^  (?:baseline|search|repeats|shrinking|confirm run) +(?:at most )?([\d,]+)", told, re.M)
    assert sum(int(part.replace(",", "")) for part in parts) == limit


def test_too_few_cases_to_prove_anything_are_said():
    one_trial = replace(SETTINGS, trials=1)
    assert "provable             nothing: 5 cases are too few for p < 0.05 (6 would do)" in text(SETTINGS, cases(5))
    assert "from 6 cases better and none worse, at the least +100 points" in text(one_trial, cases(6))


# The budget itself


def test_the_default_budget_is_twenty_rollouts_a_search_case_and_the_confirm_run():
    plan = plan_budget(SETTINGS, cases(31, 10))
    assert plan.trials == 3
    assert plan.confirm == 2 * 41 * 3
    assert plan.search + plan.shrink == 20 * 31
    assert plan.limit == plan.search + plan.shrink + plan.confirm + plan.probe


def test_a_marker_sets_the_trials_of_its_case():
    chosen = [*cases(9), case("often", trials=5)]
    assert plan_budget(replace(SETTINGS, trials=2), chosen).confirm == 2 * (9 * 2 + 5)


@pytest.mark.parametrize("searched", [1, 5, 12, 40])
@pytest.mark.parametrize("held_out", [0, 7])
@pytest.mark.parametrize("trials", [None, 1, 3])
def test_the_smallest_budget_that_is_named_will_do_and_one_less_will_not(
    searched: int, held_out: int, trials: int | None
):
    settings, chosen = replace(SETTINGS, trials=trials), cases(searched, held_out)
    with pytest.raises(SettingsError, match="the smallest that can is --gepa-budget") as caught:
        plan_budget(replace(settings, budget=1), chosen)
    smallest = int(str(caught.value).rsplit(" ", 1)[1])
    plan = plan_budget(replace(settings, budget=smallest), chosen)
    assert (plan.limit, plan.search + plan.confirm + plan.probe) == (smallest, smallest)
    assert plan.shrink == 0
    assert plan.search >= 2 * searched, "a baseline, and a candidate on every case"
    with pytest.raises(SettingsError):
        plan_budget(replace(settings, budget=smallest - 1), chosen)


@pytest.mark.parametrize("budget", range(24 + 2 * 12, 240, 7))
def test_a_confirm_run_with_more_trials_takes_no_more_than_a_third_of_a_given_budget(budget: int):
    plan = plan_budget(replace(SETTINGS, budget=budget), cases(12))
    assert plan.trials == 1 or 3 * plan.confirm <= budget
    assert plan.search + plan.shrink + plan.confirm + plan.probe == budget
    assert plan.search >= 2 * 12


@given(st.integers(1, 60), st.integers(0, 20), st.integers(0, 2000), st.sampled_from([None, 1, 3]), st.booleans())
def test_shrinking_has_a_share_of_which_the_search_keeps_the_double(
    searched: int, held_out: int, more: int, trials: int | None, shrinks: bool
):
    chosen = cases(searched, held_out)
    smallest = 2 * searched + 2 * (searched + held_out) * (trials or 1)
    plan = plan_budget(replace(SETTINGS, trials=trials, budget=smallest + more, shrinks=shrinks), chosen)
    assert plan.search + plan.shrink + plan.confirm + plan.probe == plan.limit == smallest + more
    assert plan.search >= 2 * searched
    assert plan.search - searched >= 2 * plan.shrink
    assert 0 <= plan.shrink <= 3 * searched * shrinks
    if more >= 1000:
        assert plan.shrink == 3 * searched * shrinks


def test_where_nothing_is_shrunk_the_plan_has_no_line_for_it():
    assert "  shrinking          at most 93, and what the search leaves" in text(SETTINGS, cases(31))
    assert "shrinking" not in text(replace(SETTINGS, shrinks=False), cases(31))
    assert plan_budget(replace(SETTINGS, shrinks=False), cases(31)).search == 20 * 31


def test_the_plan_tells_which_prompt_reaches_which_cases_as_runs_have_shown_it():
    chosen = cases(4)
    both = {"prompts/a.md": 1, "prompts/b.md": 3}
    usage = {
        chosen[0].id: CaseUsage(both, ("prompts/a.md",), 4, 400, 40, 2.0, "2026-01-31-2"),
        chosen[1].id: CaseUsage({"prompts/a.md": 1}, ("prompts/b.md",), 2, 200, 20, 1.0, "2026-01-31-1"),
        chosen[2].id: CaseUsage({}, (), 0, 0, 0, 0.0, "2026-01-31-1"),
        "test_gone.py::test_that_is_no_more": CaseUsage({"prompts/a.md": 9}, (), 9, 9, 9, 9.0, "2025-01-01-1"),
    }
    told = text(SETTINGS, chosen, usage)
    assert "who reads what       as runs 2026-01-31-1 to 2026-01-31-2 showed\n" in told
    assert "  prompts/a.md: 2 cases (test_a.py 2), 1 call a case\n" in told
    assert "  prompts/b.md: 1 case (test_a.py 1), 3 calls a case\n" in told
    assert "    opened, and seen in no request: 1 case (test_a.py 1)\n" in told
    assert "  none of these: 1 case (test_a.py 1)\n" in told
    assert "  not known yet: 1 case (test_a.py 1)\n" in told
    assert "a rollout            3 calls, 300 tokens in, 30 out, 1.5 s, as before\n" in told
    limit = plan_budget(SETTINGS, chosen).limit
    assert f"all of the budget    {3 * limit} calls, {300 * limit:,} tokens in, {30 * limit:,} out" in told


def seen(scores: tuple[float, ...]) -> CaseUsage:
    return CaseUsage({"prompts/a.md": 1}, run="2026-01-31-1", scores=scores)


def test_the_gain_that_can_be_proven_is_that_of_cases_as_flaky_as_runs_have_shown_them():
    chosen = cases(20)
    steady = {case.id: seen((0.0, 0.0, 0.0, 0.0)) for case in chosen}
    told = text(SETTINGS, chosen, steady)
    gain = "a suite of this size and flakiness proves +30 points (6 cases mended) in 80 % of runs or more"
    assert f"{gain} (0 of 20 cases flaky as runs showed)" in told
    flaky = {**steady, **{case.id: seen((0.0, 1.0, 1.0, 0.0)) for case in chosen[:10]}}
    told = text(SETTINGS, chosen, flaky)
    assert "10 of 20 cases flaky as runs showed" in told
    points = re.search(r"proves \+(\d+) points", told)
    assert points is not None
    assert int(points[1]) > 30


def test_cases_that_were_seen_to_share_answers_can_prove_less():
    chosen = cases(24)
    alike = {case.id: replace(seen((0.0, 0.0)), group=chosen[at - at % 3].id) for at, case in enumerate(chosen)}
    told = text(SETTINGS, chosen, alike)
    assert "provable             from 6 cases better and none worse, at the least +8 points (p < 0.05), each" in told
    assert "each of another group (8 independent groups of 24 cases, as runs showed)" in told
    assert "(16 cases mended)" in told
    fewer = {
        case.id: replace(one, group=chosen[at - at % 6].id)
        for at, (case, one) in enumerate(zip(chosen, alike.values(), strict=True))
    }
    told = text(SETTINGS, chosen, fewer)
    assert "nothing: 4 independent groups of 24 cases are too few for p < 0.05 (6 would do)" in told


def test_flakiness_that_nobody_has_looked_for_is_not_said_to_be_none():
    chosen = cases(20)
    assert "how flaky the cases are is unknown until the baseline" in text(SETTINGS, chosen)
    once = {case.id: seen((0.0,)) for case in chosen}
    assert "unknown: earlier runs ran each of them once" in text(SETTINGS, chosen, once)


def test_each_candidate_that_is_confirmed_has_a_side_of_its_own():
    settings = replace(SETTINGS, confirm=3)
    plan = plan_budget(settings, cases(31, 10))
    assert plan.confirm == 4 * 41 * 3
    assert f"at most {plan.confirm} = 4 sides x 41 cases x 3 trials" in text(settings, cases(31, 10))
    smallest = 2 * 31 + 4 * 41
    with pytest.raises(SettingsError, match=f"--gepa-budget {smallest}"):
        plan_budget(replace(settings, budget=1), cases(31, 10))


def test_what_can_be_proven_pays_for_each_candidate_that_is_judged():
    settings, chosen = replace(SETTINGS, confirm=3), cases(20)
    steady = {case.id: seen((0.0, 0.0)) for case in chosen}
    told = text(settings, chosen, steady)
    assert "from 7 cases better and none worse, at the least +12 points (p < 0.017, as 3 candidates are judged)" in told
    assert "+35 points (7 cases mended) in 80 % of runs or more, with 3 candidates judged (0 of 20" in told
    few = "nothing: 6 cases are too few for p < 0.017, as 3 candidates are judged (7 would do)"
    assert few in text(settings, cases(6))


def test_the_confirm_run_is_told_with_the_trials_that_cases_have_of_their_own():
    settings = replace(SETTINGS, trials=2)
    told = text(settings, [*cases(9), case("often", trials=5)])
    assert "confirm run        at most 46 = 2 sides x (9 cases x 2 trials + 1 case x 5 trials)" in told
    assert "at most 46 = 2 sides x" in told
    same = text(settings, [case(f"s{n}", trials=5) for n in range(6)])
    assert "confirm run        at most 60 = 2 sides x 6 cases x 5 trials" in same


def test_a_plan_names_a_few_of_many_files():
    chosen = [Case(f"test_{n}.py::test", f"test_{n}.py::test") for n in range(6)]
    usage = {one.id: CaseUsage({"prompts/a.md": 1}, (), 1, 0, 0, 0.0, "2026-01-31-1") for one in chosen}
    told = text(SETTINGS, chosen, usage)
    assert "prompts/a.md: 6 cases (test_0.py 1, test_1.py 1, test_2.py 1, test_3.py 1, 2 more files)" in told


# Money


TABLE = ("task input=2 output=8", "large input=5 output=20 max_output=400")


def measured(chosen: Sequence[Case]) -> dict[str, CaseUsage]:
    """Half of the cases call twice, the others not at all, so that no rollout of theirs is charged."""
    busy = CaseUsage({}, (), 2, 2000, 200, 1.0, "2026-01-31-1", (), {"task": ModelUsage(2, 2000, 200)})
    idle = CaseUsage({}, (), 0, 0, 0, 0.0, "2026-01-31-1")
    return {one.id: (idle if at % 2 else busy) for at, one in enumerate(chosen)}


def test_a_plan_tells_the_price_with_its_arithmetic():
    chosen = cases(12)
    settings = replace(SETTINGS, budget=400, trials=1, prices=TABLE)
    told = text(settings, chosen, measured(chosen), ReflectionUsage("large", 10, 100, 40_000, 5_000))
    assert "  task: 2,000 tokens in, 200 out: $0.004 + $0.0016 = $0.0056\n" in told
    # 400 rollouts, 24 of them for the confirm run; a tenth as many reflections as the search has rollouts.
    assert (
        "reflections          at most about 38 = 0.1 a rollout of the search, as before; each 4,000 tokens in, 500 "
        "out: $0.02 + $0.01 = $0.03\n" in told
    )
    assert "price                at most about $3.38 = 400 rollouts x $0.0056 + 38 reflections x $0.03\n" in told


def test_a_model_whose_name_holds_a_secret_has_its_price_and_what_it_took_before():
    """It stands in usage.json as it is shown."""
    chosen, model, shown = cases(12), "ft:gpt-4o:ACME-corp:x", "ft:gpt-4o:[redacted]:x"
    redact = Redactor({}, [r"ACME-\w+"]).redact
    priced = replace(SETTINGS, budget=400, trials=1, prices=(*TABLE, f"{model} input=5 output=20"))
    for known in (shown, model):
        told = text(
            priced,
            chosen,
            measured(chosen),
            ReflectionUsage(known, 10, 100, 40_000, 5_000),
            model,
            redact,
        )
        assert f"reflection model     {shown}\n" in told
        assert "as before; each 4,000 tokens in, 500 out: $0.02 + $0.01 = $0.03\n" in told
        assert "ACME" not in told
    unpriced = replace(priced, prices=TABLE[:1])
    for reflection in (None, ReflectionUsage(shown, 10, 100, 40_000, 5_000)):
        told = text(unpriced, chosen, measured(chosen), reflection, "ACME-1", redact)
        assert "no price for [redacted]; add it to gepa_prices" in told
        assert "ACME" not in told
    other = text(priced, chosen, measured(chosen), ReflectionUsage("ACME-2", 10, 100, 40_000, 5_000), model, redact)
    assert "$0.03, as those of [redacted]\n" in other


def test_a_cap_is_told_with_the_share_of_the_confirm_run():
    chosen = cases(12)
    settings = replace(SETTINGS, budget=400, trials=1, prices=TABLE, max_cost=2.0)
    told = text(settings, chosen, measured(chosen))
    assert "reflections          unknown before the first run\n" in told
    assert "cap                  $2.00, of which about $0.087 is set aside for the confirm run" in told


@pytest.mark.parametrize(
    ("cap", "told"),
    [
        (0.6, "about $0.26 is set aside for the confirm run when the baseline has been measured\n"),
        (
            0.5,
            "about $0.17 is set aside for the confirm run when the baseline has been measured (2 trials a side, more",
        ),
        (
            0.15,
            "about $0.087 is set aside for the confirm run when the baseline has been measured (1 trial a side, more",
        ),
        (
            0.1,
            "which leaves nothing to search with: about $0.034 for the baseline and $0.087 for a confirm run of 1 t",
        ),
        (0.13, "for a confirm run of 1 trial a side; a reflection needs room for up to $0.013\n"),
    ],
)
def test_the_share_of_the_confirm_run_leaves_something_to_the_search(cap: float, told: str):
    chosen = cases(12)
    settings = replace(SETTINGS, budget=400, trials=3, prices=TABLE, max_cost=cap)
    assert told in text(settings, chosen, measured(chosen))


def test_a_price_that_is_unknown_says_why():
    chosen = cases(12)
    assert "price                unknown before the first run" in text(replace(SETTINGS, prices=TABLE), chosen)
    told = text(replace(SETTINGS, prices=TABLE[:1]), chosen, measured(chosen))
    assert "price                unknown: no price for large; add it to gepa_prices\n" in told
