"""Calls and reads that belong to several cases, or to none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from anyio import pytest_plugin

from pytest_gepa.suite.evaluate import Evaluation
from pytest_gepa.suite.rollout import Rollout
from pytest_gepa.suite.runner import Runner
from tests.fake_openai import FakeOpenAI
from tests.suite.test_outcomes import APP
from tests.suite.world import PROMPT, TODAY, Build, evaluate

CANDIDATE = "Greet them in the manner of a candidate.\n"
CONFTEST = """
    import pytest

    from app import PROMPT, ask

    @pytest.fixture(scope="session")
    def answer():
        return ask("session")

    @pytest.fixture(scope="session")
    def longer(answer):
        return answer + ask("longer")

    @pytest.fixture(scope="session", params=["red", "blue"])
    def colour(request):
        return ask(request.param)

    @pytest.fixture(scope="session")
    def by_name(request):
        return request.getfixturevalue("answer") + ask("by name")

    @pytest.fixture(scope="package")
    def of_package():
        return ask("package")

    @pytest.fixture(scope="module")
    def text():
        return PROMPT.read_text()

    @pytest.fixture
    def of_case(answer):
        return ask("case")

    @pytest.fixture(scope="session")
    def closed():
        yield ask("opened")
        ask("closed")
"""
TESTS = """
    import unittest

    import pytest

    from app import ask

    def test_first(answer):
        ask("own")

    def test_second(answer):
        ask("own")

    def test_none():
        ask("own")

    def test_longer(longer):
        pass

    def test_longer_again(longer):
        pass

    def test_by_name(answer, by_name):
        pass

    def test_by_name_again(by_name):
        pass

    def test_when_it_is_under_way(request):
        ask("own")
        request.getfixturevalue("answer")

    def test_case(of_case):
        pass

    @pytest.mark.parametrize("number", [1, 2])
    def test_colour(colour, number):
        ask("own")

    def test_package(of_package):
        pass

    def test_reads(text):
        pass

    def test_reads_again(text):
        pass

    class TestOfItsOwn:
        @pytest.fixture(scope="class")
        def answer(self, answer):
            return answer + ask("its own")

        def test_one(self, answer):
            pass

        def test_two(self, answer):
            pass

    class TestOfTheCase:
        @pytest.fixture
        def answer(self, answer):
            return answer + ask("of the case")

        def test_one(self, answer):
            pass

        def test_two(self, answer):
            pass

    class TestOfClass:
        @pytest.fixture(scope="class", autouse=True)
        def of_class(self):
            ask("class")

        def test_one(self):
            pass

        def test_two(self):
            pass

    class TestOfUnittest(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
            ask("setUpClass")

        def setUp(self):
            ask("setUp")

        def test_one(self):
            pass

        def test_two(self):
            pass
"""
ASKED = {
    "test_first": (["session"], ["own"]),
    "test_second": (["session"], ["own"]),
    "test_none": ([], ["own"]),
    "test_longer": (["session", "longer"], []),
    "test_longer_again": (["session", "longer"], []),
    "test_by_name": (["session", "by name"], []),
    "test_by_name_again": (["session", "by name"], []),
    "test_when_it_is_under_way": (["session"], ["own"]),
    "test_case": (["session"], ["case"]),
    "TestOfItsOwn::test_one": (["session", "its own"], []),
    "TestOfItsOwn::test_two": (["session", "its own"], []),
    "TestOfTheCase::test_one": (["session"], ["of the case"]),
    "TestOfTheCase::test_two": (["session"], ["of the case"]),
    "test_colour[0.0]": (["red"], ["own"]),
    "test_colour[0.1]": (["red"], ["own"]),
    "test_colour[1.0]": (["blue"], ["own"]),
    "test_colour[1.1]": (["blue"], ["own"]),
    "test_package": (["package"], []),
    "test_reads": ([], []),
    "test_reads_again": ([], []),
    "TestOfClass::test_one": (["class"], []),
    "TestOfClass::test_two": (["class"], []),
    "TestOfUnittest::test_one": (["setUpClass"], ["setUp"]),
    "TestOfUnittest::test_two": (["setUpClass"], ["setUp"]),
}


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenAI]:
    def reply(request: dict[str, Any]) -> str:
        return f"answer to {request['messages'][1]['content']}"

    with FakeOpenAI(reply) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAKE_URL", server.base_url)
        yield server


def run(
    build: Build,
    runner: Runner,
    files: Mapping[str, str],
    cases: Sequence[str],
    *,
    concurrency: int = 1,
    text: str = CANDIDATE,
) -> Evaluation:
    suite = build({"app.py": APP, **files}).suite(runner, cases, concurrency=concurrency)
    return evaluate(suite, text)


def asked(rollout: Rollout) -> tuple[list[str], list[str]]:
    """What the shared calls asked, then what the case's own did; the former must come first."""
    calls = rollout.trajectory.calls
    questions = [call.request[1].content for call in calls]
    shared = [call.shared for call in calls]
    assert shared == sorted(shared, reverse=True)
    return questions[: sum(shared)], questions[sum(shared) :]


@pytest.fixture(scope="module")
def rollouts(build: Build, usual_runner: Runner, server: FakeOpenAI) -> dict[str, Rollout]:
    files = {"conftest.py": CONFTEST, "test_it.py": TESTS}
    evaluation = run(build, usual_runner, files, [f"test_it.py::{name}" for name in ASKED])
    return {case.split("::", 1)[1]: rollout for case, rollout in evaluation.rollouts.items()}


@pytest.mark.parametrize("name", ASKED)
def test_what_a_wider_fixture_asked_belongs_to_every_case_that_uses_it(rollouts: dict[str, Rollout], name: str) -> None:
    assert rollouts[name].outcome.value == "passed", rollouts[name].trajectory.failure
    assert asked(rollouts[name]) == ASKED[name]


def test_only_the_case_for_which_a_fixture_was_set_up_is_charged_for_it(rollouts: dict[str, Rollout]) -> None:
    pairs = [("test_longer", "test_longer_again"), ("TestOfClass::test_one", "TestOfClass::test_two")]
    assert [(rollouts[one].charged, rollouts[two].charged) for one, two in pairs] == [(True, False)] * 2


def test_prompts_that_a_wider_fixture_used_or_read_are_told_for_every_case(
    rollouts: dict[str, Rollout],
) -> None:
    assert rollouts["test_longer"].uses == rollouts["test_longer_again"].uses == (PROMPT,)
    assert rollouts["test_reads"].reads == rollouts["test_reads_again"].reads == (PROMPT,)
    assert rollouts["test_none"].reads == (PROMPT,)


def test_the_request_keys_do_not_hang_on_who_came_first(build: Build, fork_runner: Runner, server: FakeOpenAI) -> None:
    source = """
        from app import ask

        def test_first(answer):
            ask("session")

        def test_second(answer):
            ask("own")
    """
    cases = ["test_it.py::test_first", "test_it.py::test_second"]
    files = {"conftest.py": CONFTEST, "test_it.py": source}
    one, other = (run(build, fork_runner, files, order).rollouts for order in (cases, cases[::-1]))
    changed = run(build, fork_runner, files, cases, text="Another text, and quite another one.\n").rollouts

    assert [one[case].request_keys for case in cases] == [other[case].request_keys for case in cases]
    assert one[cases[0]].request_keys == one[cases[0]].request_keys[:1] * 2
    for case in cases:
        assert set(changed[case].request_keys).isdisjoint(one[case].request_keys)


def test_every_process_that_sets_a_fixture_up_has_its_calls(
    build: Build, fork_runner: Runner, server: FakeOpenAI
) -> None:
    source = """
        import pytest

        @pytest.mark.parametrize("number", range(6))
        def test_it(answer, number):
            pass
    """
    cases = [f"test_it.py::test_it[{number}]" for number in range(6)]
    files = {"conftest.py": CONFTEST, "test_it.py": source}

    rollouts = run(build, fork_runner, files, cases, concurrency=3).rollouts

    assert {tuple(asked(rollout)[0]) for rollout in rollouts.values()} == {("session",)}


BROKEN = """
    import unittest

    import pytest

    from app import ask

    @pytest.fixture(scope="session")
    def number():
        return int(ask("session"))

    @pytest.fixture(scope="session")
    def twice(number):
        return 2 * number

    @pytest.fixture(scope="session")
    def answer():
        return ask("session")

    @pytest.fixture(scope="session")
    def parsed(request):
        return int(request.getfixturevalue("answer"))

    @pytest.fixture
    def parsed_again(answer):
        if not answer.isdigit():
            pytest.fail(f"no number: {answer}")

    @pytest.fixture(scope="session")
    def database():
        raise ValueError("no database")

    def test_number(number):
        pass

    def test_number_again(number):
        pass

    def test_twice(twice):
        pass

    def test_by_name(request):
        request.getfixturevalue("number")

    def test_parsed(parsed):
        pass

    def test_parsed_later(parsed):
        pass

    def test_parsed_again(parsed_again):
        pass

    def test_database(answer, database):
        pass

    def test_database_again(database, answer):
        pass

    class TestOfUnittest(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
            cls.number = int(ask("setUpClass"))

        def test_one(self):
            pass

        def test_two(self):
            pass
"""
BROKEN_OUTCOMES = {
    "test_number": "failed",
    "test_number_again": "failed",
    "test_twice": "failed",
    "test_by_name": "failed",
    "test_parsed": "failed",
    "test_parsed_later": "failed",
    "test_parsed_again": "failed",
    "test_database": "error",
    "test_database_again": "error",
    "TestOfUnittest::test_one": "failed",
    "TestOfUnittest::test_two": "failed",
}


@pytest.fixture(scope="module")
def broken(build: Build, usual_runner: Runner, server: FakeOpenAI) -> dict[str, Rollout]:
    cases = [f"test_it.py::{name}" for name in BROKEN_OUTCOMES]
    evaluation = run(build, usual_runner, {"test_it.py": BROKEN}, cases)
    return {case.split("::", 1)[1]: rollout for case, rollout in evaluation.rollouts.items()}


@pytest.mark.parametrize("name", BROKEN_OUTCOMES)
def test_a_wider_fixture_that_fails_on_the_answer_fails_every_case_that_uses_it(
    broken: dict[str, Rollout], name: str
) -> None:
    assert broken[name].outcome.value == BROKEN_OUTCOMES[name], broken[name].trajectory.failure
    assert broken[name].score == (0.0 if BROKEN_OUTCOMES[name] == "failed" else None)


def test_the_calls_of_a_wider_fixture_that_failed_belong_to_every_case_that_uses_it(
    broken: dict[str, Rollout],
) -> None:
    for name in ("test_number", "test_number_again", "test_twice"):
        assert asked(broken[name]) == (["session"], [])
        assert broken[name].uses == (PROMPT,)
    assert asked(broken["TestOfUnittest::test_two"]) == (["setUpClass"], [])


ASYNC = {
    "asyncio": """
        import asyncio

        import pytest
        import pytest_asyncio

        from app import ask

        @pytest_asyncio.fixture(loop_scope="session", scope="session")
        async def answer():
            await asyncio.sleep(0)
            yield ask("session")
            ask("closed")

        @pytest.mark.asyncio(loop_scope="session")
        async def test_first(answer):
            ask("own")

        @pytest.mark.asyncio(loop_scope="session")
        async def test_second(answer):
            ask("own")
    """,
    "anyio": """
        import pytest

        from app import ask

        pytestmark = pytest.mark.anyio

        @pytest.fixture(scope="session")
        def anyio_backend():
            return "asyncio"

        @pytest.fixture(scope="session")
        async def answer(anyio_backend):
            yield ask("session")
            ask("closed")

        async def test_first(answer):
            ask("own")

        async def test_second(answer):
            ask("own")
    """,
}


@pytest.mark.parametrize("library", ASYNC)
def test_async_fixtures_are_no_exception(build: Build, fork_runner: Runner, server: FakeOpenAI, library: str) -> None:
    cases = ["test_it.py::test_first", "test_it.py::test_second"]
    ini = "[pytest]\nasyncio_default_fixture_loop_scope = function\n"

    found = run(build, fork_runner, {"pytest.ini": ini, "test_it.py": ASYNC[library]}, cases).rollouts

    assert [rollout.outcome.value for rollout in found.values()] == ["passed", "passed"]
    assert [asked(found[case]) for case in cases] == [(["session"], ["own"])] * 2


MARKING = """
    import inspect

    import pytest

    def pytest_collection_modifyitems(items):
        for item in items:
            if inspect.iscoroutinefunction(item.function):
                item.add_marker(pytest.mark.anyio)
"""


@pytest.mark.skipif(
    not hasattr(pytest_plugin, "pytest_collection_finish"), reason="this anyio leaves such items as they are"
)
def test_cases_that_get_a_parameter_when_collection_is_over_are_found(
    build: Build, fork_runner: Runner, server: FakeOpenAI
) -> None:
    """anyio gives one to what a conftest has marked."""
    source = """
        from app import ask

        async def test_first():
            ask("own")

        async def test_second():
            ask("own")
    """
    cases = ["test_it.py::test_first[0]", "test_it.py::test_second[0]"]

    found = run(build, fork_runner, {"conftest.py": MARKING, "test_it.py": source}, cases).rollouts

    assert [found[case].outcome.value for case in cases] == ["passed", "passed"]
    assert [asked(found[case]) for case in cases] == [([], ["own"])] * 2


def test_a_fixture_that_cannot_be_set_up_tells_what_it_asked(
    build: Build, fork_runner: Runner, server: FakeOpenAI
) -> None:
    source = """
        import pytest

        from app import ask

        @pytest.fixture(scope="module")
        def answer():
            assert ask("module") == "something else"

        def test_it(answer):
            pass
    """
    (rollout,) = run(build, fork_runner, {"test_it.py": source}, ["test_it.py::test_it"]).rollouts.values()
    assert (rollout.outcome.value, asked(rollout)) == ("failed", (["module"], []))


# What belongs to no case


def stray(suite_of: Any, runner: Runner, files: Mapping[str, str], cases: Sequence[str]) -> list[str]:
    suite = suite_of({"app.py": APP, **files}).suite(runner, cases)
    rollouts = evaluate(suite, CANDIDATE).rollouts
    assert [rollout.outcome.value for rollout in rollouts.values()] == ["passed"] * len(cases)
    return [stray.call.request[1].content for stray in suite.stray]


def test_a_call_at_import_belongs_to_no_case_and_is_told_once(
    build: Build, usual_runner: Runner, server: FakeOpenAI
) -> None:
    source = """
        from app import ask

        ANSWER = ask("import")

        def test_one():
            assert ANSWER

        def test_two():
            ask("own")
    """
    cases = ["test_it.py::test_one", "test_it.py::test_two"]
    assert stray(build, usual_runner, {"test_it.py": source}, cases) == ["import"]


def test_the_teardown_of_a_wider_fixture_belongs_to_no_case(
    build: Build, fork_runner: Runner, server: FakeOpenAI
) -> None:
    source = """
        def test_one(closed):
            pass

        def test_two(closed):
            pass
    """
    files = {"conftest.py": CONFTEST, "test_it.py": source}
    assert stray(build, fork_runner, files, ["test_it.py::test_one", "test_it.py::test_two"]) == ["closed"]


def test_the_teardown_of_a_case_s_own_fixture_belongs_to_it(
    build: Build, fork_runner: Runner, server: FakeOpenAI
) -> None:
    source = """
        import pytest

        from app import ask

        @pytest.fixture
        def closed():
            yield
            ask("closed")

        def test_one(closed):
            ask("own")
    """
    found = run(build, fork_runner, {"test_it.py": source}, ["test_it.py::test_one"]).rollouts
    assert asked(found["test_it.py::test_one"]) == ([], ["own", "closed"])


def test_no_secret_is_in_what_is_told_of_a_stray_call(
    build: Build, fork_runner: Runner, server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESK_API_KEY", "canary-8812-4471")
    source = """
        import os

        from app import ask

        ask(os.environ["DESK_API_KEY"])

        def test_one():
            pass
    """
    assert stray(build, fork_runner, {"test_it.py": source}, ["test_it.py::test_one"]) == ["[redacted]"]


IMPORTED = """
    from pathlib import Path

    TEXT = (Path(__file__).parent / "prompts" / "greet.md").read_text()

    def test_of_the_text():
        assert "today" in TEXT

    def test_of_nothing():
        pass
"""


def test_a_prompt_that_is_read_at_import_may_concern_any_case_and_proves_no_use(
    build: Build, fork_runner: Runner
) -> None:
    cases = ["test_it.py::test_of_the_text", "test_it.py::test_of_nothing"]
    suite = build({"test_it.py": IMPORTED}).suite(fork_runner, cases)

    today, other = evaluate(suite, TODAY).rollouts, evaluate(suite, "Never.\n").rollouts

    assert [(found.imported, found.reads, found.uses) for found in today.values()] == [((PROMPT,), (), ())] * 2
    assert [found.outcome.value for found in other.values()] == ["failed", "passed"]
