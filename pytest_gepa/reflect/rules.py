"""Rules that follow from what failing cases state: the set of labels, the form of the answer. No model; the same
failures give the same rules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from pytest_gepa.prompts.given import as_words
from pytest_gepa.reflect.demands import member_rules, statement_rules
from pytest_gepa.reflect.json_form import json_rules
from pytest_gepa.reflect.stated import Rule, Series, Tests, are_labels, comparisons, exactly_one_of, series
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.reflect.withhold import HELD_OUT
from pytest_gepa.suite.rollout import Case
from pytest_gepa.trace.redact import REDACTED
from pytest_gepa.wording import code, count

_LEAST_DISTINCT = 3
_MOST_PARTS = 12
_PART = re.compile(r"\d+|[A-Z]+|[a-z]+|.", re.DOTALL)
_ENDS = re.compile(r"\A\W+|\W+\Z")
_DATE = r"\d{4}\-\d{2}\-\d{2}"


def rules(failing: Sequence[Exhibit], cases: Sequence[Case]) -> list[Rule]:
    """The rules that these failing cases suggest, the likeliest to help first, each once.

    `cases` are all search cases, of which what is wanted is read too.
    """
    compared = comparisons(failing)
    wanted, tests = series(compared, cases), Tests(failing, cases)
    found = [
        *json_rules(failing, cases),
        *(rule for one in wanted for rule in _label_rules(one)),
        *member_rules(failing, tests),
        *(rule for one in wanted for rule in _form_rules(one)),
        *statement_rules(failing, tests),
        *(rule for one in wanted for rule in _bare_rules(one)),
    ]
    by_text = {rule.text: rule for rule in reversed(found) if _can_be_said(rule.text)}
    return [rule for rule in dict.fromkeys(found) if by_text.get(rule.text) is rule]


def _can_be_said(text: str) -> bool:
    """Whether a rule is one line, which a text that it names may break, and holds nothing that may not be shown."""
    return HELD_OUT not in text and REDACTED not in text and len(text.splitlines()) == 1


def _label_rules(wanted: Series) -> Iterator[Rule]:
    """A set of labels: few texts, of which most are wanted by several cases."""
    labels = sorted(set(wanted.wanted))
    if not are_labels(labels) or 2 * len(labels) > len(wanted.wanted):
        return
    yield Rule(
        exactly_one_of(labels, wanted.subject, wanted.is_alone),
        f"{count(wanted.failing, 'failing case')} had something else than one of the {len(labels)} labels "
        "that the cases want, or another one of them",
    )


def _form_rules(wanted: Series) -> Iterator[Rule]:
    """One form that all texts have which are wanted, and one that was given has not."""
    distinct = set(wanted.wanted)
    form = _form(distinct) if len(distinct) >= _LEAST_DISTINCT else ""
    if not form or all(re.fullmatch(form, got) for got in wanted.got):
        return
    said = "the form YYYY-MM-DD" if form == _DATE else f"the form of the regular expression {code(form)}"
    start = "Answer with the value alone, in" if wanted.is_alone else "Give the value in"
    yield Rule(
        f"{wanted.subject} has {said}." if wanted.subject else f"{start} {said}.",
        f"all {len(wanted.wanted)} cases of the test want a value of one form, which failing ones had not",
    )


def _form(texts: Iterable[str]) -> str:
    """A regular expression that all texts match: runs of digits and letters of the same kinds, "" if they differ."""
    divided = [_PART.findall(text) for text in texts]
    first = divided[0]
    kinds = [_kind(part) for part in first]
    if len(first) > _MOST_PARTS or any([_kind(part) for part in parts] != kinds for parts in divided):
        return ""
    if not any(kind == r"\d" or len(kind) == 1 or kind.startswith("\\") for kind in kinds):
        return ""  # words say nothing by their form
    pieces = []
    for kind, *parts in zip(kinds, *divided, strict=True):
        lengths = {len(part) for part in parts}
        is_class = kind in (r"\d", "[A-Z]", "[a-z]")
        length = next(iter(lengths))
        many = "+" if len(lengths) > 1 else f"{{{length}}}" if length > 1 else ""
        pieces.append(kind + many if is_class else kind)
    return "".join(pieces)


def _kind(part: str) -> str:
    if part.isascii() and part.isdigit():
        return r"\d"
    if part.isascii() and part.isalpha():
        return "[A-Z]" if part.isupper() else "[a-z]"
    return re.escape(part)


def _bare_rules(wanted: Series) -> Iterator[Rule]:
    """The value that is wanted, spelt otherwise or inside of a sentence."""
    if wanted.subject or not wanted.is_alone:
        return
    texts = set(wanted.wanted)
    if any(_bare(text) != text.strip() for text in texts):
        return  # quotation marks, or a full stop, may be what is wanted
    folded = {text.strip().casefold() for text in texts} - {""}
    spelt = [got for got in wanted.got if got not in texts and _bare(got).casefold() in folded]
    words = {as_words(text) for text in texts} - {as_words("")}
    inside = [got for got in wanted.got if any(one in as_words(got) for one in words - {as_words(got)})]
    if spelt and "".join(texts).islower():
        yield _bare_rule("in lower case, without quotation marks or a full stop", len(spelt))
    elif spelt and "".join(texts).isupper():
        yield _bare_rule("in capital letters, without quotation marks or a full stop", len(spelt))
    elif spelt or inside:
        yield _bare_rule("without a sentence around it, quotation marks or a full stop", len(spelt or inside))


def _bare(text: str) -> str:
    """A text without the signs at its ends that are no part of a word."""
    return _ENDS.sub("", text)


def _bare_rule(how: str, number: int) -> Rule:
    return Rule(
        f"Answer with the value alone, {how}.",
        f"{count(number, 'failing case')} had the value that is wanted, but not it alone or spelt otherwise",
    )
