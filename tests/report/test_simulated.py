"""Which models are called simulated."""

from __future__ import annotations

import pytest

from pytest_gepa.report.build import build_result
from pytest_gepa.report.markdown import render_markdown
from pytest_gepa.report.simulated import is_simulated
from pytest_gepa.report.terminal import closing_lines
from tests.report.runs import Desk


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        (["simulated-desk"], True),
        (["gpt-5", "Simulated"], True),
        (["offline/simulated_desk:1"], True),
        (["gpt-5"], False),
        (["dissimulated"], False),
        ([], False),
    ],
)
def test_a_model_is_simulated_if_its_name_says_so(models: list[str], expected: bool) -> None:
    assert is_simulated(models) is expected


def test_a_run_with_one_says_so() -> None:
    desk = Desk(("ant",)).search().choose().confirm()
    said = "simulated: the figures say nothing about a real model"
    for model, expected in (("simulated-reflector", True), ("large", False)):
        result = build_result("r", desk.state, desk.cases, 0, model)
        assert result.simulated is expected
        assert (said in "\n".join(closing_lines(result, "run", "git apply"))) is expected
        assert (said in render_markdown(result)) is expected
