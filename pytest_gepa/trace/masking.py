"""Answers of services that are no models, as they may be recorded: without secrets.

Such a service may hand out a token, which looks like any text, and which an application puts into a header. A replay
does as well without it. What a model says is another matter: it is left out where a secret is in it, but for nothing
less certain, as a case goes by its very words.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from pytest_gepa.trace.fields import read_json
from pytest_gepa.trace.stored import StoredAnswer, without_stamps


def masked(answer: StoredAnswer, redact: Callable[[str], str]) -> StoredAnswer | None:
    """The answer with `[redacted]` in place of its secrets, where it is JSON and stays so; None for one that cannot be
    had without. `redact` gives a text without secrets.
    """
    data = read_json(answer.body)
    is_json = isinstance(data, (dict, list, str))
    # Escapes may hide a name, and a key that stands twice its first value.
    spelled = _spelled(data) if is_json else ""
    texts = map(without_stamps, (answer.body.decode("utf-8", "replace"), spelled, answer.content_type))
    if all(redact(text) == text for text in texts):
        return answer
    body, kind = redact(spelled), answer.content_type
    if not is_json or type(read_json(body)) is not type(data) or redact(kind) != kind:
        return None
    # Half of a surrogate pair, which UTF-8 cannot hold, becomes the escape by which JSON spells it.
    return replace(answer, body=body.encode("utf-8", "backslashreplace"))


def _spelled(data: object) -> str:
    try:
        return json.dumps(data, ensure_ascii=False)
    except RecursionError:
        return ""
