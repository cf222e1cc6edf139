"""Amounts in a disclosure: where they stand, how they are printed, and what number they stand for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from offline_model.periods import PERIOD_TOKEN

MARK = r"(?:US\$|CA?\$|A\$|HK\$|NZ\$|S\$|[$£€¥]|\b(?:USD|EUR|GBP|CHF|SEK|NOK|DKK|CAD|AUD|JPY|PLN|SGD|HKD)\b)"
UNIT = r"(?:thousand|million|billion|Mio\.|Mrd\.|mn|bn|m|k)(?!\w)"
SCALES = {
    "thousand": 10**3, "k": 10**3,
    "million": 10**6, "mio.": 10**6, "mn": 10**6, "m": 10**6,
    "billion": 10**9, "mrd.": 10**9, "bn": 10**9,
}  # fmt: skip

_AMOUNT = re.compile(
    rf"(?P<mark>{MARK})? {{0,2}}(?P<open>\()? ?(?P<inner>{MARK})? ?"
    r"(?<![\w.,/])(?P<digits>\d(?:[\d.,]*\d)?)(?![\w/%-]| %| per ?cent)"
    rf" ?(?P<close>\))?(?: ?(?P<unit>{UNIT}))?"
)
_MARK = re.compile(MARK)
_CONTINENTAL = re.compile(r"\d{1,3}(?:\.\d{3})*,\d{1,2}|\d{1,3}(?:\.\d{3}){2,}")
_RANGE_WORD = re.compile(r" ?(?:to|and|–|-) ?")
_CURRENCY_WORDS = {
    "US dollar": "USD", "Canadian dollar": "CAD", "Australian dollar": "AUD", "Hong Kong dollar": "HKD",
    "Singapore dollar": "SGD", "New Zealand dollar": "NZD", "pounds": "GBP", "euros": "EUR",
    "Swiss franc": "CHF", "Swedish kron": "SEK", "Norwegian kron": "NOK", "Danish kron": "DKK",
}  # fmt: skip
_SIGNS = {
    "US$": "USD", "C$": "CAD", "CA$": "CAD", "A$": "AUD", "HK$": "HKD", "NZ$": "NZD", "S$": "SGD",
    "$": "USD", "£": "GBP", "€": "EUR", "¥": "JPY",
}  # fmt: skip
_HEADING_SCALE = re.compile(
    rf"\bin (?:\w+ ){{0,2}}?(?P<word>thousand|million|billion)s?\b"
    rf"|{MARK} ?(?P<noun>thousand|million|billion)s?\b"
    rf"|[£€$] ?(?P<short>['’]?000|m|mn|bn)(?!\w)|\bT(?P<t>EUR)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Amount:
    """A number as printed: `text` is all of it, from currency mark to unit, `start` and `end` its place."""

    text: str
    digits: str
    start: int
    end: int
    mark: str = ""
    unit: str = ""
    in_parentheses: bool = False

    @property
    def is_bare(self) -> bool:
        """Whether it is a plain small number, such as a note reference or a count of vessels."""
        return not (self.mark or self.unit or self.in_parentheses or "," in self.digits or "." in self.digits)


def find_amounts(text: str) -> list[Amount]:
    """All amounts of the text in order. Dates, years and percentages are none."""
    masked = PERIOD_TOKEN.sub(lambda found: " " * len(found.group()), text)
    return [_amount(text, found) for found in _AMOUNT.finditer(masked)]


def _amount(text: str, found: re.Match[str]) -> Amount:
    printed = text[found.start() : found.end()]
    whole = bool(found["open"] and found["close"])
    start, end = found.start(), found.end()
    if found["close"] and not found["open"]:  # the bracket belongs to the sentence
        end = found.end("digits")
    elif found["open"] and not found["close"]:
        start = found.start("inner") if found["inner"] else found.start("digits")
    printed = text[start:end]
    lead = len(printed) - len(printed.lstrip())
    mark = (found["mark"] if whole or not found["open"] else None) or found["inner"] or ""
    unit = (found["unit"] or "") if end == found.end() else ""
    return Amount(printed.strip(), found["digits"], start + lead, end, mark, unit.lower(), whole)


def joined_range(text: str, low: Amount, high: Amount) -> str:
    """The range "low to high" as printed, "" when the two amounts are not the ends of one."""
    between = text[low.end : high.start]
    return text[low.start : high.end] if _RANGE_WORD.fullmatch(between) else ""


def number(digits: str, *, style: str) -> Decimal:
    """The number that `digits` stand for in the "english" or, where they look so, the "continental" style."""
    if style == "continental" and _CONTINENTAL.fullmatch(digits):
        return Decimal(digits.replace(".", "").replace(",", "."))
    plain = digits.replace(",", "")
    if plain.count(".") > 1:
        head, _, tail = plain.partition(".")
        plain = f"{head}.{tail.replace('.', '')}"
    try:
        return Decimal(plain)
    except InvalidOperation:
        return Decimal(0)


def heading_scale(text: str) -> int:
    """The scale that a heading of the text states ("in thousands", "£m", "EUR million"), 1 if none does."""
    for found in _HEADING_SCALE.finditer(text):
        word = (found["word"] or found["noun"] or found["short"] or "thousand").lower().strip("'’")
        before = text[: found.start()].rstrip()[-1:]
        if not (before.isdigit() and found["noun"]):
            return SCALES["thousand" if word in ("000", "eur") else word]
    return 1


def first_mark(text: str) -> str:
    """The first currency sign or code of the text, else the code for the first currency named in words."""
    marks = [(found.start(), found.group()) for found in _MARK.finditer(text)]
    words = [(text.find(word), code) for word, code in _CURRENCY_WORDS.items() if word in text]
    return min(marks or words, default=(0, ""))[1]


def named_dollar(text: str) -> str:
    """The code of the dollar that the text names in words, "" if it names none or the US dollar."""
    return next((code for word, code in _CURRENCY_WORDS.items() if word in text and word.endswith("dollar")), "")


def iso_code(mark: str) -> str:
    """The ISO code for a sign; a code is its own."""
    return _SIGNS.get(mark, mark)
