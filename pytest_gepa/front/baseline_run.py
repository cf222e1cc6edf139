"""Between a pytest session and the trials of a saved baseline: cases go in, the file or a check's reports come out."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

from pytest_gepa import __version__
from pytest_gepa.check.baseline_check import BaselineCheck
from pytest_gepa.check.baseline_saving import BaselineSaving
from pytest_gepa.check.baselines import Baseline, BaselineError, baseline_path, read_baseline, write_baseline
from pytest_gepa.check.matching import Matched, differences
from pytest_gepa.codec import to_json
from pytest_gepa.front.check_run import conclude_trials, mending_command
from pytest_gepa.front.check_session import CheckSession
from pytest_gepa.prompts.components import Component
from pytest_gepa.prompts.git_runs import path_from, top_of
from pytest_gepa.redaction import without_secrets
from pytest_gepa.report.baseline_text import comparing_opening, replaced_lines, saved_lines, saving_opening
from pytest_gepa.report.check_build import build_check, spent_of, trouble_of
from pytest_gepa.report.check_result import CheckResult, SavedBaseline
from pytest_gepa.report.last_lines import spent_line, trouble_lines
from pytest_gepa.report.rows import row
from pytest_gepa.run.base_prompts import BasePrompts, PromptChange
from pytest_gepa.run.directory import SAVED, state_directory, write_text
from pytest_gepa.settings import Settings
from pytest_gepa.stash import closing_key, exit_status_key, verdict_key
from pytest_gepa.suite.rollout import Case
from pytest_gepa.trace.redact import Redactor
from pytest_gepa.wording import count, printable


def compare(
    session: pytest.Session,
    settings: Settings,
    components: Sequence[Component],
    cases: Sequence[Case],
    baseline: Baseline,
    matched: Matched,
    changes: tuple[PromptChange, ...],
) -> None:
    """Compare today with a baseline. Raises `GepaError` for what the user can mend."""
    redactor = Redactor(os.environ, settings.redact)
    base = BasePrompts(settings.baseline, "", {}, changes)
    with CheckSession(session, settings, cases, components, redactor, {"baseline": baseline}) as run:
        check = BaselineCheck(run.bench, matched.known, [change.component for change in changes])
        top = top_of(settings.rootdir)
        places = {
            case.id: (path_from(top, item.path), (item.location[1] or 0) + 1)
            for case, item in zip(cases, session.items, strict=True)
        }

        def finish() -> CheckResult:
            def command(nodeids: Sequence[str]) -> str:
                return mending_command(session.config, settings, "", nodeids)

            saved = SavedBaseline(
                saved=baseline.saved,
                version=baseline.version,
                models=baseline.models,
                new=matched.new,
                edited=matched.edited,
                gone=(*matched.gone, *(case.nodeid for case in cases if case.id in check.state.passed_over)),
            )
            name = run.directory.name
            result = build_check(name, check.state, cases, base, settings, command, saved, places)
            return conclude_trials(session.config, settings, run, result, redactor)

        run.conduct(check, [comparing_opening(settings.baseline, baseline, matched, changes)], finish)


def save(
    session: pytest.Session,
    settings: Settings,
    components: Sequence[Component],
    cases: Sequence[Case],
    trials: int,
) -> None:
    """Save a baseline. Raises `GepaError` for what the user can mend."""
    redactor = Redactor(os.environ, settings.redact)
    with CheckSession(session, settings, cases, components, redactor, {}) as run:
        saving = BaselineSaving(run.bench)

        def finish() -> None:
            lines = _saved(session.config, settings, saving, redactor)
            labels = {case.id: case.nodeid for case in cases}
            trouble = without_secrets(tuple(trouble_of(saving.state, labels)), redactor.redact)
            problems = without_secrets(saving.state.problems, redactor.redact)
            lines += trouble_lines(trouble, problems)
            spent = without_secrets(spent_of(saving.state), redactor.redact)
            lines.append(spent_line(spent))
            told = {"verdict": session.config.stash[verdict_key], "spent": to_json(spent)}
            write_text(run.directory / SAVED, json.dumps(told, indent=1) + "\n")
            session.config.stash[closing_key] = list(map(printable, lines))

        run.conduct(saving, [saving_opening(settings.saved_baseline, len(cases), trials)], finish)


def _saved(
    config: pytest.Config,
    settings: Settings,
    saving: BaselineSaving,
    redactor: Redactor,
) -> list[str]:
    """Write the file if the trials have come to their end, and say so."""
    name, state = settings.saved_baseline, saving.state
    path = baseline_path(state_directory(settings.rootdir), name)
    baseline = saving.baseline(redactor.redact, date.today().isoformat(), __version__)
    why = "" if state.has_ended else redactor.redact(state.stopped) or "interrupted"
    if not why and not baseline.cases:
        why = "no case reached a model and gave evidence"
    if why:
        config.stash[verdict_key] = "not saved"
        config.stash[exit_status_key] = 1
        kept = "what there was before is as it was" if path.exists() else "nothing was written"
        return [row("not saved", f"{name}: {why}; {kept}")]
    replaced = _replaced(path, baseline, redactor)
    write_baseline(path, baseline)
    config.stash[verdict_key] = "saved"
    config.stash[exit_status_key] = 0
    lines = [*saved_lines(name, baseline), *replaced]
    if state.untouched:
        lines.append(row("left out", f"{count(len(state.untouched), 'case')} that reach no model"))
    shown = shlex.quote(os.path.relpath(path, config.invocation_params.dir))
    return [
        *lines,
        row("written", shown),
        f"`git add -f {shown}` keeps it for others and for CI; `pytest --gepa-baseline {name}` compares with it",
    ]


def _replaced(path: Path, baseline: Baseline, redactor: Redactor) -> list[str]:
    """What the new baseline says otherwise than the one that it replaces."""
    if not path.exists():
        return []
    try:
        before = without_secrets(read_baseline(path), redactor.redact)
    except BaselineError as error:
        return [row("replaces", f"a file that was no use: {error}")]
    return replaced_lines(before, differences(before, baseline))
