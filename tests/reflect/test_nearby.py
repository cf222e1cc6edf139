"""The passages of a long text that are about a case."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.reflect.nearby import nearby

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


@given(st.text(max_size=3_000), st.text(max_size=200))
def test_nothing_is_told_that_is_not_there(text: str, about: str) -> None:
    found = nearby(text, about)
    assert all(passage in text for passage in found.split("\n...\n")) or "\n...\n" in text
