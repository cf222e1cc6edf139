"""Checks without processes: the real story and verdict of a check, in a suite whose cases are rates of passing.

The world: two prompts, and cases that each go by one of them. `rates` has a case's chance to pass under the base's
prompts and under today's.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_gepa.check.check import Check
from pytest_gepa.check.rounds import Bench
from pytest_gepa.check.state import CheckState
from pytest_gepa.prompts.components import Component
from pytest_gepa.report.check_build import build_check
from pytest_gepa.report.check_result import CheckResult
from pytest_gepa.run.base_prompts import BasePrompts, PromptChange
from pytest_gepa.run.journal import Journal
from pytest_gepa.settings import Settings
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.suite.usage import CaseUsage, usage_of
from pytest_gepa.trace.trajectory import Call, Message, Trajectory
from tests.fake_suite import FakeSuite

EDITED, OTHER = "prompts/edited.md", "prompts/other.md"
BASE, TODAY = "as it was", "as it is"

Rates = tuple[float, float]


def world_settings(**changed: Any) -> Settings:
    given: dict[str, Any] = {
        "mode": "check", "rootdir": Path(), "prompts": (), "prompts_base": Path(), "reflection_model": None,
        "budget": None, "minutes": None, "concurrency": 8, "trials": None, "holdout": 0.0, "seed": 0,
        "timeout": 1.0, "max_broken": 0, "fail_on": None, "isolation": "auto",
    }  # fmt: skip
    return Settings(**{**given, **changed})


class World:
    """`rates` are those of the cases that go by the edited prompt, `others` the number of those by the other one.
    `added` are prompts that the base has not. `has_same_code` says that prompts alone have changed.
    """

    added: tuple[str, ...] = ()
    state: CheckState

    def __init__(
        self,
        rates: Mapping[str, Rates],
        others: int = 0,
        seed: int = 0,
        model: str = "task",
        *,
        has_same_code: bool = False,
    ) -> None:
        self.has_same_code = has_same_code
        self.rates = dict(rates)
        self.seed = seed
        self.model = model
        self.names = [*rates, *(f"other{number}" for number in range(others))]
        self.suite = FakeSuite(self.rollout)

    @property
    def ran(self) -> list[tuple[str, str, str]]:
        """Side, case and trial of every rollout, in order."""
        return [
            ("today" if asked.texts[EDITED] == TODAY else "base", case, asked.trial)
            for asked in self.suite.asked
            for case in asked.cases
        ]

    def rollout(self, candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        prompt = EDITED if case in self.rates else OTHER
        rate = self.rates.get(case, (1.0, 1.0))[texts[EDITED] == TODAY]
        draw = random.Random(f"{self.seed} {case} {trial} {texts[prompt]}").random()
        has_passed = draw < rate
        call = Call(f"{case} {texts[prompt]}", self.model, (), Message("assistant", "yes" if has_passed else "no"))
        return Rollout(
            candidate,
            case,
            trial,
            Outcome.passed if has_passed else Outcome.failed,
            float(has_passed),
            Trajectory((call,), failure="" if has_passed else "assert 'no' == 'yes'"),
            charged=True,
            uses=(prompt,),
            reads=(prompt,),
        )

    @property
    def learned(self) -> dict[str, CaseUsage]:
        """What the last check has left for the next one to know."""
        return usage_of("run", self.state.today.texts, self.state.every_rollout("today"))

    def check(self, directory: Path, known: Mapping[str, CaseUsage] | None = None, **changed: Any) -> CheckResult:
        cases = [Case(name, name) for name in self.names]
        components = [Component(EDITED, Path(EDITED), TODAY), Component(OTHER, Path(OTHER), "the same")]
        changes = (PromptChange(EDITED, EDITED, "edited", "-as it was\n+as it is", (1,)),)
        changes += tuple(PromptChange(name, name, "added", "+new") for name in self.added)
        components += [Component(name, Path(name), "new") for name in self.added]
        texts = {component.id: component.text for component in components}
        base = BasePrompts("abc1234", "", {**texts, EDITED: BASE}, changes, has_same_code=self.has_same_code)
        journal = Journal(directory / f"journal-{self.seed}.jsonl", str)
        settings = world_settings(**changed)
        suite: Any = self.suite
        check = Check(Bench(settings, "run", cases, components, suite, journal, Silent()), base, known or {})
        self.state = check.state
        try:
            check.run()
        finally:
            journal.close()
        return build_check("run", check.state, cases, base, settings, " ".join)


def tiers(result: CheckResult) -> dict[str, str]:
    """The tier of each case."""
    return {case.case: case.tier for case in result.cases}


class Silent:
    def first_trial(self, rollout: Rollout) -> None:
        """Nothing is shown."""

    def progress(self, state: Any) -> None:
        """Nothing is shown."""


def example_world(seed: int) -> World:
    """Twenty cases: an edit breaks one and helps two, is a harmless rewording to fourteen of which one is flaky, and
    has no part in three."""
    rates: dict[str, Rates] = {"broken": (1, 0), "helped0": (0, 1), "helped1": (0, 1), "flaky": (0.5, 0.5)}
    rates |= {f"steady{number}": (1, 1) for number in range(13)}
    return World(rates, others=3, seed=seed)


def harmless_world(seed: int) -> World:
    """Twenty cases of which five are flaky, and an edit that changes nothing."""
    rates: dict[str, Rates] = {f"steady{number}": (1, 1) for number in range(15)}
    rates |= {f"flaky{number}": (0.5, 0.5) for number in range(3)} | {
        "rare0": (0.9, 0.9),
        "rare1": (0.9, 0.9),
    }
    return World(rates, seed=seed)
