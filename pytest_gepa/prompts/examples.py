"""Examples in a prompt that are cases of the suite: which case stands where, and whether it still does. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pytest_gepa.own import OwnName

_TELLING_WORDS = 4


@dataclass(frozen=True, slots=True)
class Example:
    """A search case that was taken whole into a component's text: `text` is what was put there."""

    case: OwnName
    component: OwnName
    text: str


def is_kept(example: Example, text: str) -> bool:
    """Whether a line of the example that tells it from other text still stands in a component's `text`."""
    lines = [line.strip() for line in example.text.split("\n")]
    telling = [line for line in lines if len(line.split()) >= _TELLING_WORDS] or [max(lines, key=len)]
    return any(line in text for line in telling)


def still_kept(examples: Iterable[Example], texts: Mapping[str, str]) -> tuple[Example, ...]:
    """Return the examples, each once, that still stand in these texts by component."""
    return tuple(example for example in dict.fromkeys(examples) if is_kept(example, texts.get(example.component, "")))


def cases_of(examples: Iterable[Example]) -> tuple[str, ...]:
    """Return the ids of the cases that were taken, each once, sorted."""
    return tuple(sorted({example.case for example in examples}))
