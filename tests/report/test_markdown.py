"""The report in Markdown."""

from __future__ import annotations

import re

import pytest

from pytest_gepa.report.markdown import render_markdown
from pytest_gepa.report.result import (
    Change,
    ComponentChange,
    EditRecord,
    Finding,
    FrontierEntry,
    Spent,
    SplitScores,
    Trouble,
)
from pytest_gepa.verdict.judge import Tally
from tests.report.runs import PROMPT, result

HOSTILE = (
    "# A heading\n```\n</code><script>alert(1)</script> [link](http://x) `code` | cell |\n\n"
    "- item @octocat owner/repo#12\x1b[2J\u202e"
)


def edit(**fields: object) -> EditRecord:
    usual: dict[str, object] = {
        "component": PROMPT,
        "summary": "+ - mind the sign",
        "diagnosis": "",
        "findings": (Finding("a.py::test_x[one]", "lacks the sign", "no rule"),),
        "cases": ("a.py::test_x[one]",),
    }
    return EditRecord("abc", "reflection", (PROMPT,), ("seed",), (Change(**{**usual, **fields}),))  # type: ignore[arg-type]


def test_a_proven_run():
    report = render_markdown(
        result(
            fixed=("a.py::test_x[one]",),
            holdout=SplitScores(Tally(1, 4, 0.25), Tally(3, 4, 0.75)),
            changes=(ComponentChange(PROMPT, 100, 140, 2),),
            edits=(edit(),),
            frontier=(FrontierEntry("f00", 7, 12, 0.58, "frontier/f00.patch"),),
            rejections={"refused: no": 2},
            trouble=(Trouble("a.py::test_y", "timeout", "no answer within 120 seconds"),),
            spent=Spent(rollouts=80, cached=1, reflections=3, input_tokens=4849, output_tokens=167, seconds=400.0),
        )
    )
    for line in (
        "# gepa run 2026-01-31-1: proven",
        "| search cases (confirm run, 1 trial a side) | 3/12 | 12/12 |",
        "| held-out cases | 1/4 | 3/4 |",
        "Patch: `.gepa/runs/2026-01-31-1/best.patch`",
        f"- `{PROMPT}`: 100 to 140 characters, 2 edits",
        "Fixed: 1",
        "- `a.py::test_x[one]`",
        "Broken: none",
        "- `a.py::test_y`: timeout: no answer within 120 seconds",
        "    + - mind the sign",
        "- `a.py::test_x[one]`: lacks the sign. no rule",
        "- 7/12: `frontier/f00.patch`",
        "- 2 x refused: no",
    ):
        assert line in report.splitlines(), line
    assert "Effect +75 points, 95 % interval +36 points to +93 points, p = 0.0039" in report
    assert "80 rollouts (1 more answered from the cache), 3 reflections, 4,849 input and 167 output tokens" in report
    assert "6 min 40 s" in report
    assert report.endswith("\n")
    assert not report.endswith("\n\n")


@pytest.mark.parametrize("verdict", ["nothing to do", "not proven", "not confirmed"])
def test_a_run_without_a_confirm_run_claims_no_gain(verdict: str):
    report = render_markdown(result(verdict=verdict, trials=0, patch="", edits=()))
    assert report.startswith(f"# gepa run 2026-01-31-1: {verdict}\n")
    assert "nothing is claimed about the gain" in report
    assert "Effect" not in report
    assert "Patch:" not in report
    assert "None was kept." in report


def test_a_run_that_was_interrupted_in_its_confirm_run_claims_no_gain():
    report = render_markdown(result(verdict="not confirmed", trials=3, effect=0.0, interval=(0.0, 0.0), p_value=1.0))
    assert "Effect" not in report


def test_foreign_text_cannot_pose_as_the_report():
    report = render_markdown(
        result(
            reason=HOSTILE,
            search_ended=HOSTILE,
            models={"task": (HOSTILE,), "reflection": ("large",)},
            fixed=(HOSTILE,),
            edits=(
                edit(summary=HOSTILE, diagnosis=HOSTILE, findings=()),
                edit(findings=(Finding(HOSTILE, HOSTILE, HOSTILE),)),
            ),
            rejections={HOSTILE: 1},
            trouble=(Trouble(HOSTILE, "error", HOSTILE),),
            stray=(HOSTILE,),
            problems=(HOSTILE,),
        )
    )
    assert "\x1b" not in report
    assert "\u202e" not in report
    ours = r"# gepa run|## (Prompts|Cases|Edits|Spent|Replies)|### \d+\. (Edit|Merge) of"
    assert all(re.match(ours, line) for line in report.splitlines() if re.match(r" {0,3}#", line))
    # Fences, tags, tables and links are either indented as code, between backticks, or disarmed.
    shown = [line for line in report.splitlines() if not line.startswith("    ")]
    assert not any(line.lstrip().startswith("```") for line in shown)
    for line in shown:
        bare = re.sub(r"`[^`]*`|<code>[^<]*</code>|<br>", "", line)
        assert not re.search(r"[@#]\w", bare), f"somebody would be told of this: {line}"
        assert not re.search(r"(?<!\\)<", bare), line
        assert not re.search(r"(?<!\\)\[", bare), line
    assert not any(line.startswith("- item") for line in shown)


def test_trouble_in_recording_is_told():
    report = render_markdown(result(problems=("the calls of httpx are not seen",)))
    assert "- `the calls of httpx are not seen`" in report


def test_cases_with_one_cause_are_told_together():
    findings = tuple(Finding(f"a.py::test_x[{n}]", "lacks the sign", "no rule") for n in range(2))
    told = render_markdown(result(edits=(edit(findings=findings),)))
    assert "- `a.py::test_x[0]`, `a.py::test_x[1]`: lacks the sign. no rule\n" in told
