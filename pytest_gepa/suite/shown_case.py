"""A case as others may see it: a key may be among the parameters of a test, and in the nodeid that is made of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from pytest_gepa.prompts.python_source import plain_value
from pytest_gepa.suite.rollout import POSITIONS, Case
from pytest_gepa.trace.redact import redact_named

_SHORT = 4
"""A text of fewer characters may stand in a nodeid by chance, but for the place of a value."""


def shown_case(case: Case, redact: Callable[[str], str]) -> Case:
    """The case without secrets. Its id, by which it is known, stays."""
    return replace(
        case,
        nodeid=shown_nodeid(case.id, case.nodeid, case.parameters, redact),
        source=redact(case.source),
        parameters=tuple(redact_named(name, value, redact, is_code=True) for name, value in case.parameters),
    )


def shown_nodeid(case: str, nodeid: str, parameters: Sequence[tuple[str, str]], redact: Callable[[str], str]) -> str:
    """A nodeid without secrets. `case` is the id of its case, `parameters` are that one's (name, repr) pairs.

    A value that nothing but its parameter's name tells to be secret gives way to that name and the position of the
    case: `test_login[password3]`. So pytest itself names values that it has no text for, and no two cases alike.
    """
    test, bracket, label = nodeid.partition("[")
    place = POSITIONS.search(case)
    for name, value in parameters:
        if redact_named(name, value, redact, is_code=True)[1] != redact(value):
            for text in sorted(set(_as_label(value)), key=len, reverse=True):
                label = _replaced(label, text, redact(name) + (place[1] if place else ""))
    return redact(test + bracket + label)


def _as_label(code: str) -> Iterator[str]:
    """How pytest writes a value, given by its `repr`, in a nodeid; nothing for objects, which it names by the
    parameter."""
    value = plain_value(code)
    if isinstance(value, str) and value:
        yield value
        yield value.encode("unicode_escape").decode("ascii")
    elif isinstance(value, bytes) and value:
        yield value.decode("ascii", "backslashreplace")
    elif isinstance(value, (int, float, complex)):
        yield str(value)


def _replaced(label: str, text: str, instead: str) -> str:
    """The label with something else in the place of a text: a short one only where values stand, between dashes."""
    if len(text) >= _SHORT:
        return label.replace(text, instead)
    return re.sub(rf"(?<![^-]){re.escape(text)}(?=[-\]])", lambda found: instead, label)
