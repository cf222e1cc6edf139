"""The parts of a disclosure: companies, sentences, table rows, and where a line item is mentioned."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import pairwise

from offline_model.figures import Amount, find_amounts, joined_range
from offline_model.periods import PERIOD, SPAN_HEADING

_NAME_WORD = r"[A-Z][\w'-]*"
COMPANY = re.compile(
    rf"{_NAME_WORD}(?: (?:& )?{_NAME_WORD}){{0,4}}?,? "
    r"(?:plc|PLC|Limited|Ltd|Inc\.|Corp\.|Corporation|AG|SE|ASA|AS|AB|S\.A\.|SpA|N\.V\.|Oyj|GmbH|LLC)(?![\w])"
)
_LABELS = {
    "net income": (r"net (?:income|profit|loss|earnings)|(?:profit|loss)(?:/\((?:loss|profit)\))? for the year"),
    "operating profit": r"operating (?:profit|income|loss|result)",
    "revenue": r"revenues?|turnover|net sales",
    "cash": r"cash and cash equivalents",
    "earnings per share": r"(?:diluted |basic )?earnings per share",
    "dividend per share": r"dividend per share",
    "operating cash flow": (
        r"net cash (?:from|provided by|used in) operating activities|cash flow from operating activities"
    ),
    "investing cash flow": r"net cash (?:from|provided by|used in) investing activities",
    "financing cash flow": r"net cash (?:from|provided by|used in) financing activities",
    "capital expenditure": r"capital expenditures?|purchases? of property, plant and equipment",
}
LOOKS_AHEAD = re.compile(r"\b(?:expects?|forecasts?|anticipates?|targets?|projects|guidance|outlook)\b", re.IGNORECASE)
IS_EARLY = re.compile(
    r"\b(?:preliminary|provisional|flash (?:figures|estimate)|ahead of (?:its|the) full)\b", re.IGNORECASE
)
IS_PRO_FORMA = re.compile(r"\bpro[- ]forma\b", re.IGNORECASE)
_ADJUSTED = re.compile(r"\b(?:adjusted|underlying|non-gaap|core|normalised|normalized)\b", re.IGNORECASE)
_TOTAL = re.compile(r"\b(?:total|group|consolidated)\b", re.IGNORECASE)
_RESTATED = re.compile(r"\b(?:restated|corrected|re-presented)\b", re.IGNORECASE)
_PUBLISHED_BEFORE = re.compile(r"\b(?:previously|originally|first) (?:reported|published|stated)\b", re.IGNORECASE)
_CELLS = re.compile(r"\S {2,}\S")
_SENTENCE_END = re.compile(r"(?<=[.!?:])\s+(?=[A-Z(\"])(?<!Inc\. )(?<!Corp\. )(?<!S\.A\. )")


@dataclass(frozen=True, slots=True)
class Mention:
    """One place where a line item is mentioned, with the amounts that follow it there.

    `before` and `after` are the words around the label up to the first amount. `contexts` holds, for each
    amount, the words that tell about it: those since the amount before, or the heading of its column.
    `periods` is alike. Columns are counted from the left, a note reference being taken for the first.
    """

    before: str
    after: str
    sentence: str
    amounts: tuple[Amount, ...]
    contexts: tuple[str, ...]
    periods: tuple[str, ...]
    in_table: bool = False
    has_note_column: bool = False

    @property
    def is_adjusted(self) -> bool:
        """Whether it is an adjusted, underlying or non-GAAP figure."""
        return bool(_ADJUSTED.search(f"{self.before[-30:]} {self.after}"))

    @property
    def is_total(self) -> bool:
        """Whether it is the figure of the whole group."""
        return bool(_TOTAL.search(f"{self.before[-20:]} {self.after}"))

    @property
    def corrects(self) -> bool:
        """Whether the sentence sets a restated figure against the one published before."""
        return bool(_PUBLISHED_BEFORE.search(self.sentence))

    def is_restated(self, index: int) -> bool:
        """Whether the amount is marked as restated."""
        return bool(_RESTATED.search(self.contexts[index]))

    def without_note(self) -> Mention:
        """The mention without the reference of a "Note" column, the amounts under their right headings."""
        if not self.has_note_column or not self.amounts[0].is_bare or len(self.amounts) == 1:
            return self
        return replace(self, amounts=self.amounts[1:], contexts=self.contexts[:-1], periods=self.periods[:-1])

    def printed(self, index: int) -> str:
        """The amount as printed, or the whole range when it is the lower end of one."""
        low = self.amounts[index]
        high = self.amounts[index + 1] if index + 1 < len(self.amounts) else None
        return (high and joined_range(self.sentence, low, high)) or low.text


def companies(excerpt: str) -> list[str]:
    """The companies named, in order, each once."""
    return list(dict.fromkeys(" ".join(found.split()) for found in COMPANY.findall(_flat(excerpt))))


def parent_and_subsidiary(excerpt: str) -> tuple[str, str]:
    """The parent company and its subsidiary, "" for one that is not named as such."""
    text, name = _flat(excerpt), COMPANY.pattern
    between = r"(?:[\w-]+ ){0,4}"
    for pattern in (
        rf"(?P<sub>{name})\W+{between}subsidiary of (?P<parent>{name})",
        rf"(?P<parent>{name}) (?:[\w-]+ ){{0,4}}its {between}subsidiary,? (?P<sub>{name})",
        rf"(?P<sub>{name}) and (?:the|its) other subsidiaries of (?P<parent>{name})",
        rf"(?P<parent>{name})['’]s? {between}subsidiary,? (?P<sub>{name})",
    ):
        if found := re.search(pattern, text):
            return found["parent"], found["sub"]
    return "", ""


def sentences_about(item: str, excerpt: str) -> list[str]:
    """The sentences and table rows that mention the line item."""
    label = _label(item)
    return [text for text, _, _ in _pieces(excerpt) if label.search(text)]


def find_mentions(item: str, excerpt: str) -> list[Mention]:
    """All mentions of the line item that are followed by an amount, in order."""
    label = _label(item)
    found = [
        mention
        for text, headings, is_row in _pieces(excerpt)
        for mention in _mentions_in(text, headings, is_row, label)
    ]
    default = _first_period(excerpt)
    return [replace(mention, periods=tuple(text or default for text in mention.periods)) for mention in found]


def _label(item: str) -> re.Pattern[str]:
    wanted = item.lower().strip()
    for name, pattern in _LABELS.items():
        if wanted == name or re.fullmatch(pattern, wanted):
            return re.compile(rf"\b(?:{pattern})(?!\w)", re.IGNORECASE)
    return re.compile(rf"\b{re.escape(wanted)}(?!\w)", re.IGNORECASE)


def _flat(text: str) -> str:
    return " ".join(text.split())


def _pieces(excerpt: str) -> list[tuple[str, tuple[str, ...], bool]]:
    """Sentences, and table rows with the headings above them: (text, headings, is a row)."""
    pieces: list[tuple[str, tuple[str, ...], bool]] = []
    prose: list[str] = []
    headings: tuple[str, ...] = ()

    def flush() -> None:
        text = _flat(" ".join(prose))
        prose.clear()
        pieces.extend((sentence, (), False) for sentence in _SENTENCE_END.split(text) if sentence.strip())

    for line in excerpt.splitlines():
        if not line.strip():
            flush()
        elif not _CELLS.search(line.strip()) and not _is_heading(line):
            prose.append(line.strip())
        elif _is_heading(line):
            flush()
            headings = (*headings, line.strip()) if pieces and not pieces[-1][2] else (line.strip(),)
            pieces.append((line.strip(), (), False))
        else:
            flush()
            pieces.append((line.strip(), headings, True))
    flush()
    return pieces


def _is_heading(line: str) -> bool:
    """Whether a line holds column headings: at least one period, and no number besides."""
    return bool(_CELLS.search(line.strip()) and PERIOD.search(line)) and not find_amounts(line)


def _mentions_in(text: str, headings: tuple[str, ...], is_row: bool, label: re.Pattern[str]) -> list[Mention]:
    starts = [found.span() for found in label.finditer(text)]
    mentions = []
    for index, (start, end) in enumerate(starts):
        stop = starts[index + 1][0] if index + 1 < len(starts) else len(text)
        amounts = tuple(
            amount for amount in find_amounts(text) if end <= amount.start < stop and (is_row or not amount.is_bare)
        )
        if amounts:
            before = text[starts[index - 1][1] if index else 0 : start]
            mentions.append(_mention(text, before, end, amounts, headings, is_row))
    return mentions


def _mention(
    text: str, before: str, end: int, amounts: tuple[Amount, ...], headings: tuple[str, ...], is_row: bool
) -> Mention:
    gaps = [text[last.end : amount.start] for last, amount in pairwise(amounts)]
    contexts = [text[end : amounts[0].start], *gaps]
    periods = [_last_period(before + contexts[0]), *(_last_period(gap) for gap in gaps)]
    tail = _first_period(text[amounts[-1].end :])
    sentence_period = next((period for period in periods if period), "") or tail
    periods = [period or sentence_period for period in periods]
    has_notes = any(re.search(r"\bnotes?\b", heading, re.IGNORECASE) for heading in headings)
    if is_row and headings:
        columns = _columns(headings)
        contexts = [_at(columns, place) for place in range(len(amounts))]
        periods = [_column_period(headings, context) for context in contexts]
    after = text[end : amounts[0].start]
    return Mention(before, after, text, amounts, tuple(contexts), tuple(periods), is_row, has_notes)


def _columns(headings: tuple[str, ...]) -> list[str]:
    """The cells of the lowest heading that name a period, each with the words that stand in its cell."""
    for heading in reversed(headings):
        cells = [cell for cell in re.split(r" {2,}", heading) if PERIOD.search(cell)]
        if len(cells) > 1 or heading == headings[0]:
            return cells
    return []


def _at(cells: list[str], place: int) -> str:
    return cells[place] if 0 <= place < len(cells) else ""


def _column_period(headings: tuple[str, ...], column: str) -> str:
    """The period of a column: its own date or year, after "year ended 31 March" where that stands above."""
    found = PERIOD.search(column)
    if found is None:
        return ""
    span = next((span.group() for heading in headings for span in SPAN_HEADING.finditer(heading)), "")
    return f"{span} {found.group()}" if span else found.group()


def _first_period(text: str) -> str:
    found = PERIOD.search(text)
    return found.group() if found else ""


def _last_period(text: str) -> str:
    found = list(PERIOD.finditer(text))
    return found[-1].group() if found else ""
