"""Dates, each to be put in ISO form."""

from __future__ import annotations

import app
import pytest

SEARCH = [
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
    ("The ferry service was stopped on 11 March 2013.", "2013-03-11"),
    ("Please answer by January 19, 2025.", "2025-01-19"),
    ("The bridge was closed for repairs on June 6, 2011.", "2011-06-06"),
    ("His passport expires on 14 February 2029.", "2029-02-14"),
    ("The museum reopened on May 25, 2014 after a fire.", "2014-05-25"),
    ("Last inspected: 8 October 2020.", "2020-10-08"),
    ("The first issue was printed on April 2, 1998.", "1998-04-02"),
    ("Rent is due from 1 December 2023 on.", "2023-12-01"),
    ("The comet was seen on the night of August 16, 2009.", "2009-08-16"),
    ("We received your letter of 27 July 2021.", "2021-07-27"),
    ("The orchestra last played here on November 5, 2012.", "2012-11-05"),
    ("Tickets go on sale on 3 September 2027.", "2027-09-03"),
    ("The patent was granted on January 29, 2008.", "2008-01-29"),
    ("The well ran dry on 20 August 2003.", "2003-08-20"),
    ("A new mayor was elected on October 26, 2016.", "2016-10-26"),
    ("The lease was renewed on 13 May 2018 for two years.", "2018-05-13"),
    ("Flight cancelled: April 18, 2010.", "2010-04-18"),
    ("The archive begins on 10 December 1975.", "1975-12-10"),
]

HELD_OUT = [
    ("The school trip is planned for June 22, 2026.", "2026-06-22"),
    ("Blood sample taken on 4 February 2019.", "2019-02-04"),
    ("The company was founded on September 30, 1994.", "1994-09-30"),
    ("The tenants must leave by 15 March 2024.", "2024-03-15"),
    ("A truce was announced on November 21, 2015.", "2015-11-21"),
    ("The last tram ran on 6 July 1961.", "1961-07-06"),
    ("The samples were shipped on January 8, 2022.", "2022-01-08"),
    ("The jury will meet again on 24 October 2025.", "2025-10-24"),
    ("The roof was damaged on December 9, 2007.", "2007-12-09"),
    ("Applications close on 31 May 2028.", "2028-05-31"),
    ("The lighthouse was lit again on August 3, 2013.", "2013-08-03"),
    ("He retired on 28 April 2017.", "2017-04-28"),
    ("The parcel was lost on February 11, 2021.", "2021-02-11"),
    ("The treaty was signed on 7 September 1951.", "1951-09-07"),
    ("Our next audit starts on March 16, 2030.", "2030-03-16"),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [*SEARCH, *(pytest.param(*case, marks=pytest.mark.gepa(split="holdout")) for case in HELD_OUT)],
)
def test_date_is_in_iso_form(text: str, expected: str) -> None:
    answer = app.answer(text)
    assert answer == expected, f"expected exactly {expected!r}, the answer was {answer!r}"
