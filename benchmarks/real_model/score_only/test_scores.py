"""The cases of a task, of which nothing is told but a score: see the README."""

from __future__ import annotations

import pytest
import scores


@pytest.mark.gepa(threshold=1)
@pytest.mark.parametrize("number", scores.NUMBERS)
def test_case(number, gepa):
    gepa.score(scores.of(number))
