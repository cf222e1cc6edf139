"""What asserts that did not hold demand of an answer: labels, a form, a beginning, a word, a length.

Only what pytest shows to be the answer, or a field of it, is spoken of as such.
"""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_gepa.prompts.python_source import plain_value
from pytest_gepa.reflect.checks import Check, checks
from pytest_gepa.reflect.places import ANSWER, Path, answer_object, is_part, subject, told
from pytest_gepa.reflect.source import demanded
from pytest_gepa.reflect.stated import Rule, Tests, are_labels, exactly_one_of
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.wording import code, count, listed

_METHODS = {
    "isupper": "is in capital letters",
    "islower": "is in small letters",
    "isdigit": "consists of digits only",
    "isnumeric": "consists of digits only",
    "isdecimal": "consists of digits only",
    "isalpha": "consists of letters only",
}
_BEGINNINGS = {"startswith": "begins", "endswith": "ends"}
_PATTERNS = {
    "fullmatch": "as a whole matches",
    "match": "begins with a match of",
    "search": "holds a match of",
}

_PARAGRAPH = re.compile(r"\n\s*\n")
_LINE_END = "\n"
_OF_PATTERN = 2
"""Arguments: with flags the same pattern says something else."""


def member_rules(failing: Sequence[Exhibit], tests: Tests) -> Iterator[Rule]:
    """The labels among which failing cases looked for their answer in vain."""
    found = [
        _Said(text, one.case.source, tests.is_single(one.case))
        for one in failing
        for check in checks(one)
        if check.is_always
        if (text := _members(one, check, tests))
    ]
    for text, number in _of_tests(found).items():
        cases = count(number, "failing case")
        yield Rule(text, f"{cases} had something else than one of the labels of the check")


def statement_rules(failing: Sequence[Exhibit], tests: Tests) -> Iterator[Rule]:
    """What asserts demand that did not hold, a sentence each."""
    found = [
        _Said(text, one.case.source, tests.is_single(one.case) and not _is_of_form(node))
        for one in failing
        for check in checks(one)
        if check.is_always
        for node in (demanded(check.test) if check.test is not None else ())
        if (text := _demand(one, check, node))
    ]
    for text, number in _of_tests(found).items():
        yield Rule(text, f"an assert that says so did not hold in {count(number, 'failing case')}")


@dataclass(frozen=True, slots=True)
class _Said:
    """What a failing case demands. `is_alone` is whether it is the only case of its test and names a text, which may be
    its own answer then.
    """

    text: str
    source: str
    is_alone: bool


def _of_tests(found: Sequence[_Said]) -> Counter[str]:
    """What is demanded and how often, without what may be the own answer of the one case that says it."""
    sources: defaultdict[str, set[str]] = defaultdict(set)
    for said in found:
        sources[said.text].add(said.source)
    return Counter(said.text for said in found if not said.is_alone or len(sources[said.text]) > 1)


def _is_of_form(node: ast.expr) -> bool:
    """Whether a condition names no text that is looked for: a length, the end of a line, a method such as `isdigit`."""
    if isinstance(node, ast.Compare):
        return _text(node.left) == _LINE_END or not isinstance(node.ops[0], (ast.In, ast.NotIn))
    return isinstance(node, ast.Call) and not node.args


def _members(exhibit: Exhibit, check: Check, tests: Tests) -> str:
    """The rule of a check that looks for what the program made among labels, "" for another check."""
    test, shown = check.test, check.compared
    if not isinstance(test, ast.Compare) or shown is None or not isinstance(shown.ops[0], ast.In):
        return ""
    right = test.comparators[0]
    # Of what is written out nothing is missing; of what is shown pytest may leave something out.
    labels = _texts(right)
    if not labels and check.is_own and tests.is_shared(right, exhibit.case):
        labels = _texts(shown.comparators[0])
    if not are_labels(labels) or isinstance(test.left, ast.Constant) or _is_parameter(test.left, exhibit):
        return ""
    about = subject(exhibit, plain_value(shown.left), _keys(test.left))
    return exactly_one_of(labels, "" if about == ANSWER else about) if about else ""


