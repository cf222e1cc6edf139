"""Prompts that are sent as they stand: what looks like a placeholder in them is none."""

from __future__ import annotations

from collections.abc import Collection

from pytest_gepa.prompts.placeholders import placeholders


def is_sent_unfilled(text: str, within: frozenset[str], sent: Collection[str]) -> bool:
    """Whether every line of a text that has a placeholder, of the syntaxes `within`, was `sent` to a model as it is."""
    fields = placeholders(text, within)
    lines = dict.fromkeys(line.strip() for line in text.split("\n") if line.strip())
    held = [line for line in lines if not fields.isdisjoint(placeholders(line, within))]
    return bool(held) and all(any(line in message for message in sent) for line in held)
