"""What the baseline shows that no run can see to: calls of clients that are not seen."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_gepa.prompts.programs import is_program
from pytest_gepa.suite.rollout import Rollout


def prompts_without_calls(rollouts: Iterable[Rollout]) -> tuple[str, ...]:
    """The prompts that were opened where no case shows a single call; () where one does, and where none was opened.

    Programs need no call: to run one is to use it.
    """
    runs = list(rollouts)
    if any(run.trajectory.calls for run in runs):
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
