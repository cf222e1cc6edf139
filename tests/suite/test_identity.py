from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from pytest_gepa.errors import SetupError
from pytest_gepa.suite.collect import collect_cases, identify
from pytest_gepa.suite.rollout import Case
from pytest_gepa.suite.runner import Runner
from tests.suite.world import PROMPT, TODAY, Build, evaluate, outcomes

KINDS = """
    import asyncio, unittest

    import pytest

    def test_plain():
        pass

    class TestOuter:
        def test_method(self):
            pass

        class TestInner:
            @pytest.mark.parametrize("value", ["a", "b"])
            def test_method(self, value):
                assert value in "ab"

    @pytest.mark.parametrize("left", [1, 2])
    @pytest.mark.parametrize("right", [3, 4, 5])
    def test_nested(left, right):
        assert (left, right) != (2, 5)

    @pytest.mark.parametrize("value", ["first", "second"], ids=["same", "same"])
    def test_equal_ids(value):
        assert value == "first"

    @pytest.fixture(params=["x", "y"])
    def parameter(request):
        return request.param

    def test_parametrized_fixture(parameter):
        assert parameter == "x"

    @pytest.mark.parametrize("value", [pytest.param(1, marks=pytest.mark.xfail), 2], indirect=False)
    def test_marked_parameter(value):
        assert value == 2

    class OfUnittest(unittest.TestCase):
        def test_right(self):
            self.assertTrue(True)

        def test_wrong(self):
            self.assertTrue(False)

    @pytest.mark.asyncio
    async def test_coroutine():
        await asyncio.sleep(0)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("value", [1, 2])
    async def test_parametrized_coroutine(value):
        await asyncio.sleep(0)
        assert value == 1
"""
SUBTESTS = """
    def test_with_subtests(subtests):
        for number in range(3):
            with subtests.test(number=number):
                assert number != 1
"""
EXPECTED = {
    "test_plain": "passed",
    "TestOuter::test_method": "passed",
    "TestOuter::TestInner::test_method[0]": "passed",
    "TestOuter::TestInner::test_method[1]": "passed",
    **{f"test_nested[{left}.{right}]": "passed" for left in (0, 1) for right in (0, 1, 2)},
    "test_nested[1.2]": "failed",
    "test_equal_ids[0]": "passed",
    "test_equal_ids[1]": "failed",
    "test_parametrized_fixture[0]": "passed",
    "test_parametrized_fixture[1]": "failed",
    "test_marked_parameter[0]": "xfailed",
    "test_marked_parameter[1]": "passed",
    "OfUnittest::test_right": "passed",
    "OfUnittest::test_wrong": "failed",
    "test_coroutine": "passed",
    "test_parametrized_coroutine[0]": "passed",
    "test_parametrized_coroutine[1]": "failed",
}

Collect = Callable[[str], tuple[Case, ...]]


@pytest.fixture
def collect(pytester: pytest.Pytester) -> Collect:
    """The cases of a test file, as the user's session collects them."""

    pytester.path.joinpath("prompts").mkdir()
    pytester.path.joinpath(PROMPT).write_text(TODAY)

    def collect(source: str) -> tuple[Case, ...]:
        pytester.makepyfile(test_kinds=source)
        record = pytester.inline_run("--gepa-plan", "--gepa-reflection-model=none")
        return collect_cases([call.item for call in record.getcalls("pytest_itemcollected")])

    return collect


def test_a_case_of_every_kind_has_its_identity_and_is_found_again_in_a_child_session(
    collect: Collect, build: Build, fork_runner: Runner
) -> None:
    cases = [case.id for case in collect(KINDS)]
    assert sorted(cases) == sorted(f"test_kinds.py::{name}" for name in EXPECTED)

    suite = build({"test_kinds.py": KINDS}).suite(fork_runner, cases, concurrency=2)
    assert outcomes(evaluate(suite)) == EXPECTED


@pytest.mark.skipif(pytest.version_tuple < (9,), reason="subtests came with pytest 9")
def test_a_case_with_a_failing_subtest_fails_and_tells_it_once(build: Build, fork_runner: Runner) -> None:
    suite = build({"test_it.py": SUBTESTS}).suite(fork_runner, ["test_it.py::test_with_subtests"])

    (rollout,) = evaluate(suite).rollouts.values()

    assert rollout.outcome.value == "failed"
    assert rollout.trajectory.failure.count("assert 1 != 1") == 1
    assert "number=1" in rollout.trajectory.failure


def test_a_case_keeps_its_identity_when_its_parameters_change(collect: Collect) -> None:
    source = "import pytest\n@pytest.mark.parametrize('text', [{!r}, 'b'])\ndef test_it(text): pass\n"

    before, after = collect(source.format("old text")), collect(source.format("new text"))

    assert [case.id for case in before] == [case.id for case in after]
    assert before[0].nodeid != after[0].nodeid
    assert before[0].parameters == (("text", "'old text'"),)


