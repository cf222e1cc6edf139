"""A check against a saved baseline in words: what its reports say otherwise than those of a check against a commit."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gepa.report.check_result import CheckResult, SavedBaseline
from pytest_gepa.report.fitting import ReportPart
from pytest_gepa.report.foreign import code
from pytest_gepa.report.rows import row
from pytest_gepa.wording import count, some

LISTED = 3
PROMPT_STATES = {
    "edited": "another text than when the baseline was saved",
    "added": "new since the baseline was saved",
    "deleted": "gone since the baseline was saved",
}


def compared_markdown(result: CheckResult, saved: SavedBaseline) -> list[str]:
    """What was compared, as lines of the report's head."""
    lines = [f"- Today compared with the baseline {code(result.base, 100)}, saved on {code(saved.saved, 40)}"]
    then, today = _models(saved.models), _models(result.models.get("task", ()))
    lines.append(f"- Models: {then} then and today" if then == today else f"- Models: {then} then, {today} today")
    if result.changes:
        listed = some([code(change.component, 100) for change in result.changes], LISTED)
        lines.append(f"- {count(len(result.changes), 'prompt')} not as then: {listed}")
    else:
        lines.append("- Every prompt has the text that it had then")
    apart = _apart(saved)
    lines.append(f"- {count(len(result.cases), 'case')} compared{f'; not compared: {apart}' if apart else ''}")
    return lines


def apart_parts(saved: SavedBaseline) -> list[ReportPart]:
    """The cases that could not be compared, folded."""
    return [
        ReportPart(
            9,
            f"\n<details><summary>Not compared: {count(len(cases), 'case')} {words}</summary>\n\n",
            tuple(f"- {code(case)}\n" for case in cases),
            "\n</details>\n",
            f"cases {words}",
        )
        for cases, words in _kinds(saved)
    ]


def compared_lines(result: CheckResult, saved: SavedBaseline) -> list[str]:
    """The same for the terminal."""
    then, today = ", ".join(saved.models) or "none", ", ".join(result.models.get("task", ())) or "none"
    models = f"{then} then and today" if then == today else f"{then} then, {today} today"
    lines = [
        row(
            "compared",
            f"trials of today with the counts of {result.base}, saved on {saved.saved} by pytest-gepa {saved.version}",
        ),
        row("models", models),
    ]
    if result.changes:
        lines += [
            row("prompt", f"{change.component}: {PROMPT_STATES.get(change.state, change.state)}")
            for change in result.changes
        ]
    else:
        lines.append(row("prompts", "every one has the text that it had then"))
    for cases, words in _kinds(saved):
        lines.append(row("not compared", f"{count(len(cases), 'case')} {words} ({some(cases, LISTED)})"))
    return lines


def _kinds(saved: SavedBaseline) -> list[tuple[Sequence[str], str]]:
    kinds = [
        (saved.new, "not in the baseline"),
        (saved.edited, "of which the test, its values or its threshold are not as they were"),
        (saved.gone, "of the baseline that this session has not, or skips"),
    ]
    return [(cases, words) for cases, words in kinds if cases]


def _apart(saved: SavedBaseline) -> str:
    numbers = (
        (len(saved.new), "new"),
        (len(saved.edited), "edited"),
        (len(saved.gone), "not run in this session"),
    )
    return ", ".join(f"{number:,} {words}" for number, words in numbers if number)


def _models(names: Sequence[str]) -> str:
    return some([code(name, 60) for name in names], LISTED) or "none"
