"""What a run leaves in its directory when it ends: patches, `result.json`, `report.html` and `report.md`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pytest_gepa.codec import from_json, to_json
from pytest_gepa.errors import GepaError
from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.prompts.components import Component, compose
from pytest_gepa.prompts.patch import PatchLine, git_apply_check
from pytest_gepa.report.build import ancestry
from pytest_gepa.report.markdown import render_markdown
from pytest_gepa.report.page import build_page, render_page
from pytest_gepa.report.patches import PatchBase, candidate_patch, frontier_message, winner_message
from pytest_gepa.report.result import Result
from pytest_gepa.report.run_directory import write_file
from pytest_gepa.run_state import RunState
from pytest_gepa.suite.rollout import Case
from pytest_gepa.trace.redact import rewrite_tree


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
    # What models have said was shown to them without secrets; this is for what came in by another way.
    result = from_json(
        Result, rewrite_tree(to_json(result), lambda text: text if text in components else redact(text))
    )
    warnings: list[str] = []
    labels = {case.id: case.nodeid for case in cases}

    def patch_of(candidate: Candidate, name: str, message: list[PatchLine]) -> str:
        path = directory / name
        shown = os.path.relpath(path, directory.parents[2])
        try:
            problem = _write_patch(path, candidate, components, base, message)
        except OSError as error:
            path.unlink(missing_ok=True)  # half a patch would do harm
            warnings.append(f"{shown} {_not_made(error)}")
            return ""
        except (GepaError, ValueError) as error:
            warnings.append(f"{shown} could not be made: {error}")
            return ""
        if problem:
            warnings.append(f"{shown}: git would not take this patch: {problem}")
        return shown

    winner = state.winner or state.search.seed
    if winner.id != state.search.seed.id:
        name = "best.patch" if result.verdict == "proven" else f"frontier/{winner.id}.patch"
        result = replace(result, patch=patch_of(winner, name, winner_message(result)))
    entries = []
    for entry in result.frontier:
        candidate = state.search.candidates[entry.candidate]
        message = frontier_message(
            entry, ancestry(state, candidate, labels), trials=result.trials, judged=result.judged
        )
        message = [PatchLine(redact(line.text), line.quoted) for line in message]
        patch = patch_of(candidate, f"frontier/{candidate.id}.patch", message)
        entries.append(replace(entry, patch=patch))
    result = _warned(replace(result, frontier=tuple(entries)), warnings, redact)
    problems = _write_tables(directory, result)
    # The page last: it is the largest by far, and all else is on disk by then.
    problems += _make(
        directory / "report.html", lambda: render_page(build_page(result, state, cases, redact))
    )
    if problems:
        result = _warned(result, problems, redact)
        _write_tables(directory, result)
    return result


def _warned(result: Result, warnings: Sequence[str], redact: Callable[[str], str]) -> Result:
    told = (redact(" ".join(warning.split())) for warning in warnings)
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
        # Half of a surrogate pair, which UTF-8 cannot hold, becomes the escape by which JSON spells it.
        write_file(path, text().encode("utf-8", "backslashreplace"))
    except Exception as error:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return [f"{path.name} {_not_made(error)}"]
    return []


def _not_made(error: Exception) -> str:
    return f"could not be made: {type(error).__name__}: {error}"


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
