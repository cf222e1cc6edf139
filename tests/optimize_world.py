"""Optimizations without processes: the real story of a run, in a suite whose cases ask for words in one prompt.

A case passes when its word stands in the prompt; a plugin proposes the edits, so that no model is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from pytest_gepa import hookspecs
from pytest_gepa.optimize.extensions import Extensions
from pytest_gepa.optimize.optimization import Optimization
from pytest_gepa.optimize.state import RunState
from pytest_gepa.prompts.components import Component
from pytest_gepa.reflect.endpoint import ReflectionEndpoint
from pytest_gepa.reflect.model import ReflectionModel
from pytest_gepa.reflect.withhold import Withholder
from pytest_gepa.run.clock import ConfirmCut
from pytest_gepa.run.crew import Crew
from pytest_gepa.run.journal import Journal, read_journal
from pytest_gepa.run.plan import plan_budget
from pytest_gepa.settings import NO_MODEL
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.trace.trajectory import Call, Message, Trajectory
from tests.check_world import world_settings
from tests.fake_suite import FakeSuite

PROMPT = "prompts/do.md"
TODAY = "Do it.\n"

Edit = Callable[[str, Sequence[str], int], str]
"""Takes the prompt, the words that the failing cases lack, and how often the parent was reflected on."""


def add_words(text: str, lacking: Sequence[str], attempt: int) -> str:
    """One line for each word that is lacking."""
    return text + "".join(f"- mind the {word}\n" for word in lacking)


class World:
    """`words` has each case's word. `answers` makes the answer of a rollout, of whether it passes and its trial."""

    def __init__(self, words: Mapping[str, str], edit: Edit = add_words) -> None:
        self.words = dict(words)
        self.edit = edit
        self.suite = FakeSuite(self.rollout)
        self.answer: Callable[[str, bool, str], str] = lambda case, passes, trial: "yes" if passes else "no"
        self.passes: Callable[[str, str, str], bool] = lambda text, case, trial: self.words[case] in text
        self.journal: list[Mapping[str, Any]] = []

    @property
    def cases(self) -> list[Case]:
        return [Case(name, name) for name in self.words]

    def rollout(self, candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        passes = self.passes(texts[PROMPT], case, trial)
        asked = (Message("system", texts[PROMPT]), Message("user", case))
        call = Call(f"{case} {texts[PROMPT]}", "task", asked, Message("assistant", self.answer(case, passes, trial)))
        return Rollout(
            candidate,
            case,
            trial,
            Outcome.passed if passes else Outcome.failed,
            float(passes),
            Trajectory((call,), failure="" if passes else f"assert 'no {self.words[case]}'"),
            charged=True,
            uses=(PROMPT,),
            reads=(PROMPT,),
        )

    def run(
        self,
        directory: Path,
        *,
        ancestor: Mapping[str, str] | None = None,
        crew: Crew | None = None,
        confirm_cut: ConfirmCut | None = None,
        **changed: Any,
    ) -> RunState:
        """A whole run with these settings; what it left is in `state` and `journal`, also when it was interrupted."""
        settings = world_settings(mode="optimize", rootdir=directory, **changed)
        journal = Journal(directory / "journal.jsonl", str)
        optimization = Optimization(
            settings,
            "run",
            self.cases,
            [Component(PROMPT, Path(PROMPT), TODAY)],
            plan_budget(settings, self.cases),
            cast("Any", self.suite),
            ReflectionModel(ReflectionEndpoint(NO_MODEL)),
            journal,
            cast("Any", _Silent()),
            self._extensions(),
            Withholder(self.cases),
            crew,
            ancestor,
            confirm_cut,
        )
        self.state = optimization.state
        try:
            optimization.run()
        finally:
            journal.close()
            self.journal = list(read_journal(directory / "journal.jsonl"))
        return self.state

    def records(self, kind: str) -> list[Mapping[str, Any]]:
        return [record for record in self.journal if record["record"] == kind]

    def _extensions(self) -> Extensions:
        manager = pytest.PytestPluginManager()
        manager.add_hookspecs(hookspecs)
        manager.register(_Plugin(self), "tests.world")
        return Extensions(manager.hook)


class _Plugin:
    def __init__(self, world: World) -> None:
        self._world = world

    def pytest_gepa_propose(self, text: str, failing: Sequence[Mapping[str, Any]], attempt: int) -> str:
        words = dict.fromkeys(self._world.words[one["case"]] for one in failing)
        return self._world.edit(text, [word for word in words if word not in text], attempt)


class _Silent:
    def __getattr__(self, name: str) -> Any:
        return lambda *_: None
