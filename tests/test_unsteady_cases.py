"""Suites whose parameters are others in each process: no two runs of a case can be compared, and it is said."""

from __future__ import annotations

import pytest

from tests.harness import TODAY, Project, Run

TESTS = """\
import random

import pytest

from app import route

ROWS = [(kind, word) for kind in ("fruit", "animal", "city", "tool") for word in ("one", "two", "three")]


@pytest.mark.parametrize(("kind", "word"), {rows})
def test_route(kind, word):
    assert route(kind, word) == f"{{word}}-{{kind[:3].upper()}}"
"""
SAMPLE, SET, SEEDED = "random.sample(ROWS, 8)", "set(ROWS)", "random.Random(0).sample(ROWS, 8)"


def tells(run: Run) -> None:
    assert run.code == 4
    assert "cases differ from process to process: test_route.py::test_route[" in run.err
    assert "seed the sample" in run.err
    assert not run.reflections


@pytest.mark.parametrize("rows", [pytest.param(SAMPLE, marks=pytest.mark.thorough), SET])
def test_an_optimization_of_a_suite_that_is_drawn_anew_ends_with_its_baseline(project: Project, rows: str) -> None:
    project.write({"test_route.py": TESTS.format(rows=rows)})

    tells(project.optimize())


@pytest.mark.thorough
def test_so_does_a_check(project: Project) -> None:
    project.write({"test_route.py": TESTS.format(rows=SAMPLE)})
    project.commit()
    project.write({"prompts/route.md": TODAY + "Be brief.\n"})

    run = project.pytest("--gepa-check")

    tells(run)
    run.matches("verdict * not finished: cases differ from process to process*")


@pytest.mark.thorough
def test_a_sample_with_a_seed_is_optimized(project: Project) -> None:
    project.write({"test_route.py": TESTS.format(rows=SEEDED)})

    run = project.optimize()

    assert run.code == 0, run.everything
    assert run.reflections
    assert run.result["verdict"] in ("proven", "not proven")
