"""What a run leaves in its directory when it ends: patches, `result.json` and `report.md`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from pytest_gepa.codec import from_json, to_json
from pytest_gepa.errors import PatchError
from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.prompts.components import Component, compose
from pytest_gepa.prompts.patch import PatchLine, git_apply_check
from pytest_gepa.report.build import ancestry
from pytest_gepa.report.markdown import render_markdown
from pytest_gepa.report.patches import PatchBase, candidate_patch, frontier_message, winner_message
from pytest_gepa.report.result import Result
from pytest_gepa.report.run_directory import write_file
from pytest_gepa.run_state import RunState
from pytest_gepa.trace.redact import rewrite_tree


def write_run(
    directory: Path,
    result: Result,
    state: RunState,
    components: Mapping[str, Component],
    labels: Mapping[str, str],
    base: PatchBase,
    redact: Callable[[str], str] = str,
) -> Result:
    """Write patches, `result.json` and `report.md`; the result comes back with the paths of its patches, and redacted.

    A patch's own lines are those of the user's files, to the byte: else it would not apply.
    """
    # What models have said was shown to them without secrets; this is for what came in by another way.
    result = from_json(
        Result, rewrite_tree(to_json(result), lambda text: text if text in components else redact(text))
    )
    winner = state.winner or state.search.seed
    if winner.id != state.search.seed.id:
        name = "best.patch" if result.verdict == "proven" else f"frontier/{winner.id}.patch"
        path = _write_patch(directory / name, winner, components, base, winner_message(result))
        result = replace(result, patch=os.path.relpath(path, directory.parents[2]))
    entries = []
    for entry in result.frontier:
        candidate = state.search.candidates[entry.candidate]
        message = frontier_message(
            entry, ancestry(state, candidate, labels), trials=result.trials, judged=result.judged
        )
        message = [PatchLine(redact(line.text), line.quoted) for line in message]
        path = _write_patch(
            directory / f"frontier/{candidate.id}.patch", candidate, components, base, message
        )
        entries.append(replace(entry, patch=os.path.relpath(path, directory.parents[2])))
    result = replace(result, frontier=tuple(entries))
    # Half of a surrogate pair, which UTF-8 cannot hold, becomes the escape by which JSON spells it.
    text = json.dumps(to_json(result), indent=1, ensure_ascii=False) + "\n"
    write_file(directory / "result.json", text.encode("utf-8", "backslashreplace"))
    write_file(directory / "report.md", render_markdown(result).encode("utf-8", "backslashreplace"))
    return result


def _write_patch(
    path: Path,
    candidate: Candidate,
    components: Mapping[str, Component],
    base: PatchBase,
    message: list[PatchLine],
) -> Path:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_file(path, candidate_patch(candidate, components, base, message))
    problem = git_apply_check(path, base.top)
    unchanged = all(path.read_bytes() == data for path, data in compose(components.values(), {}).items())
    if problem is not None and unchanged:
        raise PatchError(f"{path}: git would not take this patch: {problem}")
    return path
