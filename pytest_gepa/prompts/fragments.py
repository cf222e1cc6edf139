"""The fragments of a text by which one could tell where it was copied from: words, numbers, codes, names. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import TypeVar

Key = TypeVar("Key", str, tuple[str, str])

BREAK = "\0"
"""Stands between strings that do not follow one another; no run of words reaches across it."""

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|\0")
# Scripts that put no space between words: each character stands alone, and two of them count as one word.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_COMMON = frozenset(
    (
        *(
            "that",
            "with",
            "from",
            "this",
            "have",
            "when",
            "they",
            "them",
            "then",
            "than",
            "will",
            "been",
            "were",
        ),
        *("your", "into", "what", "which", "their", "there", "each", "every", "only", "must", "also", "such"),
        *("other", "more", "most", "some", "same", "where", "after", "before", "about"),
    )
)
_TELLING_LENGTH = 4

# A colon at its side is that of a label or of JSON (`"total":48213`), unless digits make a time or a ratio of it.
# A dash before it is a minus, unless a word makes a code or a span of it.
_NUMBER = re.compile(r"(?<![\w.,/])(?<!\w-)(?<!\d:)\d{1,20}(?:[.,'_]\d{1,20})*(?![\w/-]|:\d)")
_YEAR = re.compile(r"(?:19|20)\d\d")
_THOUSANDS = re.compile(r"\d{1,3}(?:([.,'_])\d{3})(?:\1\d{3})*")
_DECIMAL = re.compile(r"(?P<whole>\d+|\d{1,3}(?:([.,'_])\d{3})+)(?!\2)[.,](?P<places>\d+)")
_CODE = re.compile(r"[^\W_]+(?:(?:://|[-_./:@#+])[^\W_]+)+|[^\W_]+")
_SHORTEST_CODE = 5
_SPAN = re.compile(r"\d{1,2}-[a-z]{3,}")
"""`30-day` says no more than `30 days`."""

_SEPARATOR = re.compile(r"[-_./:#+]")
_LEAST_INSIDE = 4
# Models write other dashes than people do.
_DASH = re.compile("[\u2010-\u2015\u2212]")
_CAPITALISED = re.compile(r"[^\W\d_][\w'’]*")
_GAP = re.compile(r"[ \t]+(?:&[ \t]+)?|-")


def words(text: str) -> list[str]:
    """Return the words of a text in order, without case; a character of an unspaced script is a word."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    found: list[str] = []
    for word in _WORD.findall(folded):
        found += list(word) if _UNSPACED.search(word) else [word]
    return found


def joined(listed: list[str]) -> str:
    """Return words as one string in which a run of them is a substring, with a space at both ends."""
    return f" {' '.join(listed)} "


def runs(listed: list[str], length: int, telling: int) -> Iterator[tuple[str, ...]]:
    """Yield the shortest runs that begin at each word and have `length` words, `telling` of them telling.

    A word is telling that has a digit, or four letters or more and is none of the commonest. (Lengths are as of
    spaced scripts.)
    """
    for start in range(len(listed)):
        weight = told = 0.0
        for end in range(start, len(listed)):
            word = listed[end]
            if word == BREAK:
                break
            share = 0.5 if _UNSPACED.match(word) else 1.0
            weight += share
            told += share if share < 1 or _is_telling(word) else 0
            if weight >= length:
                if told >= telling:
                    yield tuple(listed[start : end + 1])
                break


def dense_runs(listed: list[str], length: int, digits: int) -> Iterator[tuple[str, ...]]:
    """Yield the runs of `length` words of which two or more bear `digits` digits between them."""
    for start in range(len(listed) - length + 1):
        run = tuple(listed[start : start + length])
        counts = [sum(sign.isdigit() for sign in word) for word in run]
        if BREAK not in run and sum(map(bool, counts)) > 1 and sum(counts) >= digits:
            yield run


def numbers(text: str) -> dict[str, bool]:
    """Return the numbers of a text as bare digits, and whether each is long enough to be one case's own.

    Those have four significant digits, or three with a decimal mark, or five places; a year is none of them.
    Numbers of fewer than three digits are left out. One with zeros at the end of its decimal places is there without
    them as well.
    """
    found: dict[str, bool] = {}
    for match in _NUMBER.finditer(_plain(text)):
        shown = match.group()
        for written in dict.fromkeys((shown, shown if _is_whole(shown) else _without_last_zeros(shown))):
            digits = re.sub(r"\D", "", written).lstrip("0")
            if len(digits) < 3:
                continue
            significant = len(digits.rstrip("0"))
            is_own = significant >= 4 or len(digits) >= 5 or (significant >= 3 and not _is_whole(written))
            found[digits] = found.get(digits, False) or (is_own and _YEAR.fullmatch(written) is None)
    return found


def _is_whole(number: str) -> bool:
    return number.isdigit() or _THOUSANDS.fullmatch(number) is not None


def _without_last_zeros(number: str) -> str:
    """A number as it is written without zeros at the end of its decimal places: `1875.5` for `1875.50`."""
    decimal = _DECIMAL.fullmatch(number)
    return number if decimal is None else f"{decimal['whole']}.{decimal['places'].rstrip('0')}".rstrip(".")


def codes(text: str) -> set[str]:
    """Return what is written like a code: letters and digits together, groups of digits, addresses; without case."""
    return {code.casefold() for code in _CODE.findall(_plain(text)) if len(code) >= _SHORTEST_CODE and _is_code(code)}


def numbers_in_codes(text: str) -> set[str]:
    """Return the longer numbers inside of codes as `numbers` has them: `20441` of `INV-20441`, `20210304` of
    `2021-03-04`. A year is none of them."""
    found: set[str] = set()
    for code in codes(text):
        if "@" in code or "://" in code:
            continue
        parts = _SEPARATOR.split(code)
        whole = ["".join(parts)] if all(part.isdigit() for part in parts) else []
        found.update(
            part.lstrip("0")
            for part in (*parts, *whole)
            if part.isdigit() and len(part) >= _LEAST_INSIDE and not _YEAR.fullmatch(part)
        )
    return found


def names(text: str) -> list[tuple[str, str]]:
    """Return each two capitalised words in a row, without case; an ampersand or a hyphen may stand between."""
    pairs: list[tuple[str, str]] = []
    previous: re.Match[str] | None = None
    for word in _CAPITALISED.finditer(text):
        is_capital = word.group()[0].isupper() and len(word.group()) > 1
        if is_capital and previous is not None and _GAP.fullmatch(text, previous.end(), word.start()):
            pairs.append((previous.group().casefold(), word.group().casefold()))
        previous = word if is_capital else None
    return pairs


def uncapitalised(text: str) -> set[str]:
    """Return the words that stand in a text without a capital."""
    return {word for word in _CAPITALISED.findall(text) if word[0].islower()}


def _plain(text: str) -> str:
    return _DASH.sub("-", unicodedata.normalize("NFKC", text))


def _is_telling(word: str) -> bool:
    return any(sign.isdigit() for sign in word) or (len(word) >= _TELLING_LENGTH and word not in _COMMON)


def _is_code(text: str) -> bool:
    if _SPAN.fullmatch(text):
        return False
    digits = sum(sign.isdigit() for sign in text)
    letters = sum(sign.isalpha() for sign in text)
    if "@" in text or "://" in text:
        return letters > 0
    if letters:
        return digits >= 2
    return digits >= 6 and not text.isdigit()
