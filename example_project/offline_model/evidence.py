"""What a failing case shows: the convention that would explain why a field differs from what was expected.

Only what stands in a reflection request is used: the failure text, the excerpt and the steps' answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from offline_model.disclosure import (
    IS_EARLY,
    IS_PRO_FORMA,
    LOOKS_AHEAD,
    Mention,
    find_mentions,
    parent_and_subsidiary,
)
from offline_model.figures import SCALES, find_amounts, heading_scale, joined_range, named_dollar, number
from offline_model.periods import read_date

_FISCAL = re.compile(r"\b(?:fiscal|financial year)\b", re.IGNORECASE)
_NUMERIC_DATE = re.compile(r"\b\d{1,2}/\d{1,2}/\d{4}\b")
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_FACTORS = (Decimal(10**3), Decimal(10**6), Decimal(10**9))


@dataclass(frozen=True, slots=True)
class Failure:
    """A failing case as a request tells it: `wrong` maps fields to (expected, got)."""

    name: str
    item: str
    excerpt: str
    wrong: dict[str, tuple[str, str]]
    figure: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A convention that would explain a wrong field.

    `form` is "plain" when the convention is missing, "careful" when it was applied too widely, and "wrong"
    when `key` is a mistaken idea that must go.
    """

    key: str
    form: str
    field: str


def findings(failure: Failure, stage: str) -> list[Finding]:
    """What the failure says about the prompt of one stage; nothing when another stage is to blame."""
    if not failure.excerpt or not failure.wrong:
        return []
    if stage == "classify":
        return [*_about_status(failure), *_about_entity(failure)]
    if stage == "extract":
        return list(_about_figure(failure))
    return [*_about_value(failure), *_about_currency(failure), *_about_period(failure)]


def extraction_is_to_blame(failure: Failure) -> bool:
    """Whether the wrong figure was copied from the excerpt, so that what was made of it says little."""
    if "value" not in failure.wrong or not failure.figure:
        return False
    expected = _decimal(failure.wrong["value"][0])
    return expected is not None and not _may_mean(failure.figure, expected)


def _about_status(failure: Failure) -> Iterator[Finding]:
    expected, got = failure.wrong.get("status", ("", ""))
    if expected == "guidance" and LOOKS_AHEAD.search(failure.excerpt):
        yield Finding("guidance", "plain", "status")
    if expected == "preliminary" and IS_EARLY.search(failure.excerpt):
        yield Finding("preliminary", "plain", "status")
    if expected == "pro forma" and IS_PRO_FORMA.search(failure.excerpt):
        yield Finding("pro forma", "plain", "status")
    if got == "preliminary" and re.search(r"unaudited", failure.excerpt, re.IGNORECASE):
        yield Finding("every unaudited", "wrong", "status")
    if got == "guidance" and re.search(r"expectation", failure.excerpt, re.IGNORECASE):
        yield Finding("any expectation", "wrong", "status")


def _about_entity(failure: Failure) -> Iterator[Finding]:
    parent, subsidiary = parent_and_subsidiary(failure.excerpt)
    expected = failure.wrong.get("entity", ("", ""))[0]
    if expected and expected in (parent, subsidiary):
        yield Finding("entity", "plain" if expected == parent else "careful", "entity")


def _about_figure(failure: Failure) -> Iterator[Finding]:
    if not extraction_is_to_blame(failure):
        if "period" in failure.wrong and "value" not in failure.wrong:
            yield from _about_alignment(failure)
        return
    expected = _decimal(failure.wrong["value"][0]) or Decimal(0)
    mentions = find_mentions(failure.item, failure.excerpt)
    places = [(mention, index) for mention in mentions for index in range(len(mention.amounts))]
    got = next((place for place in places if place[0].printed(place[1]) == failure.figure), None)
    wanted = next((place for place in places if _may_mean(place[0].printed(place[1]), expected)), None)
    if got and wanted:
        for key, form in _why_not(got, wanted):
            yield Finding(key, form, "value")


def _about_alignment(failure: Failure) -> Iterator[Finding]:
    """The right figure under the wrong heading, in a row that opens with a note reference."""
    for mention in find_mentions(failure.item, failure.excerpt):
        if mention.has_note_column and any(amount.text == failure.figure for amount in mention.amounts[1:]):
            yield Finding("notes", "plain", "period")
            return


