"""The table of `docs/scoring.md` says what the tests show."""

from __future__ import annotations

import ast
import re
from fractions import Fraction
from pathlib import Path

import pytest

from tests.suite.test_outcomes import MODEL_OUTCOMES, PLAIN_OUTCOMES, UNITTEST_OUTCOMES
from tests.suite.test_scoring import SCORED, SUBTESTED
from tests.suite.test_scoring_checks import CHECKED

ROOT = Path(__file__).parents[2]
MODEL_SCORES = {"passed": 1.0, "failed": 0.0, "error": None}
SHOWN = [
    PLAIN_OUTCOMES,
    UNITTEST_OUTCOMES,
    {name: (outcome, MODEL_SCORES[outcome]) for name, outcome in MODEL_OUTCOMES.items()},
    SCORED,
    SUBTESTED,
    CHECKED,
]


def rows() -> list[tuple[str, str, str, list[str]]]:
    text = (ROOT / "docs/scoring.md").read_text(encoding="utf-8").partition("## Every kind of end")[2]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line[:2] == "| "]
    return [(*row[:3], re.findall("`(.+?)`", row[3])) for row in cells[1:]]


def names_of_tests() -> set[str]:
    return {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }


def test_the_table_has_its_rows_and_no_two_cases_share_a_name() -> None:
    assert len(rows()) > 60
    for _, _, _, names in rows():
        assert names
        assert sum(name in shown for name in names for shown in SHOWN) <= 1


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_a_row_says_what_its_test_shows(row: tuple[str, str, str, list[str]]) -> None:
    _, outcome, score, names = row
    found = next((shown[name] for name in names for shown in SHOWN if name in shown), None)
    if found is None:
        assert set(names) <= names_of_tests()
    elif score == "none":
        assert found == (outcome, None)
    else:
        assert found == (outcome, pytest.approx(float(Fraction(score))))
