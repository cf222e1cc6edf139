"""A suite without processes: it runs its cases by a function, and keeps account of what it was asked for."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_gepa.suite.charges import Allowance
from pytest_gepa.suite.evaluate import Evaluation
from pytest_gepa.suite.rollout import Rollout

RunCase = Callable[[str, Mapping[str, str], str, str], Rollout]
"""Takes the candidate's id and texts, the case and the trial."""


@dataclass(frozen=True)
class Asked:
    """What one call of `run` was given."""

    texts: Mapping[str, str]
    trial: str
    cases: tuple[str, ...]


@dataclass
class FakeSuite:
    """Runs cases by `run_case`; `asked` has what was asked for, in order. Every rollout is charged."""

    run_case: RunCase
    asked: list[Asked] = field(default_factory=list)
    is_replay: bool = False
    components: Mapping[str, Any] = field(default_factory=dict)

    def run(
        self,
        candidate: str,
        texts: Mapping[str, str],
        cases: Sequence[str],
        trial: str,
        *,
        allowance: Allowance,
        on_rollout: Callable[[Rollout], None],
        on_attempt: Callable[[Rollout], None] = lambda rollout: None,
    ) -> Evaluation:
        self.asked.append(Asked(texts, trial, tuple(cases)))
        rollouts = {case: self.run_case(candidate, texts, case, trial) for case in cases}
        for rollout in rollouts.values():
            on_rollout(rollout)
        return Evaluation(rollouts, dict.fromkeys(rollouts, True))

    def paid_before(self, rollout: Rollout) -> int:
        return 0

    def seconds_before(self, rollout: Rollout) -> None:
        """No run was before."""

    def stop(self) -> None:
        """Nothing runs."""


def interrupt_twice(suite: FakeSuite) -> None:
    """Let Ctrl-C be pressed while a suite runs its first cases, and once more while it is stopped, when the rollout of
    the first one has just come in.
    """
    last: list[Callable[[], None]] = []

    def run(
        candidate: str,
        texts: Mapping[str, str],
        cases: Sequence[str],
        trial: str,
        *,
        on_rollout: Callable[[Rollout], None],
        **_: Any,
    ) -> Evaluation:
        last.append(lambda: on_rollout(suite.run_case(candidate, texts, cases[0], trial)))
        raise KeyboardInterrupt

    def stop() -> None:
        for tell in last:
            tell()
        signal.raise_signal(signal.SIGINT)

    suite.run, suite.stop = run, stop  # type: ignore[method-assign]
