"""Rules that follow from what failing cases state: the set of labels, the form of the answer. No model; the same
failures give the same rules."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pytest_gepa.prompts.python_source import parse_module, plain_value
from pytest_gepa.reflect.stated import (
    Series,
    answer_object,
    comparisons,
    keys,
    members,
    series,
    statements,
    wants_json,
)
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.reflect.withhold import HELD_OUT
from pytest_gepa.suite.rollout import Case
from pytest_gepa.wording import count, listed

MOST_LABELS = 20
_LEAST_DISTINCT = 3
_MOST_PARTS = 12
_PART = re.compile(r"\d+|[A-Z]+|[a-z]+|.", re.DOTALL)
_DATE = r"\d{4}\-\d{2}\-\d{2}"
_METHODS = {
    "isupper": "is in capital letters",
    "islower": "is in small letters",
    "isdigit": "consists of digits only",
    "isnumeric": "consists of digits only",
    "isdecimal": "consists of digits only",
    "isalpha": "consists of letters only",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule for a prompt, and the reason for it in words."""

    text: str
    reason: str


def rules(failing: Sequence[Exhibit], cases: Sequence[Case]) -> list[Rule]:
    """The rules that these failing cases suggest, the likeliest to help first, each once.

    `cases` are all search cases, of which what is wanted is read too.
    """
    compared = comparisons(failing)
    wanted = series(compared, cases)
    found = [
        *_json_rules(failing, cases),
        *(rule for one in wanted for rule in _label_rules(one)),
        *_member_rules(failing),
        *(rule for one in wanted for rule in _form_rules(one)),
        *_statement_rules(failing),
        *(rule for one in wanted for rule in _bare_rules(one)),
    ]
    by_text = {rule.text: rule for rule in reversed(found) if HELD_OUT not in rule.text}
    return [rule for rule in dict.fromkeys(found) if by_text.get(rule.text) is rule]


def _json_rules(failing: Sequence[Exhibit], cases: Sequence[Case]) -> Iterator[Rule]:
    for source in dict.fromkeys(exhibit.case.source for exhibit in failing):
        mine = [exhibit for exhibit in failing if exhibit.case.source == source]
        reads = [one for one in mine if wants_json(one)]
        names = _wanted_keys(source, cases)
        wrong = [one for one in reads if not isinstance(answer_object(one), dict)]
        other = [one for one in reads if one not in wrong and names and set(_own_keys(one)) != set(names)]
        noun = "key" if len(names) == 1 else "keys"
        with_keys = f", with exactly the {noun} {listed(names)}" if names else ""
        if wrong or other:
            yield Rule(
                f"Answer with one JSON object and nothing else, no explanation and no code fence{with_keys}.",
                f"{count(len(wrong) + len(other), 'failing case')} read the answer as JSON and found another form",
            )


def _own_keys(exhibit: Exhibit) -> tuple[str, ...]:
    return keys([answer_object(exhibit)])


def _wanted_keys(source: str, cases: Sequence[Case]) -> tuple[str, ...]:
    """The keys of the dict that each case has as a parameter, else those that the test reads."""
    values = [_dict(shown) for case in cases if case.source == source for _, shown in case.parameters]
    found = keys([value for value in values if value])
    if found:
        return found
    tree = parse_module(source)
    if tree is None:
        return ()
    read = [
        node.slice.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
    ]
    return tuple(dict.fromkeys(read))


def _dict(shown: str) -> dict[object, object]:
    value = plain_value(shown)
    return value if isinstance(value, dict) else {}


def _label_rules(wanted: Series) -> Iterator[Rule]:
    """A set of labels: few texts, of which most are wanted by several cases."""
    labels = sorted(set(wanted.wanted))
    if not 2 <= len(labels) <= MOST_LABELS or 2 * len(labels) > len(wanted.wanted):
        return
    start = f"The value of `{wanted.field}` is" if wanted.field else "Answer with"
    end = "." if wanted.field else ", and nothing else."
    yield Rule(
        f"{start} exactly one of {listed(labels)}, spelt as here{end}",
        f"{count(wanted.failing, 'failing case')} had something else than one of the {len(labels)} labels "
        "that the cases want, or another one of them",
    )


def _member_rules(failing: Sequence[Exhibit]) -> Iterator[Rule]:
    found = [(exhibit, labels) for exhibit in failing if (labels := members(exhibit))]
    for labels in dict.fromkeys(labels for _, labels in found if len(labels) <= MOST_LABELS):
        number = sum(one == labels for _, one in found)
        yield Rule(
            f"Answer with exactly one of {listed(labels)}, spelt as here, and nothing else.",
            f"{count(number, 'failing case')} had something else than one of the {len(labels)} labels of the check",
        )


