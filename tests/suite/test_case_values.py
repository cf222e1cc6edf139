from __future__ import annotations

from datetime import datetime
from pathlib import Path
from uuid import uuid4

import pytest

from pytest_gepa.errors import SetupError
from pytest_gepa.suite.case_values import check_values, values_digest


def told(here: list[dict[str, object]], there: list[dict[str, object]]) -> str:
    """What is said of cases of one function with these parameters here and in a child session."""
    mine, theirs = (
        {f"test_a.py::test_it[{number}]": values_digest(one) for number, one in enumerate(every)}
        for every in (here, there)
    )
    try:
        check_values(mine, theirs, {"test_a.py::test_it[0]": "test_a.py::test_it[the first]"})
    except SetupError as error:
        return str(error)
    return ""


ROWS: list[dict[str, object]] = [{"row": {"text": text, "n": 1}} for text in ("apple", "pear", "plum", "fig")]


def test_rows_in_another_order_are_told_with_the_mend() -> None:
    said = told(ROWS, ROWS[::-1])
    assert said.startswith("cases differ from process to process: test_a.py::test_it[the first], ")
    assert "test_it[1], test_a.py::test_it[2] and 1 more; " in said
    assert "seed the sample" in said


def test_other_prose_is_told_though_nothing_of_it_is_known_here() -> None:
    assert told([{"text": "Where is my parcel?"}], [{"text": "I want my money back."}])


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ({"text": "the same text"}, {"text": "the same text"}),
        ({"text": f"order {uuid4()} is late"}, {"text": f"order {uuid4()} is late"}),
        ({"text": "written in /tmp/pytest-1/a there"}, {"text": "written in /tmp/pytest-2/a there"}),
        ({"at": str(datetime(2026, 1, 2))}, {"at": str(datetime(2027, 3, 4))}),
        ({"token": "xKqpZr"}, {"token": "LmWvYt"}),
        ({"place": Path("a b")}, {"place": Path("c d")}),
        ({"of": {"a b", "c d"}}, {"of": {"e f"}}),
        ({"call": [print, "a word"]}, {"call": [len, "another word"]}),
        ({"n": 1, "x": [0.5, None]}, {"n": 2, "x": [1.5, True]}),
        ({}, {}),
    ],
)
def test_what_differs_by_nature_is_no_alarm(here: dict[str, object], there: dict[str, object]) -> None:
    assert told([here], [there]) == ""


def test_a_case_that_is_known_on_one_side_only_is_passed_over() -> None:
    assert told(ROWS, ROWS[:2]) == told(ROWS[:2], ROWS) == ""


def test_a_container_that_holds_itself_says_nothing() -> None:
    endless: list[object] = ["text"]
    endless.append(endless)
    assert values_digest({"endless": endless}) == ""
