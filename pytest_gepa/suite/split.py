"""Which cases are held out of the search: by marker, else a stable share of each test file."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from pytest_gepa.suite.rollout import Case


def hold_out(cases: Sequence[Case], share: float) -> tuple[Case, ...]:
    """Mark `share` (in [0, 1)) of each file's cases as held out, in addition to those marked by hand.

    The choice hangs on the identities alone, for every seed. A new case moves at most one other, of its own file.
    """
    by_file: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        if case.split == "search":
            by_file[case.id.split("::", 1)[0]].append(case)
    chosen: set[str] = set()
    for members in by_file.values():
        ranked = sorted(members, key=lambda case: hashlib.sha256(case.id.encode()).digest())
        chosen.update(case.id for case in ranked[: round(share * len(ranked))])
    return tuple(replace(case, split="holdout") if case.id in chosen else case for case in cases)
