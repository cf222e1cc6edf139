"""How far a test got before it failed: each text of the prompt is what a model would have answered."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_gepa.suite.differences import MOST
from pytest_gepa.suite.reach import LAST
from pytest_gepa.suite.rollout import Outcome
from pytest_gepa.suite.runner import Runner
from tests.suite.world import Build, evaluate

HEAD = """\
import json, unittest
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from checks import has_all

EXPECTED = {"name": "Ann", "city": "Rome", "tags": ["a", "b"]}
FIELDS = ["name", "city", "tags"]
CASE = SimpleNamespace(fields=FIELDS)

def said():
    return json.loads(Path("prompts/greet.md").read_text())

"""

CHECKS = """\
def has_all(found, expected):
    for name in expected:
        assert name in found
    for name, value in expected.items():
        assert found[name] == value
"""

NAME = '{"name": "Ann"}'
CITY = '{"name": "Ann", "city": "Rome"}'
WRONG_CITY = '{"name": "Ann", "city": "Bonn"}'
ALL_BUT_ONE = '{"name": "Ann", "city": "Rome", "tags": ["a", "x"]}'
NO_TAGS = '{"name": "Ann", "city": "Rome", "tags": []}'
NONE_RIGHT = '{"name": "Bob", "city": "Bonn", "tags": ["x", "y"]}'
NO_JSON = "none"

GROWING = [NO_JSON, "{}", NAME, CITY, ALL_BUT_ONE]


def loop(head: str, check: str) -> str:
    return f"    found = said()\n    for {head}:\n        {check}\n"


BY_NAME = "assert found.get(name) == EXPECTED[name]"

TESTS = {
    "one after the other": (
        "    found = said()\n"
        "    assert found['name'] == 'Ann'\n    assert found['city'] == 'Rome'\n    assert found['tags'] == []\n",
        [NO_JSON, "{}", '{"name": "Bob"}', NAME, WRONG_CITY, CITY],
    ),
    "one comparison": ("    assert said() == EXPECTED\n", [NO_JSON, "{}", NAME, CITY, ALL_BUT_ONE]),
    "a list of names": (loop("name in FIELDS", BY_NAME), GROWING),
    "names in place": (loop("name in ('name', 'city', 'tags')", BY_NAME), GROWING),
    "a dictionary": (loop("name in EXPECTED", BY_NAME), GROWING),
    "its entries": (loop("name, value in EXPECTED.items()", "assert found.get(name) == value"), GROWING),
    "its keys, numbered": (loop("number, name in enumerate(EXPECTED.keys(), start=1)", BY_NAME), GROWING),
    "an attribute": (loop("name in CASE.fields", BY_NAME), GROWING),
    "an entry": (loop("name in {'all': FIELDS}['all']", BY_NAME), GROWING),
    "numbers": (
        loop("at in range(len(FIELDS))", "assert found[FIELDS[at]] == EXPECTED[FIELDS[at]]"),
        GROWING,
    ),
    "a range": (loop("at in range(3)", "assert found.get(FIELDS[at]) == EXPECTED[FIELDS[at]]"), GROWING),
    "two lists": (
        loop("name, value in zip(FIELDS, ['Ann', 'Rome', ['a', 'b']])", "assert found.get(name) == value"),
        GROWING,
    ),
    "sorted backwards": (
        loop("name in sorted(FIELDS, reverse=True)", BY_NAME),
        ["{}", '{"tags": ["a", "b"]}', '{"tags": ["a", "b"], "name": "Ann"}'],
    ),
    "two loops": (
        "    found = said()\n    for name in FIELDS:\n        for letter in EXPECTED[name]:\n"
        "            assert letter in found.get(name, ''), name\n",
        ["{}", '{"name": "A"}', NAME, '{"name": "Ann", "city": "Ro"}', CITY],
    ),
    "two checks in a loop": (
        "    found = said()\n    for name in FIELDS:\n"
        "        assert name in found\n        assert found[name] == EXPECTED[name]\n",
        ["{}", '{"name": "Bob"}', NAME, WRONG_CITY, CITY, NO_TAGS],
    ),
    "what a loop goes over": (
        "    for name in list(said()):\n        assert said()[name] == EXPECTED.get(name), name\n",
        [NO_JSON, '{"name": "Bob"}'],
    ),
    "one function called for another": ("    has_all(said(), EXPECTED)\n", [NO_JSON, "{}", NAME]),
    "rows": (
        "    found = said()\n    for name, value in [['name', 'Ann'], ['city', 'Rome'], ['tags', 1]]:\n"
        "        assert found.get(name) == value\n",
        ["{}", NAME, CITY],
    ),
    "checks in a module": (
        "    has_all(said(), EXPECTED)\n",
        ["{}", NAME, CITY, NO_TAGS],
    ),
}
"""By name the body of a test, and answers of which each gets it further than the one before."""


CALLED = "    assert dict(said(), city='Rome') == dict(said(), city='Bonn')\n"
METHOD = """\
class TestIt(unittest.TestCase):
    def test_it(self):
        found = said()
        self.assertEqual(found['name'], 'Ann')
        self.assertEqual(found['city'], 'Rome')
