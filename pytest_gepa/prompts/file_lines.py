"""On which line of its file each line of a component's text stands. Pure."""

from __future__ import annotations

from pytest_gepa.errors import PromptError
from pytest_gepa.prompts.components import Component
from pytest_gepa.prompts.formats.setting import TEXT, parsed


def file_lines(component: Component) -> tuple[int, ...]:
    """Return for each line of the component's text its line in the file, counted from 1.

    A line that the file spells in another way (escaped, joined) is given that of the line before it.
    """
    rows = component.text.split("\n")
    if component.format == TEXT:
        return tuple(range(1, len(rows) + 1))
    try:
        document = parsed(component.format, component.source)
        field = document.fields[component.place]
    except (PromptError, KeyError):
        return tuple(range(1, len(rows) + 1))
    content, at, number = document.content, field.start, field.line
    found: list[int] = []
    for line in rows:
        shown = line.strip()
        place = content.find(shown, at, field.end) if shown else -1
        if place >= 0:
            number += content.count("\n", at, place)
            at = place
            found.append(number)
            # The next one is looked for behind it; a line end there is not to be counted twice.
            number += content.count("\n", at, at + len(shown))
            at += len(shown)
        else:
            found.append(number)
    for row in range(1, len(rows)):
        later = next((found[at] for at in range(row + 1, len(rows)) if rows[at].strip()), 0)
        if not rows[row].strip() and found[row - 1] + 1 < later:
            found[row] = found[row - 1] + 1
    return tuple(found)
