"""Every setting of a session, as data; `resolve` reads and checks them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytest_gepa.own import OwnName
from pytest_gepa.prompts.edits import KINDS

SHAPING = (
    "seed",
    "budget",
    "trials",
    "holdout",
    "max_broken",
    "confirm",
    "shrinks",
    "edits",
    "ancestor",
    "is_joint",
)
"""The settings on which the requests of a run depend."""

DEFAULT_CONCURRENCY = 8
DEFAULT_TRIALS = 3
DEFAULT_TIMEOUT = 120.0
"""Seconds that one case may take."""

DEFAULT_REFLECTION_TIMEOUT = 600.0
"""Seconds that one reply may take; a reasoning model may think for minutes."""

DEFAULT_CACHE_MEGABYTES = 1000
NO_MODEL = "none"
"""The name of the reflection model by which a run does without one."""

SCORE_RULE = "score:"
"""How a rule of `--gepa-fail-on` begins that bounds by how much the mean score may fall."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one session.

    `mode` is what is to run or, where `is_plan`, only to be told. `prompts` are globs, () for the default ones; they
    resolve against `prompts_base`. `budget` counts rollouts, None for the default; `minutes` is None for no limit;
    `trials` None to choose by the suite's flakiness; `holdout` a share in [0, 1); `timeout` seconds a case, and
    `reflection_timeout` those of one reply of the reflection model. `confirm`
    is the number of candidates that the confirm run judges. `shrinks` says whether the winner is shrunk, `is_joint`
    whether all prompts that are to blame are edited in one reflection. `edits` are the kinds of edit that are allowed.
    `redact` are regular expressions of the user's own. `cache_size` is in bytes. `max_cost` is in USD, None for no cap;
    `prices` are the lines of the user's own table. `revision` is what a check compares with, `ancestor` one whose
    prompts the search takes in, "" for none. `fails_on_trouble` lets a check fail on cases without evidence. `baseline`
    is the name of the saved baseline that today is compared with, `saved_baseline` of the one that is to be saved, ""
    for none. `resumed` names the run that is resumed, "" for the newest.
    """

    mode: OwnName
    rootdir: Path
    prompts: tuple[str, ...]
    prompts_base: Path
    reflection_model: str | None
    budget: int | None
    minutes: float | None
    concurrency: int
    trials: int | None
    holdout: float
    seed: int
    timeout: float
    max_broken: int
    fail_on: OwnName | None
    isolation: OwnName
    replay: OwnName = "auto"
    confirm: int = 1
    shrinks: bool = True
    is_joint: bool = False
    reflection_timeout: float = DEFAULT_REFLECTION_TIMEOUT
    edits: tuple[OwnName, ...] = KINDS
    redact: tuple[str, ...] = ()
    cache_size: int = DEFAULT_CACHE_MEGABYTES * 10**6
    max_cost: float | None = None
    prices: tuple[str, ...] = ()
    revision: str = ""
    ancestor: str = ""
    fails_on_trouble: bool = False
    baseline: OwnName = ""
    saved_baseline: OwnName = ""
    resumed: OwnName = ""
    is_plan: bool = False

    @property
    def headline(self) -> str:
        """The one header line."""
        if self.mode == "resume":
            return f"gepa: going on with {self.resumed or 'the last run'}"
        jobs = {
            "optimize": "optimizing prompts",
            "audit": "auditing the cases",
            "check": f"checking prompts against {self.revision or 'the base of this branch'}",
            "baseline": f"comparing with the baseline {self.baseline}",
            "save-baseline": f"saving the baseline {self.saved_baseline}",
        }
        job = "plan only, nothing is run" if self.is_plan else jobs[self.mode]
        return f"gepa: {job}, seed {self.seed}"
