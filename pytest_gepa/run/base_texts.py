"""The text that a prompt of today had in an earlier state of its file, where the two can be paired without doubt."""

from __future__ import annotations

from pytest_gepa.errors import PromptError
from pytest_gepa.prompts.addresses import SEPARATOR
from pytest_gepa.prompts.components import Component
from pytest_gepa.prompts.finding import DATA_SUFFIXES
from pytest_gepa.prompts.formats.document import FormatError
from pytest_gepa.prompts.formats.setting import TEXT, format_name
from pytest_gepa.prompts.reading import NotTextError, SourceFile, plain, whole
from pytest_gepa.prompts.revisions import kept_apart

_WAY_OUT = (
    "name a commit in which it can be, with --gepa-check=REV, or leave the prompt out with --gepa-prompts"
)


def text_before(component: Component, data: bytes, commit: str) -> str | None:
    """The text that a component had in `data`, the bytes of its file at a commit; None where it had none.

    Raises `PromptError`, with the way out, for a text that cannot be read there.
    """
    if mend := kept_apart(data):
        raise PromptError(f"{component.id} cannot be read as it was at {commit[:10]}: {mend}")
    try:
        return _text_in(component, data)
    except (FormatError, NotTextError) as error:
        raise PromptError(
            f"{component.id} cannot be read as it was at {commit[:10]}: {error}; {_WAY_OUT}"
        ) from None


def _text_in(component: Component, data: bytes) -> str | None:
    file = SourceFile(component.id.partition(SEPARATOR)[0], component.path, data, format_name(component.path))
    if component.address:
        found = file.document().fields.get(component.place)
        return None if found is None else found.text
    is_everything = component.format == TEXT and component.path.suffix.lower() in DATA_SUFFIXES
    if component.id.endswith(SEPARATOR) or is_everything:
        return whole(file).text
    return plain(file).text
