"""Cases that want JSON: what they give, and what their answer should be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.optimize.optimization import make_guard
from pytest_gepa.prompts.leaks import CaseText, Leaks, case_values
from pytest_gepa.prompts.pairs import json_pair
from pytest_gepa.suite.rollout import Case

SOURCE = "def test_sum(text, wanted):\n    assert json.loads(answer(text)) == wanted\n"
WANTED = {"amount": 40, "currency": "USD"}
TEXT = "We paid $40 for the taxi."


def pair(*values: Any, source: str = SOURCE) -> tuple[str, str] | None:
    return json_pair([(f"p{at}", repr(value)) for at, value in enumerate(values)], source)


def test_the_object_that_is_wanted_is_told_as_json() -> None:
    assert pair(TEXT, WANTED) == (TEXT, '{"amount": 40, "currency": "USD"}')
    assert pair(WANTED) == ("", '{"amount": 40, "currency": "USD"}')
    assert pair("one", "two", ["Ü", None]) == ("", '["Ü", null]')


@pytest.mark.parametrize("values", [(TEXT, "USD"), (TEXT, WANTED, {"b": 2}), (TEXT, {}), (TEXT, {1: "one"}), (TEXT,)])
def test_where_it_is_not_plain_what_is_wanted_nothing_is_told(values: tuple[Any, ...]) -> None:
    assert pair(*values) is None


def test_a_test_that_reads_no_json_wants_none() -> None:
    assert pair(TEXT, WANTED, source="def test_sum(text, wanted):\n    assert parse(text) == wanted\n") is None


def test_the_body_of_a_response_is_no_answer_of_a_model() -> None:
    call = 'client.post("/sum", json={"text": text}).json()'
    assert pair(TEXT, WANTED, source=f"def test_sum(text, wanted):\n    assert {call} == wanted\n") is None


def test_what_is_no_plain_data_is_left_alone() -> None:
    assert json_pair([("text", repr(TEXT)), ("wanted", "<Order object at 0x7f>")], SOURCE) is None
    assert json_pair([("text", repr(TEXT)), ("wanted", "{'at': {1, 2}}")], SOURCE) is None


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=5,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_it_reads_back_as_what_is_wanted(wanted: dict[str, Any]) -> None:
    found = pair(TEXT, wanted)
    assert found is not None
    assert json.loads(found[1]) == wanted


def leaks(text: str = TEXT) -> Leaks:
    values = (text, "amount", "40", "currency", "USD")
    return Leaks([CaseText("c", values, pair=json_pair([("t", repr(text)), ("w", repr(WANTED))], SOURCE))], [""])


def test_a_case_gives_what_it_was_seen_to_send() -> None:
    known = leaks()
    assert known.pair("c") is None
    known.learn({"c": [f"{TEXT}\n", "another"]})
    assert known.pair("c") == (TEXT, '{"amount": 40, "currency": "USD"}')
    known.learn({"c": ["Read the note: paid, taxi, forty."]})
    assert known.pair("c") == ("Read the note: paid, taxi, forty.", '{"amount": 40, "currency": "USD"}')


def test_an_object_that_is_sent_is_not_what_is_wanted() -> None:
    known = leaks()
    known.learn({"c": [f"Check this: {json.dumps(WANTED)}"]})
    assert known.pair("c") is None


PROMPT = "Sum up what was paid, as JSON with amount and currency.\nNote: {note}\nDate: {date}"
NOTE, DATE = "Taxi to the fair, 40 in all", "the third of May"


@pytest.mark.parametrize(
    ("values", "told"),
    [((DATE, NOTE), f"{NOTE}\n{DATE}"), ((DATE, "not sent"), DATE), (("neither", "nor this"), None)],
)
def test_of_a_prompt_that_is_filled_in_only_what_the_case_has_put_there_is_given(
    values: tuple[str, str], told: str | None
) -> None:
    parameters = [("date", repr(values[0])), ("note", repr(values[1])), ("wanted", repr(WANTED))]
    case = CaseText("c", case_values(parameters, SOURCE), pair=json_pair(parameters, SOURCE))
    known = Leaks([case], [PROMPT])
    known.learn({"c": [PROMPT.format(note=NOTE, date=DATE)]})
    assert known.pair("c") == (None if told is None else (told, '{"amount": 40, "currency": "USD"}'))


@pytest.mark.parametrize("read", ["json.loads(route(ticket))", "json.loads(reply)"])
def test_an_object_that_is_given_to_what_answers_is_not_what_is_wanted(read: str) -> None:
    source = f'def test(ticket, queue):\n    reply = route(ticket)\n    assert {read}["queue"] == queue\n'
    ticket = {"subject": "A parcel", "body": "Where is it?"}
    assert json_pair([("ticket", repr(ticket)), ("queue", "'billing'")], source) is None


@pytest.mark.parametrize(
    ("condition", "value"),
    [
        ("value not in answer(text)", "card number"),
        ("len(answer(text).split()) <= value", 50),
        ("value.lower() not in answer(text).lower()", "A secret"),
        ("answer(text) != value", "unknown"),
        ("value == answer(text)", None),
    ],
)
def test_what_a_test_rules_out_or_counts_is_no_answer(condition: str, value: object) -> None:
    wanted = "billing" if value is None else value
    source = f"def test_sum(text, value):\n    assert {condition}\n"
    case = Case("t.py::t", "t.py::t", source, (("text", repr(TEXT)), ("value", repr(wanted))))
    guard = make_guard([], [case])
    guard.learn({case.id: [TEXT]})
    assert guard.pair(case.id) == ((TEXT, "billing") if value is None else None)


def test_what_a_fixture_asked_for_several_cases_is_the_input_of_none() -> None:
    source = "def test_flash(labels):\n    assert labels[1] == 'preliminary'\n"
    case = Case("t.py::t", "t.py::t", source)
    guard = make_guard([], [case])
    guard.learn({case.id: ["A flash estimate."]})
    assert guard.pair(case.id) == ("A flash estimate.", "preliminary")
    guard.learn({case.id: []}, shared={case.id: ["A forecast.", "A flash estimate."]})
    assert guard.pair(case.id) is None
    assert not guard.holds_input("A forecast. A flash estimate.", case.id)


@pytest.mark.parametrize("part", ["verdict['grade']", "verdict.get('grade')", "verdict.get('grade', 0.5)"])
def test_the_name_of_a_part_of_an_answer_is_no_answer(part: str) -> None:
    source = f"def test_summary(gepa):\n    verdict = judge(summary())\n    gepa.score({part})\n"
    case = Case("t.py::t", "t.py::t", source)
    guard = make_guard([], [case])
    guard.learn({case.id: ["Summarise this."]})
    assert guard.pair(case.id) is None
