"""Markers of protected regions that stand in a file's own comments, outside of every text, where they protect nothing.

Whoever writes `# gepa: keep` above a field of YAML, or between the literals of a constant, takes it for protected.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterable, Iterator

from pytest_gepa.errors import PromptError
from pytest_gepa.prompts.components import Component
from pytest_gepa.prompts.formats.document import Document, line_at
from pytest_gepa.prompts.formats.setting import PYTHON, TEXT, parsed

_MARKER = re.compile(r"#+[ \t]*gepa:[ \t]*(?:keep|end)[ \t]*$", re.MULTILINE)


def check_comments(components: Iterable[Component]) -> None:
    """Raise `PromptError`, naming file and line, for such a marker in a file that holds one of the components."""
    files = {component.path: component for component in components if component.format != TEXT}
    for component in files.values():
        document = parsed(component.format, component.source)
        lines = _of_python(document) if component.format == PYTHON else _of_data(document)
        for line in lines:
            file = component.id.partition("::")[0]
            raise PromptError(
                f"{file}: line {line}: this comment with gepa: is no part of a text, so it protects nothing; put it "
                "inside the text"
            )


def _of_python(document: Document) -> Iterator[int]:
    if _MARKER.search(document.content) is None:
        return
    for token in tokenize.generate_tokens(io.StringIO(document.content).readline):
        if token.type == tokenize.COMMENT and _MARKER.fullmatch(token.string.rstrip()):
            yield token.start[0]


def _of_data(document: Document) -> Iterator[int]:
    for marker in _MARKER.finditer(document.content):
        around = (one for one in document.fields.values() if one.start <= marker.start() < one.end)
        field = next(around, None)
        # The first line of a block (`|  # gepa: keep`) is no part of its text either.
        if field is None or _MARKER.search(field.text) is None:
            yield line_at(document.content, marker.start())
