"""What a run knew of its rollouts that stored answers do not tell: for one that replays or resumes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Charge:
    """`charged` says whether a rollout was paid for, `in_vain` how many attempts before it were, `stopped` whether the
    cost cap had stopped it. `seconds` is how long its calls took, None where that is not known. One in `trouble` may
    have no answer to some of its calls.
    """

    charged: bool = False
    stopped: bool = False
    seconds: float | None = None
    trouble: bool = False
    in_vain: int = 0

    @property
    def paid(self) -> int:
        """How many rollouts were paid for in all."""
        return self.charged + self.in_vain


Charges: TypeAlias = Mapping[tuple[str, str, str], Charge]
"""By candidate, case and trial."""