def _form_rules(wanted: Series) -> Iterator[Rule]:
    """One form that all texts have which are wanted, and one that was given has not."""
    distinct = set(wanted.wanted)
    form = _form(distinct) if len(distinct) >= _LEAST_DISTINCT else ""
    if not form or all(re.fullmatch(form, got) for got in wanted.got):
        return
    said = "the form YYYY-MM-DD" if form == _DATE else f"the form of the regular expression `{form}`"
    start = f"The value of `{wanted.field}` has" if wanted.field else "Answer with the value alone, in"
    yield Rule(
        f"{start} {said}.",
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


def _statement_rules(failing: Sequence[Exhibit]) -> Iterator[Rule]:
    """What asserts demand that did not hold: a form, a beginning, a word, a length."""
    found = [text for exhibit in failing for node in statements(exhibit) if (text := _demand(node))]
    for text in dict.fromkeys(found):
        yield Rule(text, f"an assert that says so did not hold in {count(found.count(text), 'failing case')}")


def _demand(node: ast.expr) -> str:
    """What a condition demands of an answer, as a rule; "" for what is not understood."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        return _compared(node.left, node.ops[0], node.comparators[0])
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return ""
    name, texts = node.func.attr, [one.value for one in node.args if isinstance(one, ast.Constant)]
    text = texts[0] if texts and isinstance(texts[0], str) else ""
    if name in ("fullmatch", "match", "search") and text:
        about = _subject(node.args[-1]) if len(node.args) > 1 else "The answer"
        how = {"fullmatch": "as a whole matches", "match": "begins with a match of"}.get(
            name, "holds a match of"
        )
        return f"{about} {how} the regular expression `{text}`."
    about = _subject(node.func.value)
    if name in ("startswith", "endswith") and text:
        return f"{about} {'begins' if name == 'startswith' else 'ends'} with `{text}`."
    return f"{about} {_METHODS[name]}." if name in _METHODS else ""


def _compared(left: ast.expr, sign: ast.cmpop, right: ast.expr) -> str:
    if (
        isinstance(sign, (ast.In, ast.NotIn))
        and isinstance(left, ast.Constant)
        and isinstance(left.value, str)
    ):
        return f"{_subject(right)} {'holds' if isinstance(sign, ast.In) else 'does not hold'} `{left.value}`."
    is_length = isinstance(left, ast.Call) and isinstance(left.func, ast.Name) and left.func.id == "len"
    if not is_length or not isinstance(right, ast.Constant) or type(right.value) is not int:
        return ""
    assert isinstance(left, ast.Call)
    if len(left.args) != 1:
        return ""
    most = {ast.LtE: right.value, ast.Lt: right.value - 1}.get(type(sign))
    if most is None:
        return ""
    counted = left.args[0]
    is_split = isinstance(counted, ast.Call) and isinstance(counted.func, ast.Attribute)
    if is_split and counted.func.attr == "split" and not counted.args:  # type: ignore[attr-defined]
        return f"{_subject(counted.func.value)} has at most {count(most, 'word')}."  # type: ignore[attr-defined]
    return f"{_subject(counted)} has at most {count(most, 'character')}."


def _subject(node: ast.expr) -> str:
    """What a condition is about: a field where it reads one, else the answer."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        node = node.func.value
    if (
        isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
    ):
        return f"The value of `{node.slice.value}`"
    return "The answer"


def _bare_rules(wanted: Series) -> Iterator[Rule]:
    """The value that is wanted, spelt otherwise or inside of a sentence."""
    if wanted.field or not wanted.wanted:
        return
    texts = set(wanted.wanted)
    bare = {_bare(text): text for text in texts}
    spelt = [got for got in wanted.got if got not in texts and _bare(got) in bare]
    inside = [got for got in wanted.got if any(_is_inside(text, got) for text in texts)]
    if spelt and all(text == text.lower() for text in texts):
        yield _bare_rule("in lower case, without quotation marks or a full stop", len(spelt))
    elif spelt and all(text == text.upper() for text in texts):
        yield _bare_rule("in capital letters, without quotation marks or a full stop", len(spelt))
    elif spelt or inside:
        yield _bare_rule("without a sentence around it, quotation marks or a full stop", len(spelt or inside))


def _bare_rule(how: str, number: int) -> Rule:
    return Rule(
        f"Answer with the value alone, {how}.",
        f"{count(number, 'failing case')} had the value that is wanted, but not it alone or spelt otherwise",
    )


def _is_inside(text: str, got: str) -> bool:
    return len(text) < len(got) and text.casefold() in got.casefold()


def _bare(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
