"""Prompts that are sent as they stand: what looks like a placeholder in them is none."""

from __future__ import annotations

from collections.abc import Collection

from pytest_gepa.prompts.format_fields import format_fields, is_for_format
from pytest_gepa.prompts.placeholders import FORMAT, literal_segments, placeholders


def is_sent_unfilled(text: str, within: frozenset[str], sent: Collection[str]) -> bool:
    """Whether a text has placeholders of the syntaxes `within`, and each message of those `sent` that shows any of its
    other pieces has all of its lines with placeholders as they are. One message at least must do so.
    """
    fields = placeholders(text, within)
    # Those without a name (`{}`) are no placeholders to us, and yet `str.format` would fill them in.
    unnamed = format_fields(text) - fields if FORMAT in within and is_for_format(text) else frozenset()
    lines = dict.fromkeys(line.strip() for line in text.split("\n") if line.strip())
    held = [
        line
        for line in lines
        if not fields.isdisjoint(placeholders(line, within)) or any(one in line for one in unnamed)
    ]
    segments = literal_segments(text)
    showing = [message for message in sent if any(segment in message for segment in segments)]
    return bool(held and showing) and all(line in message for message in showing for line in held)
