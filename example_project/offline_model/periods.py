"""Dates and reporting periods in a disclosure: finding and reading them, and their label in the sheet."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date

_MONTHS = {name.lower(): index for index, name in enumerate(calendar.month_name) if name}
_MONTH = rf"(?:{'|'.join(name for name in calendar.month_name if name)})"
_DAY = rf"(?:\d{{1,2}} {_MONTH}|{_MONTH} \d{{1,2}})"
DATE = (
    rf"(?:\d{{1,2}} {_MONTH} \d{{4}}|{_MONTH} \d{{1,2}}, \d{{4}}"
    r"|\d{1,2}/\d{1,2}/\d{4}|\d{1,2}\.\d{1,2}\.\d{4}|\d{4}-\d\d-\d\d)"
)
YEAR = r"(?<![\d.,/])(?:19|20)\d\d(?![\d/]|[.,]\d)"
_SPAN = (
    r"(?:year|5[23] weeks|twelve months|12 months|quarter|three months|1[34] weeks|half-year|half year"
    r"|six months|2[67] weeks)"
)
_ENDED = r"(?:ended|to|ending)"
_ORDINAL = r"(?:first|second|third|fourth)"
_COMPANY_YEAR = rf"(?:fiscal|financial)(?: year)? {YEAR}"
_CLOSE = rf"(?:,? \(?(?:which )?{_ENDED} {DATE}\)?)?"
PERIOD = re.compile(
    rf"{_ORDINAL} (?:quarter|half) of (?:{_COMPANY_YEAR}|{YEAR}){_CLOSE}|{_COMPANY_YEAR}{_CLOSE}"
    rf"|{_SPAN} {_ENDED} {DATE}|(?:full[- ]year|calendar year|year) {YEAR}|[QH][1-4] {YEAR}|{DATE}|{YEAR}",
    re.IGNORECASE,
)
PERIOD_TOKEN = re.compile(rf"{DATE}|{_DAY}|{YEAR}", re.IGNORECASE)
SPAN_HEADING = re.compile(rf"{_SPAN} {_ENDED}(?: {_DAY})?(?! ?,? ?\d)", re.IGNORECASE)
_DEFINITION = re.compile(
    rf"(?:fiscal|financial) year (?:ends|runs to|closes|ending)(?: on)?(?: the)? (?P<day>{_DAY})",
    re.IGNORECASE,
)
_NUMBERS = {"first": 1, "second": 2, "third": 3, "fourth": 4}


@dataclass(frozen=True, slots=True)
class Period:
    """What a text says of a period: `kind` is "year", "half", "quarter" or "date".

    `named_year` and `part` are the company's own label (third quarter of fiscal 2019: 2019 and 3), `end` the
    last day where the text or a definition of the fiscal year tells it.
    """

    kind: str
    named_year: int | None = None
    part: int | None = None
    end: date | None = None


def read_period(text: str, excerpt: str, order: str) -> Period | None:
    """Read a period as printed. `order`, "day" or "month", says what comes first in a numeric date."""
    words = text.lower()
    found_date = re.search(DATE, text, re.IGNORECASE)
    end = read_date(found_date.group(), order) if found_date else None
    rest = text.replace(found_date.group(), " ") if found_date else text
    found_year = re.search(YEAR, rest)
    year = int(found_year.group()) if found_year else None
    kind = _kind(words, has_date=end is not None)
    part = next(
        (value for name, value in _NUMBERS.items() if f"{name} quarter" in words or f"{name} half" in words),
        None,
    )
    if short := re.search(r"\b[qh]([1-4])\b", words):
        part = int(short[1])
    if end is None and year is not None:
        day = re.search(_DAY, rest, re.IGNORECASE)
        if day:  # "year ended 31 March", the year from the column
            return Period(kind, end=_on(day.group(), year))
        if "fiscal" in words or "financial" in words:
            end = _defined_end(excerpt, year, kind, part)
    if end is None and year is None:
        return None
    return Period(kind, year, part, end)


def _kind(words: str, *, has_date: bool) -> str:
    if re.search(r"quarter|three months|1[34] weeks|\bq[1-4]\b", words):
        return "quarter"
    if re.search(r"half|six months|2[67] weeks|\bh[12]\b", words):
        return "half"
    return "date" if has_date and not re.search(r"year|weeks|months|fiscal", words) else "year"


def label(period: Period) -> str:
    """The sheet's label by the company's own name for the period, by its last day where it has none."""
    if period.kind == "date" and period.end:
        return period.end.isoformat()
    if period.named_year is None:
        return label_by_end(period)
    if period.kind == "year":
        return f"FY{period.named_year}"
    letter = "Q" if period.kind == "quarter" else "H"
    return f"{period.named_year}-{letter}{period.part}"


def label_by_end(period: Period) -> str:
    """The sheet's label by the calendar date on which the period ends; `label` where that is not known."""
    end = period.end
    if end is None:
        return label(period)
    if period.kind == "date":
        return end.isoformat()
    if period.kind == "year":
        return f"FY{end.year}"
    if period.kind == "quarter":
        return f"{end.year}-Q{(end.month - 1) // 3 + 1}"
    return f"{end.year}-H{1 if end.month <= 6 else 2}"


def read_date(text: str, order: str) -> date | None:
    """Read a date in any of the printed forms; None when there is no such day."""
    if "/" in text:
        first, second, year = (int(piece) for piece in text.split("/"))
        day, month = (first, second) if order == "day" else (second, first)
        return _day(year, month, day) or _day(year, day, month)
    if "." in text:
        day, month, year = (int(piece) for piece in text.split("."))
        return _day(year, month, day)
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return _day(*(int(piece) for piece in text.split("-")))
    return _on(text, int(text[-4:]))


def end_of_token(text: str) -> date:
    """A date by which the headings of columns can be ordered."""
    found = re.search(DATE, text, re.IGNORECASE)
    if found and (day := read_date(found.group(), "day")):
        return day
    year = re.search(YEAR, text)
    return date(int(year.group()), 12, 31) if year else date.min


def _on(text: str, year: int) -> date | None:
    month = next((index for name, index in _MONTHS.items() if name in text.lower()), None)
    day = re.search(r"\b\d{1,2}\b", text)
    return _day(year, month, int(day.group())) if month and day else None


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _defined_end(excerpt: str, year: int, kind: str, part: int | None) -> date | None:
    """The last day of a fiscal period, where the excerpt says when the fiscal year ends."""
    found = _DEFINITION.search(excerpt)
    close = _on(found["day"], year) if found else None
    if close is None or kind == "year" or part is None:
        return close
    months = close.year * 12 + close.month - 1 - ((4 - part) * 3 if kind == "quarter" else (2 - part) * 6)
    year, month = divmod(months, 12)
    return date(year, month + 1, calendar.monthrange(year, month + 1)[1])
