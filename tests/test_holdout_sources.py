"""Held-out cases are shown to the reflection model in no form, wherever a suite keeps their data: in objects without
a repr, in modules, in files of data, in long values. Search cases print, log and show all of it."""

from __future__ import annotations

import json

import pytest

from tests.harness import Run, new_project, told

TAIL = "TAIL-CANARY of the long value"
LONG = " ".join(f"word{n}" for n in range(4_000)) + f" {TAIL}"
IDS = ("one", "two", "canary-word", "canary-other")
FORMS = ("json", "jsonl", "yaml", "csv", "txt", "md")

TICKETS = """\
class Ticket:
    def __init__(self, kind, word, note):
        self.kind, self.word, self.__note = kind, word, note

    def told(self):
        return f"{self.kind} {self.word} {self._Ticket__note}"


class Slotted:
    __slots__ = ("kind", "word", "note")

    def __init__(self, kind, word, note):
        self.kind, self.word, self.note = kind, word, note

    def told(self):
        return f"{self.kind} {self.word} {self.note}"
"""
TABLES = """\
NOTES = {
    "one": "the first note of a module",
    "two": "the second note of a module",
    "canary-word": "CANARY-MODULE of March",
    "canary-other": "CANARY-MODULE of April",
}
"""
TESTS = """\
import csv
import json
from pathlib import Path

import pytest
import yaml

from app import route
from tables import NOTES
from tickets import Slotted, Ticket

held_out = pytest.mark.gepa(split="holdout")
DATA = Path(__file__).parent / "data"
LONG = (DATA / "long.dat").read_text()
CASES = [
    Ticket("animal", "one", "the first ticket"),
    pytest.param(Ticket("animal", "w2", "CANARY-ONE the invoice of March is wrong"), marks=held_out),
    Slotted("animal", "w3", "the third ticket"),
    pytest.param(Slotted("animal", "w4", "CANARY-SLOT the invoice of April is wrong"), marks=held_out),
]
CHECKS = [
    lambda answer: "ANI" in answer or "the first check" in answer,
    pytest.param(lambda answer: "CANARY-CHECK in a lambda" in answer, marks=held_out),
]
IDS = ["one", "two", *(pytest.param(name, marks=held_out) for name in ("canary-word", "canary-other"))]
FILES = [path if "canary" not in path.name else pytest.param(path, marks=held_out)
         for path in sorted((DATA / "each").iterdir())]


def everything():
    tables = [
        json.loads((DATA / "gold.json").read_text()),
        [json.loads(line) for line in (DATA / "gold.jsonl").read_text().splitlines()],
        yaml.safe_load((DATA / "gold.yaml").read_text()),
        list(csv.DictReader((DATA / "gold.csv").open())),
        (DATA / "gold.txt").read_text().splitlines(),
        [path.read_text() for path in sorted((DATA / "each").iterdir())],
        NOTES,
    ]
    tickets = [getattr(case, "values", [case])[0].told() for case in CASES]
    checks = [getattr(check, "values", [check])[0].__code__.co_consts for check in CHECKS]
    return [*tables, tickets, checks]


def told_of(gepa, *more):
    seen = [*everything(), *more]
    print(*seen)
    gepa.log("everything", seen)
    return seen


@pytest.mark.parametrize("case", CASES)
def test_ticket(case, gepa):
    assert route(case.kind, case.word) == f"{case.word}-ANI", told_of(gepa)


@pytest.mark.parametrize("check", CHECKS)
def test_check(check, gepa):
    answer = route("animal", "w")
    told_of(gepa)
    assert check(answer)


@pytest.mark.parametrize("name", IDS)
def test_by_id(name, gepa):
    assert route("animal", name) == f"{name}-ANI", told_of(gepa)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file(path, gepa):
    assert route("animal", path.stem) == f"{path.stem}-ANI", told_of(gepa)


@pytest.mark.parametrize("text", ["a text", pytest.param(LONG, marks=held_out, id="long")])
def test_long(text, gepa):
    assert route("animal", "x") == "x-ANI", LONG[-200:]
"""


def gold(form: str) -> dict[str, str]:
    return {
        name: f"CANARY-{form} the answer of {name}" if "canary" in name else f"the {form} answer of {name}"
        for name in IDS
    }


def data() -> dict[str, str]:
    """One file for each form, with a row for each id."""
    return {
        "gold.json": json.dumps({"cases": gold("json")}),
        "gold.jsonl": "\n".join(json.dumps({"id": id, "gold": text}) for id, text in gold("jsonl").items()),
        "gold.yaml": "".join(f"- {{name: {id}, more: {{text: {text}}}}}\n" for id, text in gold("yaml").items()),
        "gold.csv": "id,gold\n" + "".join(f'{id},"{text}, in a row"\n' for id, text in gold("csv").items()),
        "gold.txt": "".join(f"{id}: {text}\n" for id, text in gold("txt").items()),
        **{f"each/{id}.md": f"# A case\n\n{text}\n" for id, text in gold("md").items()},
        "long.dat": LONG,
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    for project in new_project(tmp_path_factory.mktemp("sources") / "project"):
        files = {f"data/{name}": text for name, text in data().items()}
        project.write({"tickets.py": TICKETS, "tables.py": TABLES, "test_route.py": TESTS, **files})
        yield project.optimize("--gepa-trials=1", "-vv", "--showlocals")


@pytest.mark.parametrize(
    "canary",
    [
        "CANARY-ONE the invoice of March",
        "CANARY-SLOT the invoice of April",
        "CANARY-CHECK in a lambda",
        "CANARY-MODULE of March",
        *(f"CANARY-{form}" for form in FORMS),
        TAIL,
        "word3999",
        "canary",
    ],
)
def test_no_canary_of_a_held_out_case_reaches_a_reflection(run: Run, canary: str) -> None:
    assert run.code == 0, run.everything
    assert run.reflections
    for request in run.reflections:
        assert canary not in told(request)


def test_words_are_not_cut_out_of_other_words(run: Run) -> None:
    """The id of the case with the long value is `long`."""
    assert any("def test_long(text, gepa)" in told(request) for request in run.reflections)


@pytest.mark.parametrize(
    "piece",
    [
        "the first ticket",
        "the third ticket",
        "the first check",
        "the first note of a module",
        *(f"the {form} answer of one" for form in FORMS),
    ],
)
def test_what_search_cases_show_of_themselves_is_still_there(run: Run, piece: str) -> None:
    assert any(piece in told(request) for request in run.reflections)
