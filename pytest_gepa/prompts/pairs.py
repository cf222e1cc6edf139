"""What a case gives and what it wants, where that is an object that its test reads as JSON. Strings in, strings out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from pytest_gepa.prompts.python_source import plain_value

READS_JSON = re.compile(r"\bjson\.loads\(|\bmodel_validate_json\(|\bparse_raw\(")
"""How a test, or what it calls, reads an answer as JSON. What a response's `.json()` gives is no answer of a model."""


def json_pair(parameters: Iterable[tuple[str, str]], source: str) -> tuple[str, str] | None:
    """The one text among the parameters ("" where there is none, or several) and the one object or list, as JSON.

    `parameters` are names and reprs, `source` is the test's. None where the test reads no JSON, or it is not plain
    which parameter the answer is to be like.
    """
    if not READS_JSON.search(source):
        return None
    values = [plain_value(shown) for _, shown in parameters]
    texts = [value for value in values if isinstance(value, str)]
    objects = [value for value in values if isinstance(value, (dict, list)) and value]
    if len(objects) != 1:
        return None
    try:
        wanted = json.dumps(objects[0], ensure_ascii=False)
        is_same = json.loads(wanted) == objects[0]
    except (TypeError, ValueError):
        return None
    return (texts[0] if len(texts) == 1 else "", wanted) if is_same else None
