from __future__ import annotations

import pytest

from pytest_gepa.suite.evaluate import Suite
from pytest_gepa.suite.runner import Runner
from tests.suite.world import PROMPT, Build, evaluate, logged

APP = """
    from functools import lru_cache
    from pathlib import Path

    FILE = Path(__file__).parent / "prompts" / "greet.md"
    CONSTANT = FILE.read_text()

    def read():
        return FILE.read_text()

    @lru_cache
    def cached():
        return FILE.read_text()

    def default(text=FILE.read_text()):
        return text
"""
TESTS = """
    import app, pytest

    TEST_GLOBAL = app.read()

    @pytest.fixture
    def prompt():
        return app.read()

    @pytest.fixture(scope="module")
    def module_prompt():
        return app.read()

    @pytest.fixture(scope="session")
    def session_prompt():
        return app.read()

    def test_at_call(gepa):
        gepa.log("text", app.read())

    def test_function_fixture(gepa, prompt):
        gepa.log("text", prompt)

    def test_module_fixture(gepa, module_prompt):
        gepa.log("text", module_prompt)

    def test_session_fixture(gepa, session_prompt):
        gepa.log("text", session_prompt)

    def test_cached_loader(gepa):
        gepa.log("text", app.cached())

    def test_module_constant(gepa):
        gepa.log("text", app.CONSTANT)

    def test_default_argument(gepa):
        gepa.log("text", app.default())

    def test_global_of_the_test_module(gepa):
        gepa.log("text", TEST_GLOBAL)

    @pytest.mark.parametrize("prompt", [app.read()])
    def test_parametrize_arguments(gepa, prompt):
        gepa.log("text", prompt)
"""
WAYS = (
    "test_at_call",
    "test_function_fixture",
    "test_module_fixture",
    "test_session_fixture",
    "test_cached_loader",
    "test_module_constant",
    "test_default_argument",
    "test_global_of_the_test_module",
    "test_parametrize_arguments[0]",
)
CANDIDATES = ("Greet them warmly.\n", "Greet nobody. Ümläut.\n")


@pytest.fixture(scope="module")
def suite(build: Build, usual_runner: Runner) -> Suite:
    project = build({"app.py": APP, "test_ways.py": TESTS})
    return project.suite(usual_runner, [f"test_ways.py::{way}" for way in WAYS])


@pytest.fixture(scope="module")
def seen(suite: Suite) -> dict[tuple[str, str], str]:
    """What each way of reading gave under each candidate, run one after the other."""
    found = {}
    for text in CANDIDATES:
        for case, rollout in evaluate(suite, text).rollouts.items():
            found[text, case.split("::")[1]] = logged(rollout)
    return found


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_reading_a_prompt_sees_each_candidate(seen: dict[tuple[str, str], str], way: str) -> None:
    assert [seen[text, way] for text in CANDIDATES] == list(CANDIDATES)


def test_cases_run_in_one_process_keep_their_order_and_their_text(suite: Suite) -> None:
    rollouts = evaluate(suite, "Third.\n").rollouts

    assert list(rollouts) == list(suite.cases)
    assert {logged(rollout) for rollout in rollouts.values()} == {"Third.\n"}


def test_only_a_read_while_the_case_runs_is_told_as_its_own(suite: Suite) -> None:
    rollouts = evaluate(suite, cases=["test_ways.py::test_at_call", "test_ways.py::test_module_constant"]).rollouts

    assert [rollout.reads for rollout in rollouts.values()] == [("prompts/greet.md",), ()]


LATER = """
    from functools import cache
    from pathlib import Path

    import pytest

    @cache
    def load():
        return (Path(__file__).parent / "prompts" / "greet.md").read_text()

    @pytest.mark.parametrize("number", range(2))
    def test_unseen(gepa, number):
        from kernel import answer

        gepa.log("text", load() + answer())
"""


def test_what_is_read_once_for_a_process_is_known_to_be_there_for_its_later_cases(
    build: Build, usual_runner: Runner
) -> None:
    project = build({"test_it.py": LATER, "kernel.py": "def answer():\n    return 42 * '.'\n"})
    cases = [f"test_it.py::test_unseen[{number}]" for number in range(2)]
    suite = project.suite(usual_runner, cases, prompts=["prompts/*.md", "kernel.py"])

    first, later = evaluate(suite).rollouts.values()

    assert (first.reads, first.imported) == (("kernel.py", PROMPT), ())
    assert (later.reads, later.imported) == ((), ("kernel.py", PROMPT))
    assert first.uses == later.uses == ("kernel.py",)
