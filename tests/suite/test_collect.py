from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.errors import SettingsError
from pytest_gepa.suite.case_source import function_source
from pytest_gepa.suite.collect import (
    PARAMETER_CHARACTERS,
    _repr,
    collect_cases,
    repr_in_order,
    threshold,
)
from pytest_gepa.trace.redact import Redactor


def decorated(*_arguments: object) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any) -> Any:
            return function(*args)

        return wrapper

    return decorate


@decorated(
    "the inputs",
    "of other cases",
)
@decorated("more of them")
def several_decorators(value: int) -> int:
    # a comment of its own
    return value + 1


class Group:
    @decorated("secret")
    async def method(self) -> str:
        return """
text at the margin
"""

    def plain(self) -> None:
        pass


def test_a_source_has_its_body_and_none_of_its_decorators() -> None:
    assert function_source(several_decorators) == (
        "def several_decorators(value: int) -> int:\n    # a comment of its own\n    return value + 1"
    )


def test_the_source_of_a_method_is_dedented() -> None:
    assert function_source(Group.plain) == "def plain(self) -> None:\n    pass"


def test_the_source_of_a_method_with_text_at_the_margin_is_found() -> None:
    source = function_source(Group.method)

    assert source.startswith("async def method(self)")
    assert "text at the margin" in source
    assert "secret" not in source


@pytest.mark.parametrize("thing", [None, len, functools.partial(several_decorators), Group])
def test_what_is_no_function_with_a_source_has_none(thing: object) -> None:
    assert function_source(thing) == ""


def test_code_made_at_run_time_has_no_source() -> None:
    names: dict[str, Any] = {}
    exec("def made(): pass", names)

    assert function_source(names["made"]) == ""


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ("trials=0", "whole number, 1 or more"),
        ("trials=1.5", "whole number, 1 or more"),
        ("trials=True", "whole number, 1 or more"),
        ("trials='3'", "whole number, 1 or more"),
        ("threshold=1.5", "from 0 to 1"),
        ("threshold=float('nan')", "from 0 to 1"),
        ("threshold='0.5'", "from 0 to 1"),
        ("weight=0", "above 0"),
        ("weight=float('inf')", "above 0"),
        ("weight=False", "above 0"),
        ("split='test'", "'search' or 'holdout'"),
        ("treshold=0.5", "no such keyword"),
        ("0.5", "keywords only"),
    ],
)
def test_a_marker_that_is_malformed_is_refused_by_name(pytester: pytest.Pytester, marker: str, words: str) -> None:
    item = pytester.getitem(f"import pytest\n@pytest.mark.gepa({marker})\ndef test_func(): pass")

    with pytest.raises(SettingsError, match=words) as caught:
        collect_cases([item])

    assert item.nodeid in str(caught.value)


@pytest.mark.parametrize("marker", ["weight=-1", "0.5"])
def test_the_case_of_a_malformed_marker_is_named_without_what_its_parameters_tell_to_be_secret(
    pytester: pytest.Pytester, marker: str
) -> None:
    """The nodeid alone does not tell that a value is one."""
    items = pytester.getitems(
        "import pytest\n"
        "@pytest.mark.parametrize(('password', 'account'), [('Jo', 'none'), ('Hunter2-hunter2', 'no 7')])\n"
        f"@pytest.mark.gepa({marker})\n"
        "def test_func(password, account): pass"
    )
    redact = Redactor({}, [r"account = (?P<secret>.+)"]).redact

    for read in (lambda: collect_cases(items[1:], redact), lambda: threshold(items[1], redact)):
        with pytest.raises(SettingsError) as caught:
            read()

        assert str(caught.value).partition(": ")[0].endswith("::test_func[password1.1-account1.1]")


def test_the_closest_marker_wins_for_each_keyword(pytester: pytest.Pytester) -> None:
    items = pytester.getitems(
        "import pytest\n"
        "pytestmark = pytest.mark.gepa(weight=2, trials=4, threshold=0.5)\n"
        "@pytest.mark.gepa(weight=3)\n"
        "class TestIt:\n"
        "    @pytest.mark.gepa(trials=1)\n"
        "    def test_inner(self): pass\n"
        "def test_outer(): pass\n"
    )

    inner, outer = collect_cases(items)
    assert [(case.weight, case.trials) for case in (inner, outer)] == [(3.0, 1), (2.0, 4)]
    assert threshold(items[0]) == 0.5


def test_a_case_without_a_marker_has_no_threshold_and_the_run_s_own_trials(pytester: pytest.Pytester) -> None:
    item = pytester.getitem("def test_func(): pass")

    (case,) = collect_cases([item])

    assert (case.split, case.weight, case.trials, threshold(item)) == ("search", 1.0, None, None)


def test_parameters_whose_repr_is_long_or_raises_do_no_harm(pytester: pytest.Pytester) -> None:
    item, _ = pytester.getitems(
        "import pytest\n"
        "class Odd:\n"
        "    def __repr__(self): raise ValueError\n"
        "@pytest.mark.parametrize('text, odd', [('x' * 50_000, Odd()), ('', 1)])\n"
        "def test_func(text, odd): pass\n"
    )

    (case,) = collect_cases([item])

    text, odd = case.parameters
    assert len(text[1]) == PARAMETER_CHARACTERS + len(" ...")
    assert odd == ("odd", "<repr failed: ValueError>")


_KEYS = st.text(max_size=3) | st.integers() | st.frozensets(st.text(max_size=3)) | st.tuples(st.text(max_size=2))
_VALUES = st.recursive(
    _KEYS | st.none() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3) | st.sets(_KEYS, max_size=4),
)


@given(_VALUES)
def test_a_parameter_reads_as_python_writes_it_but_for_the_order_of_sets(value: object) -> None:
    assert eval(repr_in_order(value)) == value
    if "{" not in repr(value):
        assert repr_in_order(value) == repr(value)


def test_a_container_that_holds_itself_reads_as_python_writes_it() -> None:
    knot: dict[str, Any] = {"a": 1}
    knot["self"] = knot
    assert _repr(knot) == "{'a': 1, 'self': {...}}"


@given(st.lists(st.text(max_size=3), unique=True), st.randoms())
def test_a_set_reads_the_same_in_whatever_order_python_has_it(items: list[str], random: Any) -> None:
    shuffled = random.sample(items, len(items))
    assert repr_in_order([{"of": frozenset(items)}]) == repr_in_order([{"of": frozenset(shuffled)}])
    if items:
        assert repr_in_order(set(items)) == f"{{{', '.join(sorted(map(repr, items)))}}}"


@pytest.mark.parametrize(
    ("place", "args", "words"),
    [
        ("a[b]/test_it.py", (), "rename the file or folder"),
        ("test_it[1].py", (), "rename the file or folder"),
        ("outside/test_it.py", ("--rootdir=inside", "outside"), "lies outside the rootdir"),
    ],
)
def test_a_test_file_that_no_child_session_could_collect_is_told_with_the_mend(
    pytester: pytest.Pytester, place: str, args: tuple[str, ...], words: str
) -> None:
    path = pytester.path / place
    path.parent.mkdir(exist_ok=True)
    (pytester.path / "inside").mkdir()
    path.write_text("def test_it(): pass", encoding="utf-8")
    (item,), _ = pytester.inline_genitems(*args)

    with pytest.raises(SettingsError, match=words) as caught:
        collect_cases([item])

    assert str(path) in str(caught.value)
