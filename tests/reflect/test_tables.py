"""Which rows of tables and files of data belong to held-out cases."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.reflect.datafiles import data_nodes
from pytest_gepa.reflect.parametrized import positioned
from pytest_gepa.reflect.tables import beside, python_nodes, tables
from pytest_gepa.suite.rollout import Case
from pytest_gepa.suite.sources import Source


def rows_of(source: str, own: set[str], other: set[str], is_strict: bool = False) -> set[str]:
    """What stands beside `own`."""
    return set(beside(tables(python_nodes(source)), own, other, is_strict)) - own


class TestWhoseRow:
    def test_is_told_by_the_column_that_tells_most_rows(self):
        source = 'X = [("mine", "text of mine", 1), ("your", "text of yours", 7), ("last", "text of last", 5)]'
        # The number of a search case stands in a row of a held-out case by chance, and the other way round.
        assert rows_of(source, {"mine", "5", "text"}, {"your", "last", "1"}) == {"text of mine", "1"}

    def test_is_told_by_what_tells_before_numbers(self):
        source = 'X = {"answer": ["mine", 3, "the text"]}'
        assert rows_of(source, {"mine"}, {"3"}) == {"answer", "3", "the text"}
        assert rows_of(source, {"3"}, {"mine"}) == set()

    def test_is_not_told_by_what_stands_deep_in_it_where_that_is_strict(self):
        source = 'X = {"towns": ["Paris", "Rome"], "mine": {"text": "of mine", "more": ["deep", "er"]}}'
        assert rows_of(source, {"Paris"}, set(), is_strict=True) == set()
        assert rows_of(source, {"mine"}, set(), is_strict=True) == {
            "text",
            "of mine",
            "more",
            "deep",
            "er",
        }

    def test_is_not_told_by_a_small_number_where_that_is_strict(self):
        source = 'X = [{"number": 7, "document": "about parcels"}]'
        assert rows_of(source, {"7"}, set(), is_strict=True) == set()
        assert "about parcels" in rows_of(source, {"7"}, set())

    def test_words_that_other_rows_have_too_and_names_of_fields_are_nobodys(self):
        source = 'X = [{"id": "mine", "topic": "billing"}, {"id": "unused", "topic": "billing"}]'
        assert rows_of(source, {"mine"}, set()) == set()

    def test_the_marks_of_a_param_are_no_part_of_it(self):
        source = 'X = [pytest.param("mine", "text", marks=pytest.mark.gepa(split="holdout"))]'
        assert rows_of(source, {"mine"}, set()) == {"text"}

    def test_a_sum_of_many_strings_is_read(self):
        source = f"X = [('mine', {' + '.join(['text'] * 300)!s})]".replace("text", '"text"')
        assert rows_of(source, {"mine"}, set()) == {"text"}


def as_csv(rows: Mapping[str, str]) -> str:
    stream = io.StringIO()
    csv.writer(stream).writerows([("name", "text"), *rows.items()])
    return stream.getvalue()


FORMS: Mapping[str, Callable[[Mapping[str, str]], str]] = {
    ".json": json.dumps,
    ".jsonl": lambda rows: "\n".join(json.dumps({"id": id, "x": text}) for id, text in rows.items()),
    ".yaml": lambda rows: yaml.safe_dump({"all": [{"meta": {"id": id}, "x": text} for id, text in rows.items()]}),
    ".yml": lambda rows: "---\n".join(f"!case\n{yaml.safe_dump({id: text})}" for id, text in rows.items()),
    ".toml": lambda rows: "\n".join(
        f"[[case]]\nid = {json.dumps(id)}\ntext = {json.dumps(text)}" for id, text in rows.items()
    ),
    ".csv": as_csv,
    ".tsv": lambda rows: "\n".join(f"{id}\t{text}" for id, text in rows.items()),
    ".txt": lambda rows: "\n".join(f"{id}: {text}" for id, text in rows.items()),
}
sentences = st.text(alphabet="abcäöü", min_size=1, max_size=8).map(lambda word: f"The answer is {word}")


@pytest.mark.parametrize("form", FORMS)
@given(st.lists(sentences, min_size=2, max_size=6, unique=True), st.data())
def test_rows_of_files_belong_to_those_who_are_named_in_them(form: str, texts: list[str], data: st.DataObject):
    rows = {f"case-{number}": text for number, text in enumerate(texts)}
    own = set(data.draw(st.lists(st.sampled_from(sorted(rows)), unique=True)))
    found = tables(data_nodes(form, FORMS[form](rows)))
    left = beside(found, own, rows.keys() - own, is_strict=True)
    assert {text for name, text in rows.items() if name in own} == {text for text in texts if text in left}


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".yaml", ".toml"])
def test_a_file_that_is_not_what_it_is_called_is_read_by_lines(suffix: str):
    text = 'mine: {"a text\n"your\x00: [another'
    assert "mine" in beside(tables(data_nodes(suffix, text)), {"mine"}, set(), is_strict=True)


def test_aliases_that_name_one_another_come_to_an_end():
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert data_nodes(".yaml", "\n".join(["a0: &a0 [x, x]", *levels]))


def test_a_file_of_another_kind_has_no_tables():
    assert data_nodes(".md", "| mine | text |") == []


def cases(held: set[int], number: int = 3, path: str = "test_a.py", name: str = "test_it") -> list[Case]:
    return [
        Case(
            f"{path}::{name}[{at}.{at}]",
            f"{path}::{name}[ticket{at}]",
            parameters=(("n", "<object>"), ("ticket", "<object>")),
            split="holdout" if at in held else "search",
        )
        for at in range(number)
    ]


def by_position(files: Mapping[str, str], suite: list[Case]) -> tuple[set[str], set[str]]:
    theirs, shown = positioned([Source(path, text) for path, text in files.items()], suite)
    return set(theirs), set(shown)


PARAMETRIZE = "@pytest.mark.parametrize(('ticket', 'n'), {})\ndef test_it(ticket, n): pass\n"


@pytest.mark.parametrize(
    ("files", "is_exact"),
    [
        ({"test_a.py": PARAMETRIZE.format("[T('a'), T('b'), pytest.param(T('c'))]")}, True),
        ({"test_a.py": "A = [T('a'), T('b'), T('c')]\n" + PARAMETRIZE.format("A")}, True),
        (
            {"test_a.py": PARAMETRIZE.format("cases.A"), "cases.py": "A: list = [T('a'), T('b'), T('c')]"},
            True,
        ),
        (
            {"test_a.py": "A = [T('a')]\nB = [T('b'), *C]\nC = (T('c'),)\n" + PARAMETRIZE.format("A + B")},
            True,
        ),
        ({"test_a.py": "A = {1: T('a'), 2: T('b'), 3: T('c')}\n" + PARAMETRIZE.format("A.items()")}, False),
        ({"test_a.py": "A = ['a', 'b', 'c']\n" + PARAMETRIZE.format("[T(x) for x in A]")}, False),
        ({"conftest.py": "A = ['a', 'b', 'c']\n@pytest.fixture(params=A)\ndef ticket(request): pass"}, True),
        (
            {
                "conftest.py": "def pytest_generate_tests(metafunc):\n"
                "    metafunc.parametrize('ticket,n', ['a', 'b', 'c'])"
            },
            True,
        ),
    ],
)
def test_rows_are_a_cases_by_its_position(files: Mapping[str, str], is_exact: bool):
    theirs, shown = by_position(files, cases({1}))
    assert {"a", "b", "c"} & theirs == {"b"}
    assert {"a", "b", "c"} & shown == {"a", "c"}
    # Some cases were left out by `-k`: what something was made of may then be another's.
    theirs, _ = by_position(files, cases({1}, number=2))
    assert {"a", "b", "c"} & theirs == ({"b"} if is_exact else set())


def test_rows_of_another_function_or_argument_are_not_by_position():
    other = {"test_b.py": PARAMETRIZE.format("['a', 'b', 'c']")}
    assert by_position(other, cases({1})) == (set(), set())
    argument = {"test_a.py": "@pytest.mark.parametrize('x', ['a', 'b', 'c'])\ndef test_it(x): pass"}
    assert by_position(argument, cases({1})) == (set(), set())


def test_methods_are_known_by_their_class():
    method = "class TestA:\n    @pytest.mark.parametrize('ticket,n', ['a', 'b'])\n    def test_it(self): pass\n"
    theirs, shown = by_position({"test_a.py": method}, cases({1}, 2, "test_a.py", "TestA::test_it"))
    assert (theirs, shown) == ({"b"}, {"a"})


def test_behind_a_number_of_rows_that_is_not_known_none_has_a_position():
    files = {"test_a.py": PARAMETRIZE.format("['a', *load(), 'c']")}
    assert by_position(files, cases({0, 2})) == ({"a"}, set())


def test_a_name_is_that_of_the_module_that_is_imported():
    files = {
        "test_a.py": "from data.one import ROWS\n" + PARAMETRIZE.format("ROWS"),
        "data/one.py": "ROWS = ['a', 'b', 'c']",
        "data/two.py": "ROWS = ['x', 'y', 'z']",
    }
    assert by_position(files, cases({1})) == ({"b"}, {"a", "c"})
    files["test_a.py"] = PARAMETRIZE.format("load().ROWS")
    assert by_position(files, cases({1})) == (set(), set())
