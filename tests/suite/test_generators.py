"""Chance in the processes that run cases: drawn anew in each, or what the project has seeded, case by case."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from pytest_gepa.suite.generators import Generators
from pytest_gepa.suite.runner import Runner
from tests.suite.world import Build, Project, evaluate, logged

TESTS = """
    import random

    import pytest

    @pytest.mark.parametrize("number", range(4))
    def test_draws(gepa, number):
        gepa.log("text", random.random())
"""
CASES = [f"test_draw.py::test_draws[{number}]" for number in range(4)]


def drawn(project: Project, runner: Runner, trial: str, concurrency: int) -> dict[str, str]:
    suite = project.suite(runner, CASES, args=["-p", "no:randomly"], concurrency=concurrency)
    return {case: logged(run) for case, run in evaluate(suite, trial=trial).rollouts.items()}


def test_what_a_project_has_seeded_is_the_same_in_every_run_of_a_case(build: Build, usual_runner: Runner) -> None:
    project = build({"conftest.py": "import random\n\nrandom.seed(42)\n", "test_draw.py": TESTS})
    first, second = (drawn(project, usual_runner, f"search/{concurrency}", concurrency) for concurrency in (1, 3))
    assert first == second
    assert len({*first.values()}) == 4


def test_what_nobody_has_seeded_is_drawn_anew(build: Build, usual_runner: Runner) -> None:
    project = build({"test_draw.py": TESTS})
    both = [drawn(project, usual_runner, f"search/{trial}", 3) for trial in (0, 1)]
    assert len({value for run in both for value in run.values()}) == 8


@pytest.fixture
def numpy_random(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """What NumPy's module has of its own generator, which is a Mersenne Twister too."""
    module, twister = ModuleType("numpy.random"), random.Random()
    made: Any = module
    made.seed, made.random = twister.seed, twister.random
    made.get_state = lambda: ("MT19937", twister.getstate()[1])
    monkeypatch.setitem(sys.modules, "numpy.random", module)
    state = random.getstate()
    yield module
    random.setstate(state)


def test_a_generator_of_numpy_is_one_of_them(numpy_random: Any) -> None:
    generators = Generators()
    before = numpy_random.random()
    generators.end_collection()
    generators.begin_worker()
    assert numpy_random.random() != before
    numpy_random.seed(7)
    generators.end_collection()
    generators.begin_case("a")
    of_a = numpy_random.random()
    generators.begin_case("b")
    assert numpy_random.random() != of_a
    generators.begin_worker()
    generators.begin_case("a")
    assert numpy_random.random() == of_a


def test_drawing_is_no_seeding(numpy_random: Any) -> None:
    generators = Generators()
    drawn = [numpy_random.random() for _ in range(20)]
    generators.end_collection()
    generators.begin_case("a")
    first = numpy_random.random()
    generators.begin_case("a")
    assert numpy_random.random() not in (first, *drawn)


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("faker.generator", "random"),
        ("factory.random", "randgen"),
        ("model_bakery.random_gen", "baker_random"),
        ("polyfactory.constants", "DEFAULT_RANDOM"),
    ],
)
def test_a_generator_that_a_library_shares_is_one_of_them(monkeypatch: pytest.MonkeyPatch, name: str, own: str) -> None:
    module: Any = ModuleType(name)
    setattr(module, own, random.Random(1))
    monkeypatch.setitem(sys.modules, name, module)
    state, untouched = random.getstate(), random.Random(1)
    Generators().begin_worker()
    random.setstate(state)
    assert getattr(module, own).random() != untouched.random()
