"""The result of a check as data: computed once, rendered elsewhere. Its JSON form is `check.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_gepa.own import OwnName
from pytest_gepa.report.result import Spent, Trouble
from pytest_gepa.run.base_prompts import PromptChange

TIERS = ("regressed", "suspect", "flaky", "failing", "stable", "improved")
"""The tiers of a case, gravest first.

"regressed": proven worse under today's prompts. "suspect": seen worse, not proven. "flaky": passes now and then on both
sides, nobody can decide. "failing": fails on both sides; listed, never gated. "stable": no worse. "improved": proven
better.
"""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a case: trials with evidence, how many passed, the mean score in [0, 1] (None without evidence), and
    what the first trial that tells the tier apart has answered, and why it failed ("" where it passed).
    """

    trials: int
    passed: int
    score: float | None
    answer: str = ""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class CaseCheck:
    """A case that uses a changed component, on both sides.

    `tier` is one of `TIERS`, or "trouble" for a case without evidence on a side. `p_value` is one-sided, that today is
    no worse (of "improved": no better), adjusted for the cases and the looks at them. `components` are the changed ones
    that it uses. `path` is the file of its test from the top of the repository and `line` the one at which it begins,
    "" and 0 where they are not known.
    """

    case: str
    tier: OwnName
    base: Side
    today: Side
    p_value: float
    components: tuple[OwnName, ...] = ()
    path: OwnName = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class SavedBaseline:
    """The saved baseline that stood in for the base's side.

    `saved` is the day (ISO), `version` that of this package by which it was saved, `models` are the names that its
    cases asked for. Not compared are cases of today that it has not (`new`), those of which the test, its values or
    its threshold are not as they were (`edited`), and its cases that this session has not, or skips (`gone`); all are
    nodeids.
    """

    saved: OwnName
    version: OwnName
    models: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Everything that a report says about a check.

    `verdict` is "regressed", "suspect", "no regression", "nothing changed" or "not finished"; `reason` explains it in
    a sentence. `base` names what today is compared with (an abbreviated commit, or a saved baseline), `revision` what
    the user gave for it. `effect` and `interval` are differences of mean scores, today less base, in [-1, 1], over the
    cases that use a changed component. `groups` is how many independent groups these are for interval and `p_value`, 0
    where no two of them share an answer of a model. `gate` is the rule of `--gepa-fail-on`, `failed` whether the check
    fails, and `broken_rules` the options that make it fail, as they are typed: none where trouble has left nothing to
    compare (`is_unmade`). `untouched` counts the cases that use no
    changed component, or whose requests are the same under both. `command` optimizes exactly the regressed cases, ""
    where there are none. `on_new_prompts` are cases that use a prompt which the base has not, so that they cannot run
    on its side: listed, never gated. `on_deleted_prompts` are cases that have used a prompt which the base has and
    today has not, as earlier runs have shown: the code of today runs without it on both sides, so that its loss is not
    compared; `not_collected` are those of them, by id, that are not among the cases of this session. `stopped` is why
    the check could not go on to its end, "" when it did; `not_run` are the cases that may be concerned and were not run
    before that on every side that is run. Code is never swapped: both sides run the code of today.

    With a saved `baseline` the base's side is recorded: its sides have no answers, its prompts are known by their
    digests alone (a change has no diff and no lines), and all cases that it has are compared, whatever they use.
    """

    run: OwnName
    verdict: OwnName
    reason: str
    base: OwnName
    revision: str
    changes: tuple[PromptChange, ...] = ()
    cases: tuple[CaseCheck, ...] = ()
    effect: float = 0.0
    interval: tuple[float, float] = (-1.0, 1.0)
    p_value: float = 1.0
    groups: int = 0
    untouched: int = 0
    gate: OwnName = "regressed"
    failed: bool = False
    broken_rules: tuple[OwnName, ...] = ()
    trouble: tuple[Trouble, ...] = ()
    spent: Spent = field(default_factory=Spent)
    models: Mapping[OwnName, tuple[str, ...]] = field(default_factory=dict)
    simulated: bool = False
    problems: tuple[str, ...] = ()
    command: OwnName = ""
    on_new_prompts: tuple[str, ...] = ()
    on_deleted_prompts: tuple[str, ...] = ()
    not_collected: tuple[OwnName, ...] = ()
    stopped: str = ""
    not_run: tuple[str, ...] = ()
    baseline: SavedBaseline | None = None

    @property
    def is_unmade(self) -> bool:
        """Whether the check fails because it could not be made."""
        return self.failed and not self.broken_rules

    def in_tier(self, tier: str) -> tuple[CaseCheck, ...]:
        """The cases of a tier, in the order of the suite."""
        return tuple(case for case in self.cases if case.tier == tier)
