"""What an audit will run: the texts that are tried of each prompt, on how many cases, in how many rollouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from pytest_gepa.errors import SettingsError
from pytest_gepa.own import OwnName
from pytest_gepa.prompts.components import Component, format_problem
from pytest_gepa.prompts.pieces import Cut, find_cuts
from pytest_gepa.prompts.placeholders import declared
from pytest_gepa.prompts.programs import is_program
from pytest_gepa.settings import Settings
from pytest_gepa.suite.rollout import Case
from pytest_gepa.suite.usage import CaseUsage

TRIALS = 2
"""So often each case runs under today's prompts, to see whether it is flaky."""


@dataclass(frozen=True, slots=True)
class PromptPlan:
    """What is taken from one prompt: `cuts`, the whole first; () for a program or a blank text.

    `cases` are run with each; they are `known` where earlier runs have shown which cases use the prompt.
    """

    component: OwnName
    cuts: tuple[Cut, ...]
    cases: int
    is_known: bool

    @property
    def texts(self) -> int:
        """Different texts that are tried: two cuts that leave the same are one."""
        return len({cut.text for cut in self.cuts if cut.text is not None})

    @property
    def rollouts(self) -> int:
        """Most rollouts that it takes, repetitions apart."""
        return self.texts * self.cases


@dataclass(frozen=True, slots=True)
class AuditPlan:
    """An audit before it is begun. `limit` is the most rollouts that may be charged."""

    cases: int
    trials: int
    prompts: tuple[PromptPlan, ...]
    limit: int

    @property
    def ablated(self) -> int:
        """Most rollouts of all prompts, repetitions apart."""
        return sum(prompt.rollouts for prompt in self.prompts)

    @property
    def needed(self) -> int:
        """Most rollouts that it takes when no answer varies."""
        return self.cases * self.trials + self.ablated


def plan_audit(
    settings: Settings,
    cases: Sequence[Case],
    components: Sequence[Component],
    usage: Mapping[str, CaseUsage],
) -> AuditPlan:
    """Return the plan; `usage` is what earlier runs have shown, by case id.

    Raises `SettingsError`, naming the smallest that would do, for a budget that cannot hold the baseline and one blank.
    """
    count = len(cases)
    smallest = 2 * count
    if settings.budget is not None and settings.budget < smallest:
        raise SettingsError(
            f"a budget of {settings.budget} rollouts cannot hold the baseline ({count}) and one blanked prompt "
            f"({count}); the smallest that can is --gepa-budget {smallest}"
        )
    trials = settings.trials or TRIALS
    if settings.budget is not None:
        trials = min(trials, settings.budget // count - 1)
    is_known = all(case.id in usage for case in cases)
    prompts = tuple(
        PromptPlan(
            component.id,
            cuts_of(component),
            _users(component.id, cases, usage) if is_known else count,
            is_known,
        )
        for component in components
    )
    # What is needed at the very most, as earlier runs bind nobody: every case, and all of it twice.
    most = count * trials + 2 * count * sum(prompt.texts for prompt in prompts)
    return AuditPlan(count, trials, prompts, settings.budget or most)


def cuts_of(component: Component) -> tuple[Cut, ...]:
    """Return what can be taken from a component; nothing of a program."""
    if is_program(component.id):
        return ()
    return find_cuts(component.text, declared(component.id), partial(format_problem, component))


def _users(component: str, cases: Sequence[Case], usage: Mapping[str, CaseUsage]) -> int:
    """How many cases use a component and could do worse, as earlier runs have shown."""
    found = (usage[case.id] for case in cases)
    return sum(component in one.touches and min(one.scores, default=1.0) > 0 for one in found)
