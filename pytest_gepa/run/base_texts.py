"""The text that a prompt of today had in an earlier state of its file, where the two can be paired without doubt."""

from __future__ import annotations

import ast
import warnings

from pytest_gepa.errors import PromptError
from pytest_gepa.prompts.addresses import SEPARATOR, FieldPath, write_address
from pytest_gepa.prompts.components import Component
from pytest_gepa.prompts.finding import DATA_SUFFIXES
from pytest_gepa.prompts.formats.document import Document, FormatError
from pytest_gepa.prompts.formats.python_bindings import bindings
from pytest_gepa.prompts.formats.setting import PYTHON, TEXT, format_name, parsed
from pytest_gepa.prompts.reading import NotTextError, SourceFile, plain, whole
from pytest_gepa.prompts.revisions import kept_apart

_MARK = "\ufeff"
_WAY_OUT = "name a commit in which it can be, with --gepa-check=REV, or leave the prompt out with --gepa-prompts"


class RearrangedError(PromptError):
    """A list in `file` has not the items that it had, so that its texts cannot be set one by one."""

    def __init__(self, file: str, path: FieldPath) -> None:
        where = f"{file}{SEPARATOR}{write_address(path)}" if path else file
        super().__init__(f"the items of {where} were rearranged")
        self.file = file


def text_before(component: Component, data: bytes, commit: str) -> str | None:
    """The text that a component had in `data`, the bytes of its file at a commit; None where it had none.

    Raises `PromptError`, with the way out, for a text that cannot be read there.
    """
    if mend := kept_apart(data):
        raise PromptError(f"{component.id} cannot be read as it was at {commit[:10]}: {mend}")
    try:
        return text_in(component, data)
    except RearrangedError as error:
        raise PromptError(
            f"{error} since {commit[:10]}, so that the old texts cannot be put into the list of today; name the whole "
            f"file in place of the texts in it (--gepa-prompts={error.file}{SEPARATOR}), and each side runs all of it "
            "as it was or is; or leave it out with --gepa-prompts"
        ) from None
    except (FormatError, NotTextError) as error:
        raise PromptError(f"{component.id} cannot be read as it was at {commit[:10]}: {error}; {_WAY_OUT}") from None


def text_in(component: Component, data: bytes) -> str | None:
    """The text at a component's place in other bytes of its file; None where nothing is there.

    Raises `FormatError`, `NotTextError` or `RearrangedError` for what is there and cannot be read.
    """
    file = SourceFile(component.id.partition(SEPARATOR)[0], component.path, data, format_name(component.path))
    if component.address:
        return _text_at(component, file.document())
    is_everything = component.format == TEXT and component.path.suffix.lower() in DATA_SUFFIXES
    found = whole(file) if component.id.endswith(SEPARATOR) or is_everything else plain(file)
    return _written_as_today(component, found.text)


def _written_as_today(component: Component, text: str) -> str:
    """The text without mixed line ends and byte order marks where today has none: they change no word of a prompt."""
    if "\r" not in component.text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if component.text.startswith(_MARK) else text.lstrip(_MARK)


def _text_at(component: Component, document: Document) -> str | None:
    """The text at a component's place, None where nothing is. Raises `FormatError` for what is there and no text."""
    place = component.place
    above = [place[:length] for length in range(1, len(place) + 1)]
    refusal = next((document.refused[path] for path in above if path in document.refused), None)
    if refusal is not None:
        raise FormatError(refusal.reason)
    for length, key in enumerate(place):
        if isinstance(key, int):
            _check_list(component, place[:length], document)
    found = document.fields.get(place)
    if found is not None:
        return found.text
    is_below = any(path[: len(place)] == place for path in (*document.fields, *document.refused))
    if is_below or any(path in document.fields for path in above):
        raise FormatError("it stands there in another form, one text for several or several for one")
    if component.format == PYTHON and _is_made_by_a_call(document.content, place):
        raise FormatError("its name has no fixed text there, but what a call gives")
    return None


def _check_list(component: Component, path: FieldPath, before: Document) -> None:
    """Raise `RearrangedError` where the list at `path` has had other items than it has today.

    By their places the wrong texts would be paired; and whatever is paired, to set old texts in the list of today makes
    messages that never were.
    """
    if not any(_is_below(known, path) for known in (*before.fields, *before.refused)):
        return  # there was no such list
    today = parsed(component.format, component.source)
    if _items(before, path) != _items(today, path) or component.place not in before.fields:
        raise RearrangedError(component.id.partition(SEPARATOR)[0], path)


def _items(document: Document, path: FieldPath) -> dict[str | int, str]:
    """The items of a list that have texts, by their places, each with its role ("" where it has none)."""
    items = {known[: len(path) + 1] for known in (*document.fields, *document.refused) if _is_below(known, path)}
    # The named arguments of a call stand beside its places.
    return {item[-1]: document.roles.get(item, "") for item in items if isinstance(item[-1], int)}


def _is_below(known: FieldPath, path: FieldPath) -> bool:
    return len(known) > len(path) and known[: len(path)] == path


def _is_made_by_a_call(source: str, place: FieldPath) -> bool:
    """Whether a Python file gives a name the value of a call, as one that reads a file: no format refuses that."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old escapes, say
        tree = ast.parse(source)
    return any(isinstance(way.value, ast.Call) for way in bindings(tree).get(place, ()))
