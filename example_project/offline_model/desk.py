"""The simulated desk model: it reads the excerpt and follows what its prompt states, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from offline_model.disclosure import (
    IS_EARLY,
    IS_PRO_FORMA,
    LOOKS_AHEAD,
    Mention,
    companies,
    find_mentions,
    parent_and_subsidiary,
    sentences_about,
)
from offline_model.figures import (
    SCALES,
    Amount,
    find_amounts,
    first_mark,
    heading_scale,
    iso_code,
    joined_range,
    named_dollar,
    number,
)
from offline_model.periods import end_of_token, label, label_by_end, read_period
from offline_model.reading import followed

_TASK = re.compile(r"Line item:[ \t]*(?P<item>.+?)\s*<excerpt>\s*(?P<excerpt>.*?)\s*</excerpt>(?P<rest>.*)", re.DOTALL)
_CONSOLIDATED = re.compile(r"\bconsolidated\b|\bgroup-wide\b", re.IGNORECASE)
_ON_ITS_OWN = re.compile(r"\bstand-?alone\b|\bown accounts\b|\bseparate financial statements\b", re.IGNORECASE)
_US_COMPANY = re.compile(r"\bForm (?:10-[KQ]|8-K)\b|\bNYSE\b|\bNasdaq\b|, Inc\.|\bCorp\.", re.IGNORECASE)
_COST = re.compile(r"\bcosts?\b|expense|expenditure|purchase|depreciation", re.IGNORECASE)
_PER_SHARE = re.compile(r"per share", re.IGNORECASE)
_A_LOSS = re.compile(r"(?<![(/])\b(?:loss|deficit)\b(?!\))", re.IGNORECASE)
_A_DECREASE = re.compile(r"\b(?:loss|decreased?|declined?|fell)\b", re.IGNORECASE)

Answer = dict[str, Any]


def answer(system: str, user: str) -> str:
    """The desk model's reply to one step's prompt and message."""
    task = _TASK.search(user)
    if task is None:
        return "Please send the line item and the excerpt."
    item, excerpt, rest = task["item"].strip(), task["excerpt"], task["rest"]
    if "Extraction:" in rest:
        fields = normalise(system, item, excerpt, _previous(rest))
    elif "Classification:" in rest:
        fields = extract(system, item, excerpt)
    else:
        fields = classify(system, item, excerpt)
    return _worded(system, fields)


def _previous(rest: str) -> Answer:
    try:
        found = json.loads(rest[rest.index("{") :])
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _worded(system: str, fields: Answer) -> str:
    """The fields that the prompt asks for, as JSON if it asks for that."""
    asked = {name: value for name, value in fields.items() if re.search(rf"\b{name}\b", system, re.IGNORECASE)}
    if re.search(r"\bjson\b", system, re.IGNORECASE):
        return json.dumps(asked, ensure_ascii=False)
    return "\n".join(f"{name.capitalize()}: {value}" for name, value in asked.items())


def classify(prompt: str, item: str, excerpt: str) -> Answer:
    """The company to which the figure belongs, and what kind of figure it is."""
    forms = followed(prompt, "classify")
    return {"entity": _entity(forms, excerpt), "status": _status(forms, item, excerpt)}


def _entity(forms: dict[str, str], excerpt: str) -> str:
    named = companies(excerpt)
    first = named[0] if named else ""
    parent, subsidiary = parent_and_subsidiary(excerpt)
    form = forms.get("entity", "")
    if not form or not parent:
        return first
    if form == "plain" or _CONSOLIDATED.search(excerpt):
        return parent
    return subsidiary if _ON_ITS_OWN.search(excerpt) else first


def _status(forms: dict[str, str], item: str, excerpt: str) -> str:
    if "pro forma" in forms and IS_PRO_FORMA.search(excerpt):
        return "pro forma"
    if "any expectation" in forms and re.search(r"expect", excerpt, re.IGNORECASE):
        return "guidance"
    if "guidance" in forms and any(map(LOOKS_AHEAD.search, sentences_about(item, excerpt))):
        return "guidance"
    if "every unaudited" in forms and re.search(r"\bunaudited\b", excerpt, re.IGNORECASE):
        return "preliminary"
    if "preliminary" in forms and IS_EARLY.search(excerpt):
        return "preliminary"
    return "actual"


def extract(prompt: str, item: str, excerpt: str) -> Answer:
    """The figure for the line item as printed, and the period that it belongs to."""
    forms = followed(prompt, "extract")
    mentions = find_mentions(item, excerpt)
    if not mentions:
        return {"figure": "", "period": ""}
    mention, index = _choose(forms, mentions)
    return {"figure": mention.printed(index), "period": mention.periods[index]}


def _choose(forms: dict[str, str], mentions: list[Mention]) -> tuple[Mention, int]:
    """The mention, and which of its amounts, that the conventions point to; by default the very first."""
    if "notes" in forms:
        mentions = [mention.without_note() for mention in mentions]
    if "restated" in forms:
        for mention in mentions:
            restated = [index for index in range(len(mention.amounts)) if mention.is_restated(index)]
            if restated and (forms["restated"] == "plain" or mention.corrects):
                return mention, restated[0]
    if "reported" in forms:
        mentions = [mention for mention in mentions if not mention.is_adjusted] or mentions
    if "total" in forms:
        mentions = [mention for mention in mentions if mention.is_total] or mentions
    mention = mentions[0]
    places = list(range(len(mention.amounts)))
    if "skip the first" in forms:
        places = places[1:] or places
    if "largest" in forms:
        return max(
            ((each, index) for each in mentions for index in range(len(each.amounts))),
            key=lambda pair: _number(pair[0].amounts[pair[1]]),
        )
    if "column" in forms and mention.in_table:
        places.sort(key=lambda index: end_of_token(mention.contexts[index]), reverse=True)
    return mention, places[0]


def _number(amount: Amount) -> Decimal:
    return number(amount.digits, style="english") * SCALES.get(amount.unit, 1)


def normalise(prompt: str, item: str, excerpt: str, extracted: Answer) -> Answer:
    """The line of the sheet for the figure and the period that were extracted."""
    forms = followed(prompt, "normalise")
    figure, period = str(extracted.get("figure", "")), str(extracted.get("period", ""))
    return {
        "value": _plain(_value(forms, item, excerpt, figure)),
        "currency": _currency(forms, excerpt, figure),
        "period": _label(forms, excerpt, period),
    }


def _plain(value: Decimal | None) -> int | float | None:
    """The value as JSON writes it, without a decimal part where there is none."""
    if value is None:
        return None
    return int(value) if value == value.to_integral_value() else float(value)


def _value(forms: dict[str, str], item: str, excerpt: str, figure: str) -> Decimal | None:
    amounts = find_amounts(figure)
    if not amounts:
        return None
    style = "continental" if "comma" in forms else "english"
    low, high = amounts[0], amounts[-1]
    value = number(low.digits, style=style)
    unit = low.unit or (high.unit if joined_range(figure, low, high) else "")
    if "range" in forms and joined_range(figure, low, high):
        value = (value + number(high.digits, style=style)) / 2
    value *= SCALES[unit] if unit else _heading(forms, item, excerpt)
    if "rounding" in forms:
        value = round(value, -3)
    return -value if _is_negative(forms, item, excerpt, low) else value


def _heading(forms: dict[str, str], item: str, excerpt: str) -> int:
    """The scale to apply to a figure that has no unit beside it."""
    if "always thousands" in forms:
        return 1000
    form = forms.get("scale", "")
    if not form or (form == "careful" and _PER_SHARE.search(item)):
        return 1
    return heading_scale(excerpt)


def _is_negative(forms: dict[str, str], item: str, excerpt: str, amount: Amount) -> bool:
    form = forms.get("parentheses", "")
    if amount.in_parentheses and form:
        return form == "plain" or not _COST.search(item)
    if "any decrease" in forms and _A_DECREASE.search(excerpt):
        return True
    mentioned = next((text for text in sentences_about(item, excerpt) if amount.digits in text), "")
    return "loss" in forms and bool(_A_LOSS.search(mentioned.partition(amount.digits)[0]))


def _currency(forms: dict[str, str], excerpt: str, figure: str) -> str:
    mark = first_mark(figure) or first_mark(excerpt)
    if "currency" not in forms:
        return mark
    if mark == "$" and "canadian" in forms and not re.search(r"\bUS\b|U\.S\.", excerpt):
        return "CAD"
    if mark == "$" and "dollar" in forms:
        return named_dollar(excerpt) or "USD"
    return iso_code(mark)


def _label(forms: dict[str, str], excerpt: str, text: str) -> str:
    form = forms.get("dates", "")
    order = "day" if form == "plain" or (form == "careful" and not _US_COMPANY.search(excerpt)) else "month"
    period = read_period(text, excerpt, order)
    if period is None:
        return text
    name: Callable[..., str] = label_by_end if "fiscal" in forms else label
    return name(period)
