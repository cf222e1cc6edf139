"""The passages of a long text that are about a case."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.reflect.nearby import MOST, nearby

ROWS = [f"SKU-{number:04d} | lamp, blue | {number * 7} in stock" for number in range(400)]


def test_the_row_that_a_question_names_is_found_in_a_table_and_in_one_line() -> None:
    for table in ("\n".join(ROWS), "; ".join(ROWS)):
        found = nearby(table, "How many of SKU-0233 are there?")
        assert "SKU-0233 | lamp, blue | 1631 in stock" in found
        assert len(found) < 300


def test_rows_that_stand_apart_are_told_apart_and_those_beside_each_other_together() -> None:
    found = nearby("\n".join(ROWS), "SKU-0010, SKU-0011 and SKU-0300")
    assert found.count("\n...\n") == 1
    assert all(code in found for code in ("SKU-0010", "SKU-0011", "SKU-0300"))


def test_a_short_text_and_what_stands_everywhere_are_not_looked_at() -> None:
    assert nearby("\n".join(ROWS[:20]), "SKU-0011") == ""
    assert nearby("\n".join(f"{row}, day 2024" for row in ROWS), "in the year 2024") == ""
    assert nearby("\n".join(ROWS), "which lamp is blue?") == ""


@given(st.lists(st.integers(0, 399), min_size=1, max_size=40), st.sampled_from(["\n", "; "]))
def test_each_row_that_is_named_is_there_as_long_as_there_is_room(numbers: list[int], between: str) -> None:
    table = between.join(ROWS)
    found = nearby(table, " ".join(f"SKU-{number:04d}" for number in numbers))
    assert f"SKU-{min(numbers):04d}" in found
    assert all(passage in table for passage in found.split("\n...\n"))
    assert len(found) <= MOST + len("\n...\n") * 10
    if len(set(numbers)) <= 4:
        assert all(f"SKU-{number:04d}" in found for number in numbers)


def test_of_much_that_is_said_of_a_long_text_the_first_is_told() -> None:
    invoices = [f"INV-{number:06d} 2024-01-02 {number}.57" for number in range(20_000)]
    assert nearby("\n".join(invoices), "\n".join(invoices[:5_000])).startswith("INV-000000")
    assert nearby("x" * 100_000, "A" * 100_000) == ""
