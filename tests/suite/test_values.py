"""Which texts are inside a parameter's value, whatever kind of object it is."""

from __future__ import annotations

import enum
import functools
from collections import OrderedDict
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from fractions import Fraction
from http import HTTPStatus
from http.client import HTTPMessage
from ipaddress import IPv4Address, ip_address, ip_interface, ip_network
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.suite.values import tells, texts_by_case, texts_in


class Plain:
    def __init__(self, *values: object) -> None:
        self.values = values
        self.__hidden = "hidden"

    @property
    def asked(self) -> str:
        raise AssertionError("no property is asked")

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"no attribute is asked for: {name}")


class Slotted:
    __slots__ = ("__private", "empty", "text")

    def __init__(self, text: str) -> None:
        self.text, self.__private = text, "private"


class SlottedBelow(Slotted):
    __slots__ = "more"

    def __init__(self) -> None:
        super().__init__("above")
        self.more = "below"


@dataclass
class Record:
    text: str
    number: int = 12


class Pair(NamedTuple):
    one: str
    two: bytes


class Colour(enum.Enum):
    red = "a colour"


class Queue(str, enum.Enum):
    access = "an access"


class Right(enum.Flag):
    read = 1024


class Loud(Decimal):
    def __str__(self) -> str:
        raise AssertionError("no code of a number is called")


@dataclass(repr=False)
class Bill:
    due: date
    total: Decimal
    id: UUID
    queue: Colour
    senders: list[IPv4Address]


