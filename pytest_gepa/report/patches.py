"""The patch of a candidate: its files' changes below a message that says what it does, why, and how sure that is."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.prompts.components import Component, compose
from pytest_gepa.prompts.git_runs import KEEP_SPACES, git_keeps_spaces, git_top
from pytest_gepa.prompts.patch import FileChange, PatchLine, check_patch, make_patch
from pytest_gepa.report.needs import need_lines
from pytest_gepa.report.phrases import EDIT_WORDS, drop_words, groups_words
from pytest_gepa.report.result import (
    Change,
    Confirmed,
    EditRecord,
    FrontierEntry,
    Result,
    SharedFinding,
    SplitScores,
    TakenCase,
    by_cause,
)
from pytest_gepa.wording import (
    count,
    interval_words,
    name_without_file,
    named_models,
    p_words,
    passed,
    points,
    some,
)

REFUSED = "git would not take this patch"
"""So a warning begins, behind the patch's name."""

LISTED_CASES = 40
LISTED_FINDINGS = 4
ORIGIN_WORDS = {"model-free": "model-free change", "plugin": "change by a plugin"}
VERDICT_WORDS = {"proven": "proven better", "not proven": "NOT PROVEN", "worse": "WORSE"}


@dataclass(frozen=True, slots=True)
class PatchBase:
    """Where patches apply: the top of the git working tree, or the rootdir where there is none.

    `options` are those that `git apply` needs there.
    """

    top: Path
    is_git: bool
    options: str = ""

    @classmethod
    def of(cls, rootdir: Path) -> PatchBase:
        """Find it."""
        top = git_top(rootdir)
        options = "" if git_keeps_spaces(top or rootdir) else f" {KEEP_SPACES}"
        return cls(top or rootdir, top is not None, options)

    def command(self, patch: Path, cwd: Path, changed: Sequence[Path]) -> str:
        """The command that applies a patch from `cwd`.

        git passes in silence over files outside the directory where it stands, so from there it is sent to the top.
        """
        top = self.top.resolve()
        here = cwd.resolve()
        if here == top or (
            self.is_git and here.is_relative_to(top) and all(path.is_relative_to(here) for path in changed)
        ):
            return f"git apply{self.options} {_quoted(_relative(patch, here))}"
        return f"git -C {_quoted(_relative(top, here))} apply{self.options} {_quoted(patch.resolve())}"


def _relative(path: Path, start: Path) -> Path:
    return Path(os.path.relpath(path.resolve(), start))


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def candidate_patch(
    candidate: Candidate, components: Mapping[str, Component], base: PatchBase, message: Sequence[PatchLine]
) -> bytes:
    """The patch that turns today's files into the candidate's. Raises `PatchError` if it would not do exactly that."""
    before = compose(components.values(), {})
    after = compose(components.values(), candidate.texts)
    changes = [
        FileChange(path.resolve().relative_to(base.top.resolve()).as_posix(), before[path], data)
        for path, data in after.items()
        if data != before[path]
    ]
    patch = make_patch(changes, message)
    check_patch(patch, changes)
    return patch


def winner_message(result: Result) -> list[PatchLine]:
    """The message of the winner's patch. No clock and no duration: the same seed gives the same bytes."""
    before, after = result.baseline, result.winner
    breaks = _breaks(result)
    if result.verdict == "not confirmed":
        title = f"gepa: NOT CONFIRMED candidate, search score {passed(before)} -> {passed(after)}"
        score = f"Not confirmed: {result.reason}."
    else:
        title = f"gepa: {breaks}{passed(before)} -> {passed(after)} cases, {VERDICT_WORDS[result.verdict]}"
        score = _score(result, result.trials, result.judged)
    lines = [_own(title), _own(""), _own(score)]
    lines += _held_out_lines(result.holdout, result.drop)
    lines += _example_lines(result.examples)
    lines += _origin_lines(result)
    if result.has_confirm:
        lines += _case_lines(result, breaks_first=bool(breaks))
    return [*lines, *need_lines(result.needs), *edit_lines(result.edits)]


def frontier_message(entry: FrontierEntry, edits: Sequence[EditRecord], result: Result) -> list[PatchLine]:
    """The message of the patch of another frontier candidate of a run."""
    found = entry.confirmed
    title = f"gepa: frontier candidate, {entry.passed}/{entry.total} cases (search score, unconfirmed)"
    if found and found.verdict == "proven":
        change = f"{passed(found.baseline)} -> {passed(found.winner)} cases, {VERDICT_WORDS[found.verdict]}"
        title = f"gepa: frontier candidate, {_breaks(found)}{change}"
    lines = [_own(title), _own("")]
    if found:
        lines += [_own(_score(found, result.trials, result.judged)), *_held_out_lines(found.holdout)]
    lines += _example_lines(entry.examples)
    lines += _origin_lines(result)
    if found:
        lines += _case_lines(found, breaks_first=bool(_breaks(found)))
    return lines + edit_lines(edits)


