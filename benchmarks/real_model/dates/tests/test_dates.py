"""A dozen dates, each to be put in ISO form."""

from __future__ import annotations

import app
import pytest

CASES = [
    ("The meeting took place on March 4, 2021 in Lyon.", "2021-03-04"),
    ("Invoice issued 17 June 2019, payable at once.", "2019-06-17"),
    ("She was born on 2 November 1987.", "1987-11-02"),
    ("The contract ends on December 31, 2024.", "2024-12-31"),
    ("Delivered on 9 May 2022 by courier.", "2022-05-09"),
    ("The annual report appeared on February 28, 2020.", "2020-02-28"),
    ("Our shop opened on 1 August 2015.", "2015-08-01"),
    ("They moved out on October 12, 2018.", "2018-10-12"),
    ("The warranty runs until 23 January 2026.", "2026-01-23"),
    ("The storm hit the coast on September 7, 2017.", "2017-09-07"),
    ("Signed in Oslo on 30 April 2023.", "2023-04-30"),
    ("The law came into force on July 15, 2016.", "2016-07-15"),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_date_is_in_iso_form(text: str, expected: str) -> None:
    answer = app.date_in(text)
    assert answer == expected, f"expected exactly {expected!r}, the answer was {answer!r}"
