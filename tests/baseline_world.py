"""Saved baselines without processes: the real stories and verdicts, in a suite whose cases are rates of passing.

The prompts stay as they are; it is the model that changes, by other `rates`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_gepa.check.baseline_check import BaselineCheck
from pytest_gepa.check.baseline_saving import BaselineSaving
from pytest_gepa.check.baselines import Baseline
from pytest_gepa.check.matching import match
from pytest_gepa.check.rounds import Bench
from pytest_gepa.check.state import CheckState
from pytest_gepa.front.baseline import prompt_changes
from pytest_gepa.prompts.components import Component
from pytest_gepa.report.check_build import build_check
from pytest_gepa.report.check_result import CheckResult, SavedBaseline
from pytest_gepa.run.base_prompts import BasePrompts
from pytest_gepa.run.journal import Journal
from pytest_gepa.settings import Settings
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.suite.usage import case_digest
from pytest_gepa.trace.trajectory import Call, Message, Trajectory
from tests.check_world import Silent, world_settings
from tests.fake_suite import FakeSuite

PROMPT = "prompts/route.md"
SECRET = "hunter2-and-more"


class ModelWorld:
    """`rates` are how often the cases pass under the model of the day. By their names some are of other kinds:
    `graded...` have scores around their rate, `exact...` always that score, `plain...` ask no model, `skipped...` and
    `down...` give no evidence. `thresholds` are those of their markers.
    """

    def __init__(self, rates: Mapping[str, float], seed: int = 0, text: str = "Be brief.") -> None:
        self.rates = dict(rates)
        self.thresholds: dict[str, float] = {}
        self.seed = seed
        self.component = Component(PROMPT, Path(PROMPT), text)
        self.suite = FakeSuite(self.rollout)

    @property
    def cases(self) -> list[Case]:
        return [
            Case(
                name,
                f"{name}[{SECRET}]" if name == "secretive" else name,
                source=name,
                threshold=self.thresholds.get(name),
            )
            for name in self.rates
        ]

    def ran(self, case: str) -> list[str]:
        """The trials of a case, in order."""
        return [asked.trial for asked in self.suite.asked if case in asked.cases]

    def rollout(self, candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        draw = random.Random(f"{self.seed} {case} {trial}").random()
        score = float(draw < self.rates[case])
        if case.startswith("graded"):
            score = max(0.0, min(1.0, self.rates[case] + (draw - 0.5) / 4))
        elif case.startswith("exact"):
            score = self.rates[case]
        outcome = Outcome.passed if score >= self.thresholds.get(case, 0.5) else Outcome.failed
        if case.startswith(("skipped", "down")):
            outcome = Outcome.skipped if case.startswith("skipped") else Outcome.error
        calls = (Call(f"{case} {trial}", "small-model", (), Message("assistant", f"answer {score:g}")),)
        is_plain = case.startswith("plain")
        return Rollout(
            candidate,
            case,
            trial,
            outcome,
            score if outcome.is_evidence else None,
            Trajectory(() if is_plain else calls, failure="" if score else "assert 'no' == 'yes'"),
            charged=not is_plain,
            uses=() if is_plain else (PROMPT,),
        )

    def bench(self, settings: Settings, run: str, journal: Journal) -> Bench:
        suite: Any = self.suite
        return Bench(settings, run, self.cases, [self.component], suite, journal, Silent())

    def save(
        self, directory: Path, redact: Callable[[str], str] | None = None, **changed: Any
    ) -> tuple[Baseline, CheckState]:
        """The baseline that a run would write, and how the run stood at its end."""
        journal = Journal(directory / "then.jsonl", str)
        settings = world_settings(mode="save-baseline", saved_baseline="nightly", **changed)
        saving = BaselineSaving(self.bench(settings, "then", journal))
        saving.run()
        journal.close()
        redact = redact or (lambda text: text.replace(SECRET, "-"))
        found = saving.baseline(redact, "2026-01-31", "1.2.3")
        return found, saving.state

    def compare(self, directory: Path, baseline: Baseline, **changed: Any) -> CheckResult:
        """The result of a comparison with a baseline."""
        journal = Journal(directory / "now.jsonl", str)
        settings = world_settings(mode="baseline", baseline="nightly", rootdir=directory, **changed)
        cases = self.cases
        matched = match(
            baseline,
            {case.id: case_digest(case) for case in cases},
            {case.id: case.threshold for case in cases},
        )
        changes = prompt_changes(settings, baseline, [self.component])
        check = BaselineCheck(
            self.bench(settings, "now", journal), matched.known, [change.component for change in changes]
        )
        check.run()
        journal.close()
        base = BasePrompts("nightly", "", {}, changes)
        saved = SavedBaseline(
            baseline.saved, baseline.version, baseline.models, matched.new, matched.edited, matched.gone
        )
        places = {case.id: ("tests/test_it.py", 7) for case in cases}
        return build_check("run", check.state, cases, base, settings, " ".join, saved, places)