def _origin_lines(result: Result) -> list[PatchLine]:
    """By which models and which seed a run has found what it found."""
    return [_own("Models:"), PatchLine(named_models(result.models)), _own(f"Seed: {result.seed}")]


def _breaks(found: Result | Confirmed) -> str:
    """A regression is said first."""
    broken = [*found.broken, *(found.holdout.broken if found.holdout else ())]
    return f"BREAKS {count(len(broken), 'case')}, " if broken else ""


def _score(found: Result | Confirmed, trials: int, judged: int) -> str:
    groups = f", over {groups_words(found.groups, found.baseline.total)}" if found.groups else ""
    adjusted = f", adjusted for {judged} candidates (Holm)" if judged > 1 else ""
    verdict = "" if isinstance(found, Result) or found.verdict == "proven" else f" {VERDICT_WORDS[found.verdict]}."
    return (
        f"Confirm run ({count(trials, 'trial')} a side): {points(found.effect)}, {interval_words(found.interval)}, "
        f"{p_words(found.p_value)}{adjusted}{groups}.{verdict}"
    )


def _held_out_lines(holdout: SplitScores | None, drop: float | None = None) -> list[PatchLine]:
    if holdout is None:
        return []
    told = "" if drop is None else f", {drop_words(drop)}"
    return [_own(f"Held-out cases: {passed(holdout.baseline)} -> {passed(holdout.winner)}{told}.")]


def _case_lines(found: Result | Confirmed, *, breaks_first: bool) -> list[PatchLine]:
    fixed, broken = _listed("Fixed", found.fixed), _listed("Broken", found.broken)
    if found.holdout and found.holdout.broken:
        broken += _listed("Broken, held out", found.holdout.broken)
    return broken + fixed if breaks_first else fixed + broken


def _example_lines(examples: Sequence[TakenCase]) -> list[PatchLine]:
    """What a reviewer must know of a prompt that holds cases of the suite."""
    told = (f"The example of {one.component} is case {one.case}, which is left out of the verdict" for one in examples)
    return [PatchLine(line) for line in told]


def edit_lines(edits: Sequence[EditRecord]) -> list[PatchLine]:
    """Each edit's changes with diagnosis and motivating cases, in short; what models have written is quoted."""
    lines: list[PatchLine] = []
    for number, edit in enumerate(edits, 1):
        if edit.origin == "merge":
            lines += [_own(""), _own(f"Step {number}, merge of {' and '.join(edit.parents)}")]
        elif edit.origin in EDIT_WORDS:
            lines += [_own(""), _own(f"Step {number}, {EDIT_WORDS[edit.origin]}")]
            lines += [PatchLine(component) for component in edit.components]
        for change in edit.changes:
            how = ORIGIN_WORDS.get(change.origin, "change proposed")
            lines += [_own(""), _own(f"Step {number}, {how} for"), PatchLine(change.component)]
            lines += [PatchLine(line) for line in change.summary.splitlines()]
            lines += _why(change)
    return lines


def _why(change: Change) -> list[PatchLine]:
    """The first findings, each cause once: that a prompt is not to blame need not be read of every case."""
    causes = by_cause(change.findings)
    once = [found for at, found in enumerate(causes) if not _was_told(found.cause, causes[:at])]
    told = [
        line
        for found in once[:LISTED_FINDINGS]
        for line in (
            f"{some([*map(name_without_file, found.cases)], LISTED_FINDINGS)}: {found.problem}",
            f"  {found.cause}",
        )
        if line.strip()
    ]
    if not told:
        told = [
            *change.diagnosis.splitlines(),
            *(f"read: {name_without_file(case)}" for case in change.cases[:LISTED_FINDINGS]),
        ]
    left = len(causes) - len(once[:LISTED_FINDINGS])
    if left > 0:
        told.append(f"and {left} more, in the report")
    return [_own("because"), *(PatchLine(line) for line in told)]


def _was_told(cause: str, before: Sequence[SharedFinding]) -> bool:
    return bool(cause) and any(found.cause == cause for found in before)


def _own(text: str) -> PatchLine:
    return PatchLine(text, quoted=False)


def _listed(title: str, names: Sequence[str]) -> list[PatchLine]:
    if not names:
        return [_own(f"{title}: none")] if title in ("Fixed", "Broken") else []
    lines = [_own(f"{title}: {len(names)}"), *(PatchLine(name) for name in names[:LISTED_CASES])]
    if len(names) > LISTED_CASES:
        lines.append(PatchLine(f"and {len(names) - LISTED_CASES} more"))
    return lines