class Word(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise AssertionError("no code of a text is called")


def closure(text: str) -> Any:
    return lambda answer, other="a default": text in answer and "a constant" in other


def cyclic() -> Plain:
    made = Plain("a text")
    made.values = (made, "a text", [made])
    return made


class Broken(dict[str, str]):
    def items(self) -> Any:
        raise RuntimeError("not now")


VALUES: list[tuple[object, set[str]]] = [
    ("a text", {"a text"}),
    (Word("a word"), {"a word"}),
    (b"some bytes", {"some bytes"}),
    ([1, 2.5, True, None, ("x", {"y"})], {"1", "2.5", "x", "y"}),
    (OrderedDict(key={"inner": "text"}), {"key", "inner", "text"}),
    (Plain("one", [Plain("two")]), {"one", "two", "hidden"}),
    (Slotted("a text"), {"a text", "private"}),
    (SlottedBelow(), {"above", "below", "private"}),
    (Record("a text"), {"a text", "12"}),
    (Pair("one", b"two"), {"one", "two"}),
    (Colour.red, {"red", "a colour"}),
    (Queue.access, {"access", "an access"}),
    (Right.read, {"read", "1024"}),
    (date(2031, 7, 14), {"2031-07-14"}),
    (datetime(2031, 7, 14, 18, 45), {"2031-07-14 18:45:00", "2031-07-14T18:45:00"}),
    (time(18, 45), {"18:45:00"}),
    (Decimal("98231.55"), {"98231.55"}),
    (Loud("1.50"), {"1.50"}),
    (Fraction(2, 3), {"2/3"}),
    (UUID(int=5), {"00000000-0000-0000-0000-000000000005"}),
    ([ip_address("10.2.3.4"), ip_address("::1")], {"10.2.3.4", "::1"}),
    (ip_interface("10.2.3.4/24"), {"10.2.3.4/24"}),
    (ip_network("10.2.3.0/24"), {"10.2.3.0/24"}),
    (
        Bill(date(2029, 7, 14), Decimal("98231.55"), UUID(int=7), Colour.red, [IPv4Address("10.2.3.4")]),
        {
            "2029-07-14",
            "98231.55",
            "00000000-0000-0000-0000-000000000007",
            "red",
            "a colour",
            "10.2.3.4",
        },
    ),
    (SimpleNamespace(text="short"), {"short"}),
    (PurePosixPath("data/one.txt"), {"data/one.txt"}),
    (closure("a cell"), {"a cell", "a default", "a constant"}),
    (functools.partial(closure, "an argument"), {"an argument"}),
    (Slotted("a bound object").__class__, set()),
    (10**5_000, set()),
    (Broken(a="b"), set()),
    (HTTPStatus.NOT_FOUND, set()),
    (cyclic(), {"a text", "hidden"}),
]


@pytest.mark.parametrize(("value", "texts"), VALUES, ids=map(str, range(len(VALUES))))
def test_the_texts_of_a_value(value: object, texts: set[str]):
    found = {text for text in texts_in(value) if not text.startswith(("closure", "answer"))}
    assert texts <= found if callable(value) and texts else found == texts


def test_a_bound_method_has_the_texts_of_its_object():
    assert "a text" in set(texts_in(Slotted("a text").__init__))


def test_of_a_librarys_object_only_sentences_count():
    message = HTTPMessage()
    message["Subject"] = "the invoice of March is wrong"
    message["X"] = "utf-8"
    assert set(texts_in(message)) == {"the invoice of March is wrong"}


def test_of_a_text_that_is_too_long_both_ends_are_kept():
    (found,) = texts_in("a" * 50 + "b" * 50 + "c" * 50, longest=40)
    assert found == "a" * 20 + "\n" + "c" * 20


def test_there_is_an_end_to_it():
    assert len(list(texts_in([str(n) for n in range(100_000)]))) < 100_000


trees = st.recursive(st.text(min_size=1), lambda inner: st.lists(inner) | st.dictionaries(st.text(min_size=1), inner))


def leaves(value: Any) -> set[str]:
    if isinstance(value, str):
        return {value}
    parts = [*value, *value.values()] if isinstance(value, dict) else value
    return set().union(*map(leaves, parts))


@given(trees)
def test_every_text_of_plain_data_is_found(value: Any):
    assert set(texts_in(value)) == leaves(value)
    assert set(texts_in(Plain(value))) == leaves(value) | {"hidden"}


@pytest.mark.parametrize(
    ("text", "does"), [("billing", False), ("a word", False), ("three of them", True), ("x" * 24, True)]
)
def test_which_texts_tell(text: str, does: bool):
    assert tells(text) is does


class Row:
    def __init__(self, table: list[Any], text: str) -> None:
        self.table, self.text = table, text
        table.append(self)


def texts_of(first: object, second: object) -> tuple[set[str], set[str]]:
    """Those of two cases with one parameter each, of which the second is held out."""

    found = texts_by_case({"first": [first], "second": [second]}, {"second"})
    return set(found["first"]), set(found["second"])


def test_what_a_search_case_leads_to_by_way_of_a_held_out_one_is_not_its_own():
    table: list[Row] = []
    own, theirs = texts_of(Row(table, "one"), Row(table, "two"))
    assert (own, theirs) == ({"one"}, {"one", "two"})
    first, second = Plain("one"), Plain("two")
    first.values = ("one", second)
    assert texts_of(first, second)[0] == {"one", "hidden"}


def test_what_checks_close_over_is_nobodys_own_where_it_is_a_table_of_all():
    def check(rows: list[tuple[str, str]], at: int) -> Any:
        return lambda answer: answer == rows[at]

    rows = [("one", "1"), ("two", "2")]
    own, theirs = texts_of(check(rows, 0), check(rows, 1))
    assert "two" not in own
    assert "two" in theirs


def test_members_of_an_enum_and_dates_make_no_table_of_records():
    labels = [Queue.access, Colour.red, date(2031, 7, 14)]
    own, _ = texts_of(["one", labels], Plain(labels))
    assert own == {"one", "access", "an access", "red", "a colour", "2031-07-14"}


def test_what_all_cases_have_in_common_is_every_ones():
    labels, rubric = ["billing", "fault"], Plain("be polite")
    own, _ = texts_of(["one", labels, rubric], ["two", labels, rubric])
    assert own == {"one", "billing", "fault", "be polite", "hidden"}
    assert "be polite" in texts_of(rubric, rubric)[0]
