"""How a text that is too long is cut short, wherever it is shown."""

from __future__ import annotations


def cut(text: str, most: int) -> str:
    """The text, of a longer one its beginning and an ellipsis: no more than `most` characters in all."""
    return text if len(text) <= most else f"{text[: most - 3]}..."