def test_identity_is_the_position_in_every_parameter_set_whatever_their_order(collect: Collect) -> None:
    sets = ["@pytest.mark.parametrize('a', [1, 2])", "@pytest.mark.parametrize('b', [3, 4])"]

    def cases(decorators: Sequence[str]) -> dict[tuple[tuple[str, str], ...], str]:
        source = "\n".join(["import pytest", *decorators, "def test_it(a, b): pass"])
        return {tuple(sorted(case.parameters)): case.id for case in collect(source)}

    assert cases(sets) == cases(sets[::-1])
    assert len(set(cases(sets).values())) == 4


@pytest.mark.parametrize("numbers", [[1, 2], [1]])
@pytest.mark.parametrize("lines", [["a", "b", "c"], ["a", "b"]])
def test_a_case_of_two_parameter_sets_keeps_its_identity_when_one_of_them_shrinks(
    collect: Collect, numbers: list[int], lines: list[str]
) -> None:
    source = (
        "import pytest\n"
        "@pytest.mark.parametrize('number', {!r})\n"
        "@pytest.mark.parametrize('line', {!r})\n"
        "def test_it(number, line): pass\n"
    )

    cases = {case.id: case.parameters for case in collect(source.format([1, 2], ["a", "b", "c"]))}
    fewer = {case.id: case.parameters for case in collect(source.format(numbers, lines))}

    assert len(fewer) == len(numbers) * len(lines)
    assert fewer.items() <= cases.items()


def test_an_item_that_is_listed_twice_is_two_cases(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it="def test_it(): pass")
    items, _ = pytester.inline_genitems()

    assert list(identify([*items, *items])) == ["test_it.py::test_it", "test_it.py::test_it#2"]


BLOCKS = """
    def describe_here():
        def it_is_polite():
            pass

    def describe_there():
        def it_is_polite():
            assert False
"""
AS_PYTEST_DESCRIBE_DOES = """
    import types

    import pytest

    class Block(pytest.Module):
        def _getobj(self):
            module = types.ModuleType(self.name)
            block, = [one for one in self.function.__code__.co_consts if isinstance(one, types.CodeType)]
            module.test_it_is_polite = types.FunctionType(block, self.function.__globals__)
            return module

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makeitem(collector, name, obj):
        if name.startswith("describe_"):
            block = Block.from_parent(collector, path=collector.path, nodeid=f"{collector.nodeid}::{name}")
            block.name, block.function = NAME, obj
            return block
"""


def blocks(name: str) -> dict[str, str]:
    """A project with two blocks, each of a name that an expression gives."""
    return {"conftest.py": AS_PYTEST_DESCRIBE_DOES.replace("NAME", name), "test_it.py": BLOCKS}


def test_a_test_in_a_block_of_its_file_is_named_by_the_block(build: Build, fork_runner: Runner) -> None:
    suite = build(blocks("name")).suite(fork_runner, ["test_it.py::describe_there::test_it_is_polite"])

    assert outcomes(evaluate(suite)) == {"describe_there::test_it_is_polite": "failed"}


def test_a_case_for_which_a_child_session_takes_another_test_of_that_name_is_told(
    build: Build, fork_runner: Runner
) -> None:
    suite = build(blocks("'block'")).suite(fork_runner, ["test_it.py::block::test_it_is_polite"])
    # As a session that selected the second block alone has it.
    (case,) = suite.cases.values()
    suite.cases[case.id] = replace(case, nodeid="test_it.py::describe_there::test_it_is_polite")

    with pytest.raises(SetupError, match="another one would run for test_it"):
        evaluate(suite)


def test_cases_of_one_name_are_run_where_each_is_the_one_that_was_selected(build: Build, fork_runner: Runner) -> None:
    case = "test_it.py::block::test_it_is_polite"
    suite = build(blocks("'block'")).suite(fork_runner, [case, f"{case}#2"])
    for name, block in ((case, "here"), (f"{case}#2", "there")):
        suite.cases[name] = replace(suite.cases[name], nodeid=f"test_it.py::describe_{block}::test_it_is_polite")

    assert list(outcomes(evaluate(suite)).values()) == ["passed", "failed"]


def test_cases_carry_their_source_and_marker(collect: Collect) -> None:
    (case,) = collect(
        "import pytest\n"
        "@pytest.mark.gepa(trials=5, weight=2, split='holdout')\n"
        "@pytest.mark.parametrize('value', [1])\n"
        "def test_it(value):\n"
        "    assert value\n"
    )

    assert case == replace(
        Case("test_kinds.py::test_it[0]", "test_kinds.py::test_it[1]"),
        source="def test_it(value):\n    assert value",
        parameters=(("value", "1"),),
        split="holdout",
        weight=2.0,
        trials=5,
    )


TITLES = """
    import pytest

    def pytest_itemcollected(item):
        if item.obj.__doc__:
            item._nodeid = item.obj.__doc__
"""


def test_a_conftest_may_make_a_title_of_a_nodeid(build: Build, fork_runner: Runner) -> None:
    project = build({"conftest.py": TITLES, "tests/test_it.py": 'def test_one():\n    """Greets :: well"""\n'})
    evaluation = evaluate(project.suite(fork_runner, ["tests/test_it.py::test_one"]))
    assert outcomes(evaluation) == {"test_one": "passed"}
