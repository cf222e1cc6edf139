"""What the child sessions of a run share with the user's own session."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_gepa.prompts.components import Component
from pytest_gepa.run.answers import RunAnswers
from pytest_gepa.settings import Settings
from pytest_gepa.stash import INITIAL_SYS_PATH
from pytest_gepa.suite.evaluate import Suite, Surroundings
from pytest_gepa.suite.isolation import choose_runner
from pytest_gepa.suite.modules import environment_modules, project_packages
from pytest_gepa.suite.rollout import Case

COSTS = "costs"
"""The directory, among the temporary files of a run, in which its processes note what they spend."""


def make_suite(
    config: pytest.Config,
    settings: Settings,
    cases: Sequence[Case],
    components: Sequence[Component],
    temp: Path,
    answers: RunAnswers,
) -> Suite:
    """The suite of a run, with what its child sessions share of this one."""
    prompts = [str(component.path) for component in components]
    own = project_packages(settings.rootdir)
    preload = [name for name in environment_modules() if name.split(".", 1)[0] not in own]
    around = Surroundings(
        args=tuple(str(argument) for argument in config.invocation_params.args),
        cwd=str(config.invocation_params.dir),
        rootdir=str(settings.rootdir),
        sys_path=INITIAL_SYS_PATH,
        temp=temp,
        cache=answers.cache,
        concurrency=settings.concurrency,
        timeout=settings.timeout,
        replay=answers.replay,
        recording=answers.recording,
        charges=answers.charges,
        redact=settings.redact,
        isolation=settings.isolation,
        costs=str(temp / COSTS),
        deadline=math.inf if settings.minutes is None else time.monotonic() + 60 * settings.minutes,
    )
    return Suite(cases, components, around, choose_runner(settings.isolation, temp, preload, prompts))
