"""Between a pytest session and a saved baseline: what is checked, and planned, before any case is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_gepa.check.baselines import Baseline, BaselineError, baseline_path, read_baseline, text_digest
from pytest_gepa.check.matching import Matched, match
from pytest_gepa.check.rounds import most_trials
from pytest_gepa.errors import SettingsError
from pytest_gepa.front.session import find_cases, find_prompts, tell_plan
from pytest_gepa.prompts.addresses import SEPARATOR
from pytest_gepa.prompts.components import Component
from pytest_gepa.prompts.git_runs import path_from, top_of
from pytest_gepa.report.baseline_text import comparing_plan, saving_plan
from pytest_gepa.run.base_prompts import PromptChange
from pytest_gepa.run.directory import STATE_DIRECTORY
from pytest_gepa.settings import Settings
from pytest_gepa.suite.rollout import Case
from pytest_gepa.suite.usage import case_digest, load_usage, still_true


def run_baseline(session: pytest.Session, settings: Settings) -> None:
    """Save a baseline, compare with one, or tell the plan of it. Raises `GepaError` for what the user can mend."""
    if settings.saved_baseline:
        _save(session, settings)
    else:
        _compare(session, settings)


def _save(session: pytest.Session, settings: Settings) -> None:
    if settings.replay == "only":
        raise SettingsError(
            "a baseline is saved of fresh answers, which --gepa-replay=only does not ask for; give --gepa-replay=auto"
        )
    components, cases = find_prompts(settings), find_cases(session, settings)
    if settings.is_plan:
        usage = still_true(load_usage(_directory(settings)), cases)
        tell_plan(session.config, saving_plan(settings, cases, _trials(settings, cases), usage))
        return
    from pytest_gepa.front.baseline_run import save

    # The answers of no run are read, and nobody reads those of this one.
    save(session, replace(settings, replay="off"), components, cases, _trials(settings, cases))


def _compare(session: pytest.Session, settings: Settings) -> None:
    path = baseline_path(_directory(settings), settings.baseline)
    baseline = read_baseline(path)
    components, cases = find_prompts(settings), find_cases(session, settings)
    matched = _matched(baseline, cases)
    if not matched.known:
        raise BaselineError(
            f"none of the {len(cases):,} cases of this session can be compared with the baseline {path}: "
            f"{len(matched.new):,} are not in it, and {len(matched.edited):,} have another test, other values or "
            f"another threshold than when it was saved; save it again with --gepa-save-baseline {settings.baseline}"
        )
    changes = prompt_changes(settings, baseline, components)
    compared = [case for case in cases if case.id in matched.known]
    if settings.is_plan:
        trials = _trials(settings, compared)
        usage = still_true(load_usage(_directory(settings)), compared)
        tell_plan(session.config, comparing_plan(settings, baseline, matched, changes, compared, trials, usage))
        return
    from pytest_gepa.front.baseline_run import compare

    compare(session, settings, components, cases, baseline, matched, changes)


def _directory(settings: Settings) -> Path:
    return settings.rootdir / STATE_DIRECTORY


def _trials(settings: Settings, cases: Sequence[Case]) -> int:
    """The most trials of all cases together, on one side."""
    return sum(most_trials(case, settings) for case in cases)


def _matched(baseline: Baseline, cases: Sequence[Case]) -> Matched:
    """The recorded cases by the ids of today."""
    ids = {case.id: case for case in cases}
    found = match(
        baseline,
        {name: case_digest(case) for name, case in ids.items()},
        {name: case.threshold for name, case in ids.items()},
    )
    return Matched(
        known=found.known,
        new=tuple(ids[name].nodeid for name in found.new),
        edited=tuple(ids[name].nodeid for name in found.edited),
        gone=found.gone,
    )


def prompt_changes(settings: Settings, baseline: Baseline, components: Sequence[Component]) -> tuple[PromptChange, ...]:
    """The prompts that are not as they were, known by their digests alone."""
    today = {component.id: text_digest(component.text) for component in components}
    states = _states(baseline.prompts, today)
    top = top_of(settings.rootdir)
    return tuple(
        PromptChange(name, path_from(top, settings.rootdir / name.partition(SEPARATOR)[0]), state, "")
        for name, state in sorted(states.items())
    )


def _states(before: Mapping[str, str], today: Mapping[str, str]) -> dict[str, str]:
    return {
        name: "added" if name not in before else "deleted" if name not in today else "edited"
        for name in {*before, *today}
        if before.get(name) != today.get(name)
    }