def _why_not(got: tuple[Mention, int], wanted: tuple[Mention, int]) -> tuple[tuple[str, str], ...]:
    """The convention by which one figure is wanted and not the other, or the ideas that led astray."""
    there, place = got
    here, right = wanted
    if there.has_note_column and there.amounts[place].is_bare:
        return (("notes", "plain"),)
    if here.is_restated(right) and here.corrects:
        return (("restated", "plain"),)
    if there.is_restated(place) and not here.is_restated(right):
        return (("restated", "careful"),)
    if there.is_adjusted and not here.is_adjusted:
        return (("reported", "plain"),)
    if here.is_total and not there.is_total:
        return (("total", "plain"),)
    if here.in_table and place < right:
        return (("column", "plain"),)
    return ("skip the first", "wrong"), ("largest", "wrong")


def _about_value(failure: Failure) -> Iterator[Finding]:
    expected, got = (_decimal(text) for text in failure.wrong.get("value", ("", "")))
    amounts = find_amounts(failure.figure)
    if expected is None or got is None or not amounts or extraction_is_to_blame(failure):
        return
    if expected * got < 0:
        if amounts[0].in_parentheses:
            yield Finding("parentheses", "plain" if expected < 0 else "careful", "value")
        else:
            yield Finding(*(("loss", "plain") if expected < 0 else ("any decrease", "wrong")), "value")
    if abs(expected) != abs(got) and got:
        key, form = _why_so_large(failure, abs(expected), abs(got))
        if key:
            yield Finding(key, form, "value")


def _why_so_large(failure: Failure, expected: Decimal, got: Decimal) -> tuple[str, str]:
    amounts = find_amounts(failure.figure)
    digits = amounts[0].digits
    if number(digits, style="english") != number(digits, style="continental"):
        return "comma", "plain"
    if len(amounts) > 1 and joined_range(failure.figure, amounts[0], amounts[1]):
        return "range", "plain"
    if expected / got in _FACTORS and heading_scale(failure.excerpt) > 1:
        return "scale", "plain"
    if got / expected in _FACTORS:
        return ("scale", "careful") if "per share" in failure.item.lower() else ("always thousands", "wrong")
    return ("rounding", "wrong") if round(expected, -3) == got else ("", "")


def _about_currency(failure: Failure) -> Iterator[Finding]:
    expected, got = failure.wrong.get("currency", ("", ""))
    if re.fullmatch(r"[A-Z]{3}", expected) and re.search(r"[$£€¥]", got):
        yield Finding("currency", "plain", "currency")
    elif expected and expected == named_dollar(failure.excerpt):
        yield Finding("dollar", "plain", "currency")
    elif got == "CAD":
        yield Finding("canadian", "wrong", "currency")


def _about_period(failure: Failure) -> Iterator[Finding]:
    expected, got = failure.wrong.get("period", ("", ""))
    if not expected or extraction_is_to_blame(failure):
        return
    if _ISO_DATE.fullmatch(expected) and _ISO_DATE.fullmatch(got):
        for printed in _NUMERIC_DATE.findall(failure.excerpt):
            days = {order: str(read_date(printed, order)) for order in ("day", "month")}
            if {expected, got} == set(days.values()):
                yield Finding("dates", "plain" if days["day"] == expected else "careful", "period")
                return
    elif _FISCAL.search(failure.excerpt):
        yield Finding("fiscal", "plain", "period")


def _may_mean(figure: str, expected: Decimal) -> bool:
    """Whether a figure as printed can stand for the expected value, sign and scale left open."""
    amounts = find_amounts(figure)
    units = {SCALES.get(amount.unit, 1) for amount in amounts} | {1, *map(int, _FACTORS)}
    for style in ("english", "continental"):
        numbers = [number(amount.digits, style=style) for amount in amounts]
        if numbers and any(sum(numbers) / len(numbers) * unit == abs(expected) for unit in units):
            return True
    return False


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text.replace(",", "").strip())
    except InvalidOperation:
        return None
