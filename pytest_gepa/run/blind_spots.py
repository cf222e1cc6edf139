"""What the baseline shows that no run can see to: calls that are not seen, and failures that no prompt can mend."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_gepa.prompts.programs import is_program
from pytest_gepa.suite.rollout import Outcome, Rollout
from pytest_gepa.wording import count, some


def prompts_without_calls(rollouts: Iterable[Rollout]) -> tuple[str, ...]:
    """The prompts that were opened where no case shows a call to a model; () where one does, and where none was opened.

    Programs need no call: to run one is to use it.
    """
    runs = list(rollouts)
    if any(run.shows_model for run in runs):
        return ()
    opened = {name for run in runs for name in (*run.reads, *run.imported)}
    return tuple(sorted(name for name in opened if not is_program(name)))


def unseen_calls_warning(prompts: Iterable[str]) -> str:
    """The warning about prompts that were read while no call was seen."""
    return (
        f"no call to a model was seen, though prompts were read ({', '.join(prompts)}): every case is taken to use "
        "what it may have read, and neither --gepa-budget nor --gepa-max-cost can bound what is not seen; which "
        "clients are seen is told in docs/clients.md"
    )


def failed_apart(rollouts: Iterable[Rollout]) -> tuple[str, ...]:
    """The cases that failed without any call and without a prompt that was opened for them, by id.

    Where no case shows a call to a model, one that may have kept a prompt from before is not among them.
    """
    runs = list(rollouts)
    sees_calls = any(run.shows_model for run in runs)
    return tuple(
        run.case
        for run in runs
        if run.outcome is Outcome.failed
        and not (run.trajectory.calls or run.uses or run.reads)
        and (sees_calls or not run.imported)
    )


def failed_apart_warning(names: Sequence[str]) -> str:
    """The warning about such cases, by their nodeids."""
    return (
        f"{count(len(names), 'case')} failed without any call or prompt: {some(names)}; "
        f"{'it' if len(names) == 1 else 'they'} may depend on other cases, which run in other processes"
    )
