"""Extension points. Always registered, so that a conftest may implement one without this plugin being in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.hookspec()
def pytest_gepa_candidate_evaluated(
    candidate: str, texts: Mapping[str, str], scores: Mapping[str, float]
) -> None:
    """Called when a candidate has been run on every search case.

    `candidate` is its id, `texts` maps component ids to texts, `scores` case ids to scores in [0, 1].
    """


@pytest.hookspec()
def pytest_gepa_run_finished(result: Mapping[str, Any], directory: str) -> None:
    """Called at the end of a run with the content of `result.json` and the run's directory."""
