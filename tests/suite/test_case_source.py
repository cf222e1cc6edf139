from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_gepa.suite.case_source import FileTexts
from pytest_gepa.suite.collect import collect_cases
from pytest_gepa.suite.rollout import Case
from pytest_gepa.suite.usage import NOTHING, CaseUsage, case_digest, still_true, with_digests

YAML = """
    import pytest

    class Spec(pytest.Item):
        def runtest(self):
            pass

    class Specs(pytest.File):
        def collect(self):
            yield Spec.from_parent(self, name="polite")

    def pytest_collect_file(parent, file_path):
        if file_path.suffix == ".yaml":
            return Specs.from_parent(parent, path=file_path)
"""
AS_PYTEST_BDD_DOES = """
    from types import SimpleNamespace

    def scenario(filename):
        feature = SimpleNamespace(filename=filename)

        def decorator(fn):
            def scenario_wrapper():
                print(feature)
                fn()
            return scenario_wrapper
        return decorator
"""
SCENARIO = """
    from pathlib import Path

    from plugin import scenario

    @scenario(str(Path(__file__).with_name("polite.feature")))
    def test_it(): {body}
"""
AS_PYTEST_CASES_DOES = """
    class LazyValue:
        def __init__(self, valuegetter):
            self.valuegetter = valuegetter
        def __repr__(self):
            return f"LazyValue({self.valuegetter.__name__})"

    class LazyTuple:
        def __init__(self, lazyvalue):
            self._lazyvalue = lazyvalue

    class LazyTupleItem:
        def __init__(self, lazyvalue):
            self.host = LazyTuple(lazyvalue)
        def __repr__(self):
            return "LazyTupleItem"
"""
CASES = """
    def case_polite(): return {text!r}
"""
LAZY = """
    import functools

    import pytest

    from its_cases import case_polite
    from pytest_cases import LazyTupleItem, LazyValue

    @pytest.mark.parametrize(
        "value", [LazyValue(case_polite), LazyTupleItem(LazyValue(functools.partial(case_polite)))]
    )
    def test_it(value): pass
"""
OBJECT = """
    import pytest

    class Ticket:
        def __init__(self, text):
            self.text = text

    @pytest.mark.parametrize("ticket", [Ticket({text!r})])
    def test_it(ticket): pass
"""
NAMED = """
    import pytest

    def polite(text): {body}

    @pytest.mark.parametrize("check", [polite])
    def test_it(check): pass
"""
INHERITED = """
    from base import Base

    class TestIt(Base):
        text = {text!r}
"""

Collect = Callable[[Mapping[str, str]], list[Case]]


