"""Rules on the form of an answer that is read as JSON: an object or an array, and which keys it has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_gepa.reflect.json_reading import reading
from pytest_gepa.reflect.places import answer_object, answer_value, is_json_before
from pytest_gepa.reflect.stated import Rule, comparisons, found_no_json, keys, parameters, printed, wants_json
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.suite.rollout import Case
from pytest_gepa.wording import count, listed


@dataclass(frozen=True, slots=True)
class _Form:
    """What an answer is to be: an object or a list, None where that is not known; the keys of an object, whether these
    are all that it may have, and whether they are those that the test looks up, perhaps in what was made of the answer.
    """

    kind: type[dict[str, object]] | type[list[object]] | None
    keys: tuple[str, ...] = ()
    is_all: bool = False
    is_looked_up: bool = False


def json_rules(failing: Sequence[Exhibit], cases: Sequence[Case]) -> Iterator[Rule]:
    """For each test that reads JSON, the form of the answer, if a failing case had another one."""
    for source in dict.fromkeys(exhibit.case.source for exhibit in failing):
        mine = [one for one in failing if one.case.source == source and wants_json(one)]
        alike = [case for case in cases if case.source == source]
        form = _form([*alike, *(one.case for one in mine)], mine)
        number = sum(_is_other(one, form) for one in mine)
        if number:
            yield Rule(_text(form), f"{count(number, 'failing case')} read the answer as JSON and found another form")


def _form(cases: Sequence[Case], failing: Sequence[Exhibit]) -> _Form:
    """The form that the cases of one test want, as its source tells, or what failing ones were compared with."""
    if not cases:
        return _Form(None)
    values, how = [dict(parameters(case)) for case in cases], reading(cases[0])
    equal = dict.fromkeys([*how.equal, *_compared_whole(failing)])
    for name in (*equal, *how.inside):
        wanted = [one.get(name) for one in values]
        if found := keys(wanted):
            return _Form(dict, found, name in equal)
        if name in equal and all(isinstance(one, list) for one in wanted):
            return _Form(list)
        if all(isinstance(one, dict) for one in wanted):
            return _Form(dict)
    is_object = how.is_object or bool(how.keys)
    return _Form(dict, how.keys, is_looked_up=True) if is_object else _Form(None)


def _compared_whole(failing: Sequence[Exhibit]) -> Iterator[str]:
    """The parameters with which whole answers were compared, as in a helper of the test."""
    for one in comparisons(failing):
        if one.got and one.got == answer_value(one.exhibit):
            yield from (name for name, value in parameters(one.exhibit.case) if value == one.wanted)


def _is_other(exhibit: Exhibit, form: _Form) -> bool:
    """Whether the answer of a run has another form, as far as it is the one that the test reads."""
    value = answer_value(exhibit)
    if not found_no_json(exhibit):
        value = answer_object(exhibit) or value  # it may have been cut out of what is around it
        if is_json_before(exhibit) or (value is None and "except" not in exhibit.case.source):
            return False  # what was read as JSON was another text
    if form.kind is None:
        return value is None
    if not isinstance(value, form.kind):
        # What could be compared had been looked up, in what the application has made of the answer.
        return value is None or not form.is_looked_up or not comparisons([exhibit])
    own = set(value) if isinstance(value, dict) else set()
    if form.is_looked_up:
        said = printed(exhibit)
        return any(f"KeyError: {key!r}" in said for key in form.keys if key not in own)
    made = [one.got for one in comparisons([exhibit]) if isinstance(one.got, dict)]
    if made and made[0] != value:
        return False  # the application has made it anew, perhaps with other keys
    return own != set(form.keys) if form.is_all else not own.issuperset(form.keys)


def _text(form: _Form) -> str:
    what = "one JSON object" if form.kind is dict else "one JSON array" if form.kind is list else "JSON"
    noun = "key" if len(form.keys) == 1 else "keys"
    those = f", with {'exactly ' if form.is_all else ''}the {noun} {listed(form.keys)}" if form.keys else ""
    return f"Answer with {what} and nothing else, no explanation and no code fence{those}."
