"""What a run leaves in its directory when it ends: patches, `result.json`, `report.html` and `report.md`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pytest_gepa.codec import to_json
from pytest_gepa.errors import GepaError
from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.optimize.state import RunState
from pytest_gepa.prompts.addresses import SEPARATOR
from pytest_gepa.prompts.components import Component, compose
from pytest_gepa.prompts.git_runs import git_apply_check
from pytest_gepa.prompts.patch import PatchLine
from pytest_gepa.redaction import redact_between, without_secrets
from pytest_gepa.report.build import ancestry
from pytest_gepa.report.markdown import render_markdown
from pytest_gepa.report.page import build_page, render_page
from pytest_gepa.report.patches import (
    REFUSED,
    PatchBase,
    candidate_patch,
    frontier_message,
    winner_message,
)
from pytest_gepa.report.result import Result
from pytest_gepa.run.directory import write_file, write_text
from pytest_gepa.suite.rollout import Case
from pytest_gepa.trace.redact_lines import HiddenLines


def write_run(
    directory: Path,
    result: Result,
    state: RunState,
    components: Mapping[str, Component],
    cases: Sequence[Case],
    base: PatchBase,
    redact: Callable[[str], str] = str,
) -> Result:
    """Write patches, `result.json` and the reports; the result comes back with the paths of its patches, and redacted.

    A patch's own lines are those of the user's files, to the byte: else it would not apply. One that cannot be made, or
    that git refuses, is a warning of the result, and so is a report that cannot be made: what was paid for is written
    in any case.
    """
    hidden = _hidden_lines(state, redact)
    result = _clean(result, state, hidden.redact)
    warnings: list[str] = []
    labels = {case.id: case.nodeid for case in cases}
    files = [name.partition(SEPARATOR)[0] for name in components]

    def warn(told: str, patch: str) -> None:
        warnings.append(redact_between(" ".join(told.split()), [patch, *files], redact))

    def patch_of(candidate: Candidate, name: str, message: list[PatchLine]) -> str:
        path = directory / name
        shown = os.path.relpath(path, directory.parents[2])
        try:
            problem = _write_patch(path, candidate, components, base, message)
        except OSError as error:
            path.unlink(missing_ok=True)  # half a patch would do harm
            warn(f"{shown} {_not_made(error)}", shown)
            return ""
        except (GepaError, ValueError) as error:
            warn(f"{shown} could not be made: {error}", shown)
            return ""
        if problem:
            warn(f"{shown}: {REFUSED}: {problem}", shown)
        return shown

    winner = state.winner or state.search.seed
    if winner.id != state.search.seed.id:
        name = "best.patch" if result.verdict == "proven" else f"frontier/{winner.id}.patch"
        result = replace(result, patch=patch_of(winner, name, winner_message(result)))
    entries = []
    for entry in result.frontier:
        candidate = state.search.candidates[entry.candidate]
        edits = without_secrets(ancestry(state, candidate, labels), hidden.redact)
        message = frontier_message(entry, edits, result)
        patch = patch_of(candidate, f"frontier/{candidate.id}.patch", message)
        entries.append(replace(entry, patch=patch))
    result = _warned(replace(result, frontier=tuple(entries)), warnings)
    problems = _write_tables(directory, result)
    # The page last: it is the largest by far, and all else is on disk by then.
    problems += _make(directory / "report.html", lambda: render_page(build_page(result, state, cases, hidden.redact)))
    if problems:
        result = _warned(result, map(redact, problems))
        _write_tables(directory, result)
    return result


def _warned(result: Result, warnings: Iterable[str]) -> Result:
    told = (" ".join(warning.split()) for warning in warnings)
    return replace(result, warnings=(*result.warnings, *told))


def _write_tables(directory: Path, result: Result) -> list[str]:
    """Write what the result alone is told by; says which of it could not be made, and why."""
    return [
        *_make(
            directory / "result.json",
            lambda: json.dumps(to_json(result), indent=1, ensure_ascii=False) + "\n",
        ),
        *_make(directory / "report.md", lambda: render_markdown(result)),
    ]


def _make(path: Path, text: Callable[[], str]) -> list[str]:
    """Write one file of a run; what is wrong with it costs no other, and is said."""
    try:
        write_text(path, text())
    except Exception as error:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return [f"{path.name} {_not_made(error)}"]
    return []


def _not_made(error: Exception) -> str:
    return f"could not be made: {type(error).__name__}: {error}"


def _hidden_lines(state: RunState, redact: Callable[[str], str]) -> HiddenLines:
    """The lines of all texts of the run that a secret over several lines is in: changes are shown by their lines."""
    candidates = state.search.candidates.values()
    return HiddenLines((text for candidate in candidates for text in candidate.texts.values()), redact)


def _clean(result: Result, state: RunState, redact: Callable[[str], str]) -> Result:
    """The result without secrets. What models have said was shown to them without; this is for what came in by another
    way."""
    patches = [f"frontier/{name}.patch" for name in state.search.candidates]
    return replace(without_secrets(result, redact), reason=redact_between(result.reason, patches, redact))


def _write_patch(
    path: Path,
    candidate: Candidate,
    components: Mapping[str, Component],
    base: PatchBase,
    message: list[PatchLine],
) -> str:
    """Write a patch; tells why git would not take it, "" if it would. Raises `PatchError` for one that is none."""
    patch = candidate_patch(candidate, components, base, message)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_file(path, patch)
    problem = git_apply_check(path, base.top)
    if problem is None:
        return ""
    changed = [file for file, data in compose(components.values(), {}).items() if not _holds(file, data)]
    if changed:
        names = ", ".join(os.path.relpath(file, path.parents[3]) for file in changed)
        problem += f" ({names} was changed or removed while the run went on)"
    return problem


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except OSError:  # removed, or not to be read any more
        return False