"""

Reached = dict[tuple[str, str], tuple[int, ...]]
"""How far each test got, by its name and the answer."""


@pytest.fixture(scope="module")
def reached(build: Build, fork_runner: Runner) -> Reached:
    bodies = {name: test for name, (test, _) in TESTS.items()} | {"called": CALLED}
    functions = {f"test_{at}": name for at, name in enumerate(bodies)}
    tests = [f"def {function}():\n{bodies[name]}\n" for function, name in functions.items()]
    found = run(build, fork_runner, "".join(tests) + METHOD, [*functions, "TestIt::test_it"])
    names = {**functions, "TestIt::test_it": "method"}
    return {(names[function], answer): got for (function, answer), got in found.items()}


def run(build: Build, runner: Runner, tests: str, names: Sequence[str]) -> Reached:
    """Every answer is given to each of the tests."""
    project = build({"test_it.py": "", "checks.py": "", "conftest.py": "pytest_plugins = ['checks']\n"})
    (project.root / "test_it.py").write_text(HEAD + tests, encoding="utf-8")
    (project.root / "checks.py").write_text(CHECKS, encoding="utf-8")
    suite = project.suite(runner, [f"test_it.py::{name}" for name in names])
    return {
        (case.partition("::")[2], answer): rollout.reached
        for answer in dict.fromkeys(answer for _, answers in TESTS.values() for answer in answers)
        for case, rollout in evaluate(suite, answer, trial=f"search/{answer}").rollouts.items()
    }


@pytest.mark.parametrize("name", TESTS)
def test_a_better_answer_gets_a_test_further(reached: Reached, name: str) -> None:
    found = [reached[name, answer] for answer in TESTS[name][1]]
    assert found == sorted(set(found)), found


def test_what_a_test_has_called_for_a_check_comes_before_the_check(reached: Reached) -> None:
    assert reached["called", NO_JSON] < reached["called", NAME]


def test_in_classes_of_unittest_lines_tell(reached: Reached) -> None:
    assert reached["method", NO_JSON] < reached["method", "{}"] < reached["method", NAME]
    assert reached["method", CITY] == ()


def test_a_variable_that_the_loop_sets_itself_tells_no_turn(build: Build, fork_runner: Runner) -> None:
    loop = "    for name in ['name ', 'city']:\n        name = name.strip()\n        assert name in said()\n"
    test = f"def test_it():\n{loop}"
    found = run(build, fork_runner, test, ["test_it"])
    assert found["test_it", "{}"] == found["test_it", NAME] == (1, 0, 3, LAST, -MOST)


def test_a_change_above_the_test_moves_nothing(build: Build, fork_runner: Runner, reached: Reached) -> None:
    """A prompt may be part of the module that holds its tests."""
    name = "a list of names"
    moved = f'PROMPT = """One.\nTwo.\n"""\n\ndef test_it():\n{TESTS[name][0]}'
    found = run(build, fork_runner, moved, ["test_it"])
    assert [found["test_it", answer] for answer in GROWING] == [reached[name, answer] for answer in GROWING]


def test_looking_at_it_runs_none_of_the_tests_code(build: Build, fork_runner: Runner) -> None:
    """What a loop goes over is not made again."""
    test = (
        "class Asked:\n"
        "    def __iter__(self):\n        assert not self.done, 'asked twice'\n        self.done = True\n"
        "        return iter(FIELDS)\n    done = False\n\n"
        "def names():\n    calls.append(1)\n    return FIELDS\n\n"
        "calls, asked = [], Asked()\n\n"
        "def test_it(request):\n"
        "    request.addfinalizer(lambda: print('called', len(calls)))\n    found = said()\n"
        "    for outer in asked:\n        for name in names():\n            assert found.get(name) == EXPECTED[name]\n"
    )
    project = build({"test_it.py": "", "checks.py": CHECKS})
    (project.root / "test_it.py").write_text(HEAD + test, encoding="utf-8")
    suite = project.suite(fork_runner, ["test_it.py::test_it"])
    (rollout,) = evaluate(suite, CITY).rollouts.values()
    assert rollout.reached == (3, 0, 4, 0, 5, LAST, -2)
    assert dict(rollout.trajectory.output)["Captured stdout teardown"] == "called 1\n"


def test_a_test_that_passes_has_nowhere_left_to_go(build: Build, fork_runner: Runner) -> None:
    project = build({"test_it.py": "def test_it():\n    assert [name for name in 'ab'] == ['a', 'b']\n"})
    (rollout,) = evaluate(project.suite(fork_runner, ["test_it.py::test_it"])).rollouts.values()
    assert (rollout.outcome, rollout.reached) == (Outcome.passed, ())
