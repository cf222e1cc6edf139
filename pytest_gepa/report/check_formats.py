"""A check for other programs: annotations of GitHub, GitLab's code quality, properties of JUnit XML."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from pytest_gepa.report.check_result import CaseCheck, CheckResult, PromptChange
from pytest_gepa.report.check_wording import changes_of, line_runs, line_words, side_words, worst_first
from pytest_gepa.report.foreign import clip
from pytest_gepa.report.simulated import WARNING
from pytest_gepa.report.wording import count, p_words, printable, short_name

LEVELS = {"regressed": "error", "suspect": "warning"}
SEVERITIES = {"regressed": "major", "suspect": "minor"}
MOST_ANNOTATIONS = 10
"""What GitHub shows of a level in one step."""

LISTED_CASES = 5
TEXT = 400
OF_A_SIMULATED_MODEL = ("gepa_simulated", "true")
"""The property of a case in JUnit XML whose answers came from a simulated model."""


def annotation_lines(result: CheckResult) -> list[str]:
    """Workflow commands that mark the changed lines of prompts under which cases are worse.

    One for a prompt and a level, with all of its cases: a note for each case would soon pass what GitHub shows.
    """
    lines: list[str] = []
    for tier, level in LEVELS.items():
        cases = worst_first(result.in_tier(tier))
        used = [
            (change, [case for case in cases if change.component in case.components])
            for change in result.changes
        ]
        marked = [(change, users) for change, users in used if users]
        lines += [
            _annotation(level, tier, change, users, result) for change, users in marked[:MOST_ANNOTATIONS]
        ]
    return lines


def _annotation(
    level: str, tier: str, change: PromptChange, cases: Sequence[CaseCheck], result: CheckResult
) -> str:
    first, last = _first_lines(change)
    title = f"gepa: {count(len(cases), 'case')} {tier} under the change of {clip(change.component, 100)}"
    told = [_case_words(case) for case in cases[:LISTED_CASES]]
    if len(cases) > LISTED_CASES:
        told.append(f"and {len(cases) - LISTED_CASES} more")
    worst = cases[0]
    told += [f"before: {clip(worst.base.answer, TEXT)}", f"today: {clip(worst.today.answer, TEXT)}"]
    told += [clip(worst.today.failure, TEXT)] if worst.today.failure else []
    if len(line_runs(change.lines)) > 1:
        told.append(f"changed: {line_words(change.lines[:40])}")
    if result.simulated:
        told.append(f"the model is {WARNING}")
    place = {"file": _posix(change.path), "line": str(first), "endLine": str(last), "title": title}
    properties = ",".join(f"{name}={_property(value)}" for name, value in place.items())
    message = _data("\n".join(told))
    return f"::{level} {properties}::{message}"


def code_quality(result: CheckResult) -> list[dict[str, Any]]:
    """The findings of GitLab's code quality report, one for a case that is worse and a changed prompt that it uses.

    A fingerprint depends on neither lines nor figures, so that the same finding is known again in the next run.
    """
    return [
        {
            "description": f"{tier}: {_case_words(case)}, with the change of {printable(change.component)}"
            + (f" (the model is {WARNING})" if result.simulated else ""),
            "check_name": f"gepa-{tier}",
            "fingerprint": hashlib.sha256(
                "\0".join((tier, change.component, case.case)).encode("utf-8", "backslashreplace")
            ).hexdigest(),
            "severity": severity,
            "location": {"path": _posix(change.path), "lines": {"begin": _first_lines(change)[0]}},
        }
        for tier, severity in SEVERITIES.items()
        for case in worst_first(result.in_tier(tier))
        for change in changes_of(case, result)
    ]


def junit_properties(case: CaseCheck) -> list[tuple[str, str]]:
    """A case's findings as properties of its test case in JUnit XML."""
    properties = [("gepa_tier", case.tier)]
    for name, side in (("base", case.base), ("today", case.today)):
        properties += [(f"gepa_{name}_passed", str(side.passed)), (f"gepa_{name}_trials", str(side.trials))]
        properties += [] if side.score is None else [(f"gepa_{name}_score", f"{side.score:.4g}")]
    return [
        *properties,
        ("gepa_p_value", f"{case.p_value:.4g}"),
        ("gepa_components", printable(", ".join(case.components))),
    ]


def _case_words(case: CaseCheck) -> str:
    name = printable(clip(short_name(case.case), 200))
    return f"{name} passed {side_words(case.base)} before, {side_words(case.today)} today ({p_words(case.p_value)})"


def _first_lines(change: PromptChange) -> tuple[int, int]:
    """The first lines that were changed; where lines were only taken away, the first of the file."""
    runs = line_runs(change.lines)
    return runs[0] if runs else (1, 1)


def _posix(path: str) -> str:
    return PurePath(path).as_posix()


def _data(text: str) -> str:
    return printable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
