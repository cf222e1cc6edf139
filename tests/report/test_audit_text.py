"""What is said of an audit: on the terminal, in the listing, in the plan."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from pytest_gepa.audit.findings import Seen, is_part, notices, tells_nothing
from pytest_gepa.audit.plan import plan_audit
from pytest_gepa.codec import from_json, to_json
from pytest_gepa.errors import SettingsError
from pytest_gepa.prompts.components import Component
from pytest_gepa.report.audit_listing import audit_markdown
from pytest_gepa.report.audit_result import (
    AuditResult,
    Contradicting,
    Flaky,
    PassesAnyhow,
    PieceCoverage,
    PromptCoverage,
    SaysNothing,
)
from pytest_gepa.report.audit_text import audit_closing, audit_plan_lines, unnoticed_lines
from pytest_gepa.suite.rollout import Outcome
from pytest_gepa.suite.usage import CaseUsage
from tests.report.runs import case
from tests.report.test_plan_text import HERE, SETTINGS

TEXT = "Sort.\n\n## Rules\n- One.\n- Two.\n\n```\n{x}\n```\nEnd."
PROMPT = PromptCoverage(
    "a.yaml::p",
    "a.yaml",
    TEXT,
    tuple(range(11, 21)),
    users=4,
    able=4,
    whole=PieceCoverage("whole prompt", 1, 10, "noticed", ("a", "b", "c", "d"), 4),
    pieces=(
        PieceCoverage("paragraph", 1, 1, "unnoticed", (), 4),
        PieceCoverage("heading", 3, 9, "noticed", ("a", "b", "c", "d"), 4),
        PieceCoverage("bullet", 4, 4, "unnoticed", (), 4),
        PieceCoverage("bullet", 5, 5, "noticed", ("b",), 4),
        PieceCoverage("fenced block", 7, 9, "kept", reason="it holds the only {x}"),
        PieceCoverage("paragraph", 10, 10, "not measured", reason="the budget had no room for it"),
    ),
)
RESULT = AuditResult(
    run="2026-11-29-1",
    is_finished=True,
    cases=5,
    passed=4,
    trials=2,
    prompts=(PROMPT,),
    anyhow=(PassesAnyhow("b", ("a.yaml::p",), True),),
    contradictions=(Contradicting(("a", "b"), ("label = 1", "label = 2")),),
    flaky=(Flaky("c", 1, 2, (1.0, 0.0)), Flaky("d", 2, 2, (0.8, 0.9))),
    says_nothing=(SaysNothing("d", "assert False"),),
    failing=("e",),
)


def closing(result: AuditResult) -> str:
    return "\n".join(audit_closing(result, ".gepa/runs/x"))


def test_the_closing_section_names_lines_of_the_file_and_cases_that_are_no_judges():
    assert closing(RESULT).splitlines()[:-2] == [
        "prompt coverage      2 of 4 pieces noticed (50 %)",
        "a.yaml::p            2 of 4 pieces noticed (50 %); blanked, 4 of 4 cases notice",
        "  line 11 of a.yaml: no case notices",
        "  line 14 of a.yaml: no case notices",
        "  1 piece not measured: the budget had no room for it",
        "  lines 17 to 19 kept: it holds the only {x}",
        "pass anyhow          1 case, whatever a prompt says: b",
        "contradictory        alike inputs, different expectations: a (label = 1); b (label = 2)",
        "flaky                c: passed 1 of 2 trials",
        "flaky                d: scores 0.80, 0.90",
        "failure says nothing d: assert False",
        "fail today           1 case, which can notice nothing",
    ]
    assert closing(RESULT).splitlines()[-1] == "listing              .gepa/runs/x/audit.md"
    assert closing(replace(RESULT, is_finished=False)).startswith("INTERRUPTED")


def test_pieces_that_follow_each_other_are_one_stretch():
    pieces = (
        PieceCoverage("paragraph", 1, 1, "unnoticed"),
        PieceCoverage("heading", 3, 9, "unnoticed"),
        PieceCoverage("bullet", 4, 4, "unnoticed"),
        PieceCoverage("bullet", 5, 5, "noticed", ("b",)),
        PieceCoverage("fenced block", 7, 9, "unnoticed"),
        PieceCoverage("paragraph", 10, 10, "unnoticed"),
    )
    assert unnoticed_lines(replace(PROMPT, pieces=pieces)) == ["lines 11 to 14", "lines 17 to 20"]


def test_the_listing_shows_the_prompt_with_the_cases_beside_its_lines():
    listing = audit_markdown(RESULT)
    assert re.findall(r"^    (.*)", listing, re.M) == [
        "   0 |  11 | Sort.",
        "     |  12 |",
        "   4 |  13 | ## Rules",
        "   0 |  14 | - One.",
        "   1 |  15 | - Two.",
        "     |  16 |",
        "kept |  17 | ```",
        "kept |  18 | {x}",
        "kept |  19 | ```",
        "   ? |  20 | End.",
    ]
    assert "- lines 13 to 19 (heading): 4 of 4 cases, the same as all of it" in listing
    assert "- line 15 (bullet): 1 of 4 cases: `b`" in listing
    assert "- `a` expects `label = 1`; `b` expects `label = 2`" in listing


def test_nothing_of_a_prompt_can_steer_the_terminal_or_end_the_listing():
    foul = replace(PROMPT, component="a\x1b[2J`", text=TEXT.replace("Sort.", "\x1b[2J```\u202e"))
    result = replace(RESULT, prompts=(foul,))
    for text in (closing(result), audit_markdown(result)):
        assert "\x1b" not in text
        assert "\u202e" not in text


def test_nobody_is_told_of_the_listing_of_an_audit():
    named = "a note for @octocat on owner/repo#12"
    whole = PieceCoverage("whole prompt", 1, 10, "not measured", reason=named)
    result = replace(
        RESULT,
        prompts=(replace(PROMPT, component=named, whole=whole, pieces=(whole,)),),
        says_nothing=(SaysNothing(named, named),),
        contradictions=(Contradicting((named, named), (named, named)),),
    )
    listing = audit_markdown(result)
    assert "octocat" in listing
    assert not re.search(r"[@#]\w", re.sub(r"`[^`]*`", "", listing))


def test_a_result_is_the_same_after_json():
    assert from_json(AuditResult, to_json(RESULT)) == RESULT


COMPONENTS = (
    Component("a.md", HERE / "a.md", "One.\n\nTwo {x}.\n"),
    Component("run.py", HERE / "run.py", "print()\n"),
)


def test_the_plan_shows_its_arithmetic():
    cases = [case(f"c{n}") for n in range(3)]
    told = "\n".join(audit_plan_lines(SETTINGS, plan_audit(SETTINGS, cases, COMPONENTS, {}), cases, {}))
    assert "baseline             6 rollouts = 3 cases x 2 trials" in told
    assert "  a.md: 2 pieces, 1 kept; 2 texts x 3 cases = 6 rollouts" in told
    assert "  run.py: nothing to leave out" in told
    assert "all                  at most 12 rollouts = 6 + 6" in told
    assert "price                unknown before the first run" in told


def test_the_plan_goes_by_what_earlier_runs_have_shown():
    cases = [case(f"c{n}") for n in range(3)]
    scores = {"c0": (1.0,), "c1": (0.0,), "c2": (1.0,)}
    usage = {name: CaseUsage({"a.md": 1} if name != "c2" else {}, scores=scores[name]) for name in scores}
    plan = plan_audit(
        SETTINGS, cases, COMPONENTS, {one.id: usage[name] for one, name in zip(cases, usage, strict=True)}
    )
    assert [prompt.cases for prompt in plan.prompts] == [1, 0]


def test_a_budget_that_can_hold_nothing_names_the_smallest_that_can():
    cases = [case(f"c{n}") for n in range(3)]
    with pytest.raises(SettingsError, match="the smallest that can is --gepa-budget 6"):
        plan_audit(replace(SETTINGS, budget=5), cases, COMPONENTS, {})
    assert plan_audit(replace(SETTINGS, budget=6), cases, COMPONENTS, {}).trials == 1


PASSED = Seen(Outcome.passed, 1.0, "a", "k", ("p",))
FAILED = Seen(Outcome.failed, 0.0, "b", "l", ("p",), "assert False")


@pytest.mark.parametrize(
    ("printed", "is_bare"),
    [
        ("assert False", True),
        ("AssertionError", True),
        ("AssertionError: assert not True", True),
        ("assert False\n +  where False = is_right('one')", False),
        ("assert 'one' == 'two'", False),
        ("AssertionError: the mark is missing\nassert False", False),
    ],
)
def test_a_failure_without_values_or_words_says_nothing(printed: str, is_bare: bool):
    assert tells_nothing(replace(FAILED, failure=printed)) == is_bare
    assert not tells_nothing(replace(FAILED, failure=printed, feedback="Wrong queue."))


def test_trouble_is_no_notice_and_a_flaky_case_notices_nothing_by_itself():
    assert notices([PASSED, PASSED], [FAILED])
    assert not notices([PASSED], [replace(FAILED, outcome=Outcome.error, score=None)])
    assert not notices([PASSED, FAILED], [FAILED, FAILED])
    unsteady = [PASSED, replace(PASSED, said="other")]
    assert not notices(unsteady, [FAILED])
    assert notices(unsteady, [FAILED, FAILED])


def test_a_prompt_has_a_part_in_a_case_that_asks_other_things_without_it():
    assert is_part("p", [PASSED], [replace(PASSED, keys="other")])
    assert not is_part("p", [PASSED], [PASSED])
    mocked = replace(PASSED, keys="")
    assert is_part("p", [mocked], [mocked])
    assert not is_part("q", [mocked], [mocked])