def _texts(node: ast.expr) -> tuple[str, ...]:
    """The texts of a tuple, a list or a set; () where it is none or has something else in it."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "frozenset" and node.args:
        node = node.args[0]
    found = plain_value(node)
    texts = [one for one in found if isinstance(one, str)] if isinstance(found, (tuple, list, set)) else []
    is_all = isinstance(found, (tuple, list, set)) and len(texts) == len(found)
    return tuple(sorted(set(texts))) if is_all else ()


def _is_parameter(node: ast.expr, exhibit: Exhibit) -> bool:
    return isinstance(node, ast.Name) and node.id in dict(exhibit.case.parameters)


def _demand(exhibit: Exhibit, check: Check, node: ast.expr) -> str:
    """What a condition demands of an answer, as a rule; "" for what is not understood."""
    if isinstance(node, ast.BoolOp):
        return _any_held(exhibit, check, node)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        left, sign, right = node.left, node.ops[0], node.comparators[0]
        if isinstance(sign, (ast.In, ast.NotIn)):
            return _held(exhibit, check, left, sign, right)
        return _length(exhibit, check, left, sign, right)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not node.keywords:
        return _called(exhibit, check, node.func, node.args)
    return ""


def _held(exhibit: Exhibit, check: Check, left: ast.expr, sign: ast.cmpop, right: ast.expr) -> str:
    text, value = _text(left), check.right_side(right)
    if not text or _has(value, text) == isinstance(sign, ast.In):
        return ""
    if isinstance(value, dict):
        is_key = isinstance(sign, ast.In) and value and value == answer_object(exhibit)
        return f"{ANSWER} is a JSON object with the key {code(text)}." if is_key else ""
    if isinstance(sign, ast.NotIn):
        about = subject(exhibit, value, _keys(right), is_exact=True)
        if about and text == _LINE_END:
            return f"{about} is on one line."
        return f"{about} does not hold {code(text)}." if about else ""
    about = _holder(exhibit, value, right, [text])
    return f"{about} holds {code(text)}." if about else ""


def _any_held(exhibit: Exhibit, check: Check, node: ast.BoolOp) -> str:
    """One of several texts that are looked for in the same place: `"a" in out or "b" in out`."""
    sides = [
        (_text(one.left), one.comparators[0])
        for one in node.values
        if isinstance(one, ast.Compare) and len(one.ops) == 1 and isinstance(one.ops[0], ast.In)
    ]
    texts, places = [text for text, _ in sides], {ast.dump(place) for _, place in sides}
    if len(sides) < len(node.values) or not all(texts) or len(places) > 1:
        return ""
    value = check.right_side(sides[0][1])
    about = "" if any(_has(value, text) for text in texts) else _holder(exhibit, value, sides[0][1], texts)
    return f"{about} holds at least one of {listed(texts)}." if about else ""


def _has(value: object, text: str) -> bool:
    return isinstance(value, (str, list, dict)) and text in value


def _holder(exhibit: Exhibit, value: object, node: ast.expr, texts: Sequence[str]) -> str:
    """What is to hold one of the texts; a part of the answer, or what has it as a part, is as good as the answer where
    that has none of them.
    """
    if isinstance(value, dict):
        return ""
    about = subject(exhibit, value, _keys(node))
    if not about and is_part(exhibit, value):
        answer = exhibit.rollout.trajectory.answer.casefold()
        return "" if any(text.casefold() in answer for text in texts) else ANSWER
    return about


def _length(exhibit: Exhibit, check: Check, left: ast.expr, sign: ast.cmpop, right: ast.expr) -> str:
    """At most so many characters, words or lines. Of a list of something else nothing is said."""
    is_length = isinstance(left, ast.Call) and isinstance(left.func, ast.Name) and left.func.id == "len"
    if not is_length or not isinstance(right, ast.Constant) or type(right.value) is not int:
        return ""
    assert isinstance(left, ast.Call)
    most = {ast.LtE: right.value, ast.Lt: right.value - 1}.get(type(sign))
    if most is None or len(left.args) != 1:
        return ""
    value = check.counted()
    if isinstance(value, str):
        found = [(about, "character")] if (about := subject(exhibit, value, _keys(left.args[0]))) else []
    else:
        found = [(about, unit) for about, text in told(exhibit) for unit in _units(text, value)]
    return f"{found[0][0]} has at most {count(most, found[0][1])}." if len(found) == 1 else ""


def _units(text: str, value: object) -> Iterator[str]:
    """What a text was divided into, as far as the pieces tell: its words, its lines, its paragraphs."""
    pieces = [str(one).strip().casefold() for one in value] if isinstance(value, list) else []
    text = text.strip().casefold()
    lines = [line.strip() for line in text.splitlines()]
    paragraphs = [paragraph.strip() for paragraph in _PARAGRAPH.split(text)]
    if pieces and pieces == text.split():
        yield "word"
    if pieces and pieces in (lines, list(filter(None, lines))):
        yield "line"
    if pieces and pieces == paragraphs:
        yield "paragraph"


def _called(exhibit: Exhibit, check: Check, function: ast.Attribute, given: Sequence[ast.expr]) -> str:
    """What it demands that a method of a text, or a function of `re`, gives something true."""
    name, text = function.attr, _text(given[0]) if given else ""
    if name in _PATTERNS and isinstance(function.value, ast.Name) and function.value.id in ("re", "regex"):
        about = _of_text(exhibit, check.last_argument(name), given[-1]) if len(given) == _OF_PATTERN else ""
        return f"{about} {_PATTERNS[name]} the regular expression {code(text)}." if about and text else ""
    value = check.owner(name)
    about = _of_text(exhibit, value, function.value)
    if not isinstance(value, str) or not about:
        return ""
    if name in _BEGINNINGS and len(given) == 1 and text and not getattr(value, name)(text):
        return f"{about} {_BEGINNINGS[name]} with {code(text)}."
    return f"{about} {_METHODS[name]}." if name in _METHODS and not given and not getattr(value, name)() else ""


def _of_text(exhibit: Exhibit, value: object, node: ast.expr) -> str:
    """What a demand on the form of a text is about."""
    return subject(exhibit, value, _keys(node), is_exact=True) if isinstance(value, str) else ""


def _text(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _keys(node: ast.expr) -> Path:
    """The keys or names by which an expression reads a field, before methods of the text: () if it reads none."""
    if isinstance(node, ast.Subscript):
        return (*_keys(node.value), _text(node.slice)) if _text(node.slice) else ()
    if isinstance(node, ast.Attribute):
        return (*_keys(node.value), node.attr)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        inner, method = node.func.value, node.func.attr
        if method == "get" and node.args and _text(node.args[0]):
            return (*_keys(inner), _text(node.args[0]))
        return _keys(inner)
    return ()
