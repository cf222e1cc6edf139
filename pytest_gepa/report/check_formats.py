"""A check for other programs: annotations of GitHub, GitLab's code quality, properties of JUnit XML."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from pytest_gepa.report.check_result import CaseCheck, CheckResult
from pytest_gepa.report.check_wording import changes_of, line_runs, line_words, side_words, worst_first
from pytest_gepa.report.foreign import clip
from pytest_gepa.report.simulated import WARNING
from pytest_gepa.run.base_prompts import PromptChange
from pytest_gepa.wording import count, name_without_file, p_words, printable

LEVELS = {"regressed": "error", "suspect": "warning"}
SEVERITIES = {"regressed": "major", "suspect": "minor"}
MOST_ANNOTATIONS = 10
"""What GitHub shows of a level in one step."""

LISTED_CASES = 5
TEXT = 400
OF_A_SIMULATED_MODEL = ("gepa_simulated", "true")
"""The property of a case in JUnit XML whose answers came from a simulated model."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where cases are told to be worse: lines of a file. `why` ends the sentence, `note` comes after all else."""

    path: str
    first: int
    last: int
    why: str
    note: str = ""


def annotation_lines(result: CheckResult) -> list[str]:
    """Workflow commands that mark the changed lines of prompts under which cases are worse.

    One for a prompt and a level, with all of its cases: a note for each case would soon pass what GitHub shows. Cases
    that are worse than in a saved baseline, and use no prompt that has changed since, are marked at their tests.
    """
    lines: list[str] = []
    for tier, level in LEVELS.items():
        cases = worst_first(result.in_tier(tier))
        used = [
            (_change_place(change), [case for case in cases if change.component in case.components])
            for change in result.changes
        ]
        marked = [(place, users) for place, users in used if users]
        marked += _by_test([case for case in cases if not changes_of(case, result)], result)
        lines += [_annotation(level, tier, place, users, result) for place, users in marked[:MOST_ANNOTATIONS]]
    return lines


def _change_place(change: PromptChange) -> _Place:
    first, last = _first_lines(change)
    note = f"changed: {line_words(change.lines[:40])}" if len(line_runs(change.lines)) > 1 else ""
    return _Place(change.path, first, last, f"under the change of {clip(change.component, 100)}", note)


def _by_test(cases: Sequence[CaseCheck], result: CheckResult) -> list[tuple[_Place, list[CaseCheck]]]:
    """These cases at the tests that they are of, where these are known."""
    found: dict[_Place, list[CaseCheck]] = {}
    for case in cases:
        if (place := _test_place(case, result)) is not None:
            found.setdefault(place, []).append(case)
    return list(found.items())


def _test_place(case: CaseCheck, result: CheckResult) -> _Place | None:
    if result.baseline is None or not case.path:
        return None
    line = max(1, case.line)
    return _Place(case.path, line, line, f"since the baseline {clip(result.base, 100)} was saved")


def _annotation(level: str, tier: str, place: _Place, cases: Sequence[CaseCheck], result: CheckResult) -> str:
    title = f"gepa: {count(len(cases), 'case')} {tier} {place.why}"
    told = [_case_words(case) for case in cases[:LISTED_CASES]]
    if len(cases) > LISTED_CASES:
        told.append(f"and {len(cases) - LISTED_CASES} more")
    worst = cases[0]
    told += [f"before: {clip(worst.base.answer, TEXT)}"] if worst.base.answer else []
    told.append(f"today: {clip(worst.today.answer, TEXT)}")
    told += [clip(worst.today.failure, TEXT)] if worst.today.failure else []
    told += [place.note] if place.note else []
    told += [f"the model is {WARNING}"] if result.simulated else []
    properties = {
        "file": _posix(place.path),
        "line": str(place.first),
        "endLine": str(place.last),
        "title": title,
    }
    spelt = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    message = _data("\n".join(told))
    return f"::{level} {spelt}::{message}"


def code_quality(result: CheckResult) -> list[dict[str, Any]]:
    """The findings of GitLab's code quality report, one for a case that is worse and a changed prompt that it uses.

    With a saved baseline a case that uses none has one finding, at its test.

    A fingerprint depends on neither lines nor figures, so that the same finding is known again in the next run.
    """
    model = f" (the model is {WARNING})" if result.simulated else ""
    found = []
    for tier, severity in SEVERITIES.items():
        for case in worst_first(result.in_tier(tier)):
            changes = changes_of(case, result)
            found += [
                _finding(
                    case,
                    (tier, severity, change.component),
                    f"with the change of {printable(change.component)}{model}",
                    (change.path, _first_lines(change)[0]),
                )
                for change in changes
            ]
            if not changes and (place := _test_place(case, result)) is not None:
                found.append(
                    _finding(
                        case,
                        (tier, severity, place.path),
                        printable(place.why) + model,
                        (place.path, place.first),
                    )
                )
    return found


def _finding(case: CaseCheck, about: tuple[str, str, str], why: str, place: tuple[str, int]) -> dict[str, Any]:
    """`about` are the tier, the severity, and the id of what the case is worse under; `place` is a path and a line."""
    tier, severity, cause = about
    path, line = place
    return {
        "description": f"{tier}: {_case_words(case)}, {why}",
        "check_name": f"gepa-{tier}",
        "fingerprint": hashlib.sha256(
            "\0".join((tier, cause, case.case)).encode("utf-8", "backslashreplace")
        ).hexdigest(),
        "severity": severity,
        "location": {"path": _posix(path), "lines": {"begin": line}},
    }


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
    name = printable(clip(name_without_file(case.case), 200))
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
