"""Which cases are held out of the search: by marker, else a stable share of each test file."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from pytest_gepa.suite.rollout import Case, file_of


def hold_out(cases: Sequence[Case], share: float) -> tuple[Case, ...]:
    """Mark `share` (in [0, 1)) of each file's cases as held out, in addition to those marked by hand.

    The choice hangs on the identities alone, for every seed. A new case moves at most one other, of its own file. What
    is no whole number of a file's cases is rounded up for as many files as makes the share of all files together come
    out, about; one case of several is always left to search with.
    """
    by_file: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        if case.split == "search":
            by_file[file_of(case.id)].append(case)
    chosen: set[str] = set()
    for file, members in by_file.items():
        ranked = sorted(members, key=lambda case: _digest(case.id))
        # A small file would never give a case, if all were rounded alike.
        number = math.floor(round(share * len(ranked), 6) + int.from_bytes(_digest(file)[:6], "big") / 2**48)
        chosen.update(case.id for case in ranked[: number if len(ranked) == 1 else min(number, len(ranked) - 1)])
    return tuple(replace(case, split="holdout") if case.id in chosen else case for case in cases)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
