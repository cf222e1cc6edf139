"""Which prompt did what: components tied to calls tied to cases, as runs have shown it, kept for the next plan."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_gepa.codec import from_json, to_json
from pytest_gepa.suite.rollout import Rollout
from pytest_gepa.trace.attribution import components_used

FILE = "usage.json"
VERSION = 1


@dataclass(frozen=True, slots=True)
class CaseUsage:
    """What one run of a case asked of models under the prompts of its day.

    `components` counts, by component id, the calls whose messages held its text; `reads` are the components whose
    file was opened. `seconds` is the wall time of the run, tokens are the servers' own counts, cached answers
    included. `run` names the run that has shown it. `scores` are those of the run's rollouts of the case that gave
    evidence, of every phase and trial.
    """

    components: Mapping[str, int]
    reads: tuple[str, ...] = ()
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    run: str = ""
    scores: tuple[float, ...] = ()

    @property
    def touches(self) -> frozenset[str]:
        """The components that the case depends on, as far as is known."""
        return frozenset(self.components) | frozenset(self.reads)


def usage_of(run: str, texts: Mapping[str, str], rollouts: Iterable[Rollout]) -> dict[str, CaseUsage]:
    """What rollouts under `texts`, component texts by id, have shown, by case id."""
    shown: dict[str, list[Rollout]] = {}
    for rollout in rollouts:
        if rollout.outcome.is_evidence or rollout.trajectory.calls:
            shown.setdefault(rollout.case, []).append(rollout)
    return {
        case: replace(
            _usage(run, texts, runs[-1]), scores=tuple(one.score for one in runs if one.score is not None)
        )
        for case, runs in shown.items()
    }


def _usage(run: str, texts: Mapping[str, str], rollout: Rollout) -> CaseUsage:
    calls = rollout.trajectory.calls
    used: dict[str, int] = {}
    for call in calls:
        for component in components_used(texts, [call]):
            used[component] = used.get(component, 0) + 1
    return CaseUsage(
        components={component: used.get(component, 1) for component in sorted({*used, *rollout.uses})},
        reads=rollout.reads,
        calls=len(calls),
        input_tokens=sum(call.input_tokens for call in calls),
        output_tokens=sum(call.output_tokens for call in calls),
        seconds=rollout.seconds,
        run=run,
    )


def load_usage(directory: Path) -> dict[str, CaseUsage]:
    """What earlier runs have learned, from the state directory; nothing from a file that is missing or damaged."""
    try:
        data = json.loads((directory / FILE).read_text(encoding="utf-8"))
        if data["version"] != VERSION:
            return {}
        return {str(case): from_json(CaseUsage, usage) for case, usage in data["cases"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def save_usage(directory: Path, learned: Mapping[str, CaseUsage]) -> None:
    """Add what a run has learned to what is known; cases that it did not run keep what was known of them."""
    cases = {**load_usage(directory), **learned}
    text = json.dumps({"version": VERSION, "cases": to_json(dict(sorted(cases.items())))}, indent=1)
    # Written aside and moved, so that another session never reads half of it.
    aside = directory / f"{FILE}.{os.getpid()}"
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text + "\n")
    os.replace(aside, directory / FILE)