@pytest.fixture
def collect(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Collect:
    """The cases of a project of these files; those that were there before are written over."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    def collect(files: Mapping[str, str]) -> list[Case]:
        for name, text in files.items():
            pytester.makefile(Path(name).suffix, **{Path(name).stem: text})
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(pytester.path)
            items, _ = pytester.inline_genitems("--doctest-modules", "--doctest-glob=*.rst")
            return list(collect_cases(items))

    return collect


@pytest.mark.parametrize(
    ("files", "edited"),
    [
        ({"conftest.py": YAML, "specs.yaml": "ask: hello"}, {"specs.yaml": "ask: good morning"}),
        (
            {"test_it.py": 'def ask():\n    """\n    >>> 1\n    1\n    """'},
            {"test_it.py": 'def ask():\n    """\n    >>> 2\n    2\n    """'},
        ),
        ({"polite.rst": ">>> 1\n1"}, {"polite.rst": ">>> 2\n2"}),
        (
            {
                "plugin.py": AS_PYTEST_BDD_DOES,
                "test_it.py": SCENARIO.format(body="pass"),
                "polite.feature": "Given one",
            },
            {"polite.feature": "Given two"},
        ),
        (
            {
                "plugin.py": AS_PYTEST_BDD_DOES,
                "test_it.py": SCENARIO.format(body="pass"),
                "polite.feature": "Given one",
            },
            {"test_it.py": SCENARIO.format(body="assert True")},
        ),
        (
            {
                "pytest_cases.py": AS_PYTEST_CASES_DOES,
                "its_cases.py": CASES.format(text="hello"),
                "test_it.py": LAZY,
            },
            {"its_cases.py": CASES.format(text="good morning")},
        ),
        ({"test_it.py": OBJECT.format(text="hello")}, {"test_it.py": OBJECT.format(text="howdy")}),
        (
            {"test_it.py": NAMED.format(body="pass").replace("[polite]", "[lambda text: 'a' in text]")},
            {"test_it.py": NAMED.format(body="pass").replace("[polite]", "[lambda text: 'b' in text]")},
        ),
        (
            {
                "base.py": "class Base:\n    def test_it(self): pass",
                "test_it.py": INHERITED.format(text="hello"),
            },
            {"test_it.py": INHERITED.format(text="good morning")},
        ),
    ],
    ids=["yaml", "doctest", "text", "feature", "scenario", "lazy value", "object", "lambda", "inherited"],
)
def test_a_case_that_was_edited_is_another_whatever_it_is_made_of(
    collect: Collect, files: Mapping[str, str], edited: Mapping[str, str]
) -> None:
    before = collect(files)
    known = with_digests({case.id: CaseUsage({}) for case in before}, before, "")
    assert before
    assert list(still_true(known, collect({}))) == [case.id for case in before]

    after = collect(edited)

    assert [case.id for case in after] == [case.id for case in before]
    assert still_true(known, after) == {}


def test_the_source_of_a_doctest_is_its_docstring(collect: Collect) -> None:
    (case,) = collect({"test_it.py": 'def ask():\n    """Ask.\n\n    >>> 1\n    1\n    """'})

    assert ">>> 1" in case.source
    assert not case.basis


def test_a_function_of_its_own_file_says_it_all_and_the_rest_of_the_file_does_not_count(
    collect: Collect,
) -> None:
    (before,) = collect({"test_it.py": "def test_it(): pass"})
    (after,) = collect({"test_it.py": "OTHER = 1\n\n\ndef test_it(): pass"})

    assert case_digest(before) == case_digest(after)
    assert before.basis == ""


def test_a_function_among_the_values_is_known_by_its_name(collect: Collect) -> None:
    (before,) = collect({"test_it.py": NAMED.format(body="return 1")})
    (after,) = collect({"test_it.py": NAMED.format(body="return 2")})

    assert case_digest(before) == case_digest(after)
    assert before.basis == ""


def test_a_case_that_shows_nothing_is_never_known_to_be_as_it_was() -> None:
    case = Case("a.yaml::polite", "a.yaml::polite")

    assert still_true({case.id: CaseUsage({}, digest=NOTHING)}, [case]) == {}


def test_a_file_has_one_digest_whatever_its_newlines(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"a\nb\n")
    (tmp_path / "other").write_bytes(b"a\r\nb\r\n")
    files = FileTexts()

    assert files.digest(tmp_path / "one") == files.digest(tmp_path / "other") != ""
    assert files.digest(tmp_path / "missing") == ""


def test_a_table_of_many_rows_is_read_once(collect: Collect, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    genuine = ast.parse

    def parse(source: str, *arguments: Any, **named: Any) -> Any:
        parsed.append(source)
        return genuine(source, *arguments, **named)

    monkeypatch.setattr("pytest_gepa.suite.case_source.ast.parse", parse)
    rows = ", ".join(map(str, range(60)))
    cases = collect({"test_it.py": f"import pytest\n@pytest.mark.parametrize('n', [{rows}])\ndef test_many(n): pass"})
    assert {case.source for case in cases} == {"def test_many(n): pass"}
    assert len(cases) == 60
    own = [source for source in parsed if isinstance(source, str) and source.startswith("@")]
    assert len(own) == 1
