"""Held-out cases are shown to the reflection model in no form: canaries in every place where a test keeps its data."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.harness import Project, Run, new_project, told

CONFTEST = """\
import pytest


@pytest.fixture
def notes():
    return {"one": "the first note", "canary-word": "CANARY-NOTE of a fixture", "Zq": "CANARY-SHORT-NOTE"}


@pytest.fixture
def only_theirs():
    return ["CANARY-FIXTURE, which only a test that is held out asks for"]
"""
TESTS = """\
import inspect

import pytest

from app import route

held_out = pytest.mark.gepa(split="holdout")
LONG = "CANARY-LONG is a text so long that a report shows no more than its two ends " * 9
CASES = [
    ("animal", "one", 1),
    ("animal", "two", 2),
    pytest.param("animal", "canary-word", 31415, id="CANARY-ID", marks=held_out),
    pytest.param("city", "Zq", 907, marks=held_out),
    pytest.param("city", LONG, 3, marks=held_out),
]
GOLD = {
    "one": {"mark": "ANI", "why": "it is an animal"},
    "canary-word": {"mark": "CANARY-GOLD", "why": "CANARY-WHY of a row", "bill": "CANARY 4711-22"},
}
ANSWERS = ["the first answer", "the second answer", "CANARY-ANSWER", "another CANARY-ANSWER"]


@pytest.mark.parametrize(("kind", "word", "number"), CASES)
def test_route(kind, word, number, notes, gepa, request):
    everything = [CASES, GOLD, ANSWERS, notes]
    print(everything, inspect.getsource(inspect.getmodule(test_route)))
    gepa.log("everything", everything)
    gepa.log("short", word if word in ("Zq",) else "Zq")
    session = request.session.items
    assert route(kind, word) == f"{word}-{kind[:3].upper()}", (everything, session, test_held.__doc__)


@pytest.mark.parametrize("at", [0, 1, pytest.param(2, marks=held_out), pytest.param(3, marks=held_out)])
def test_by_number(at):
    got = route("tool", f"w{at}")
    assert got == f"w{at}-TOO" and ANSWERS == [], ANSWERS


class Row:
    '''Knows the table that it is in; its repr tells nothing.'''

    def __init__(self, table, word, wanted):
        self.table, self.word, self.wanted = table, word, wanted
        table.append(self)


TABLE = []
ROWS = [Row(TABLE, "first row", "ROW-ONE"), Row(TABLE, "CANARY-ROW", "CANARY-ROW\\nof a table\\nwith rows")]


@pytest.mark.parametrize("row", [ROWS[0], pytest.param(ROWS[1], marks=held_out)], ids=["first", "second"])
def test_row(row):
    got = route("river", row.word)
    wanted = [one.wanted for one in row.table]
    listed = "\\n".join(wanted)
    assert got in wanted, f"wanted one of {wanted}\\n{listed}"


@held_out
def test_held(only_theirs):
    '''CANARY-DOCSTRING: only the judge may read this.'''
    assert route("city", "CANARY-BODY of a test that is held out") == "CANARY-BODY of a test that is held out-CIT"
"""
EIGHT = """\
import pytest

from app import route


@pytest.mark.parametrize("number", range(8))
def test_animal(number):
    assert route("animal", number) == f"{number}-ANI"
"""
LONG = "no more than its two ends"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    for project in new_project(tmp_path_factory.mktemp("held") / "project"):
        project.write({"conftest.py": CONFTEST, "test_route.py": TESTS})
        yield project.optimize("--gepa-trials=1", "-vv", "--showlocals", "-o", r"gepa_redact=\d{4}-\d{2}")


def test_no_canary_of_a_held_out_case_reaches_a_reflection(run: Run) -> None:
    assert run.code == 0, run.everything
    assert len(run.reflections) > 1
    for request in run.reflections:
        text = told(request)
        assert "CANARY" not in text
        assert "canary" not in text
        assert LONG not in text
        assert "of a table" not in text
        assert not re.search(r"(?<!\w)Zq(?!\w)", text)
        assert not re.search(r"(?<![\w.])(907|31415)(?![\w.])", text)


def test_what_search_cases_show_of_themselves_is_still_there(run: Run) -> None:
    text = "\n".join(map(told, run.reflections))
    for piece in (
        "the first note",
        "it is an animal",
        "the first answer",
        "kind = 'animal'",
        "number = 1",
        "ROW-ONE",
    ):
        assert piece in text
    assert "[held out]" in text


def test_the_winner_was_chosen_without_the_held_out_cases(run: Run) -> None:
    held = {case["id"] for case in run.records("run")[0]["cases"] if case["split"] == "holdout"}
    assert len(held) == 7
    assert not any(record["case"] in held for record in run.records("rollout") if record["trial"].startswith("search/"))


@pytest.mark.thorough
def test_the_share_is_taken_of_each_module(project: Project) -> None:
    project.write({"test_route.py": "", "test_a.py": EIGHT, "test_b.py": EIGHT})

    run = project.optimize("--gepa-trials=1", "--gepa-holdout=0.25")

    assert run.code == 0, run.everything
    cases = run.records("run")[0]["cases"]
    held = Counter(case["nodeid"].partition("::")[0] for case in cases if case["split"] == "holdout")
    assert len(cases) == 16
    assert held == {"test_a.py": 2, "test_b.py": 2}
