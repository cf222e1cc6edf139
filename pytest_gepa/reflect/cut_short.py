"""Servers that cut what they are sent without a word: Ollama does, to its `num_ctx`, and answers with status 200."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from pytest_gepa.reflect.fit import BYTES_PER_TOKEN
from pytest_gepa.reflect.request import ChatMessage

_LEAST = 2_000
"""Estimated tokens of a request that tells anything: below, what a template adds and estimates miss weigh too much."""


class CutShort:
    """Compares what a server says it has read with what it was sent, from any number of threads."""

    def __init__(self) -> None:
        self._found: tuple[int, int] | None = None
        self._lock = threading.Lock()

    def note(self, messages: Sequence[ChatMessage], counted: int) -> None:
        """Take in the server's own count of the tokens of a request; 0 where it sent none."""
        # By characters: the scripts that take several bytes to one have more bytes to a token as well.
        about = round(sum(len(message["content"]) for message in messages) / BYTES_PER_TOKEN)
        if about <= _LEAST or not 0 < counted < about / 2:
            return
        with self._lock:
            # Of several the largest, so that nothing hangs on which reply comes first.
            self._found = max(self._found or (0, 0), (about, counted))

    @property
    def warning(self) -> str:
        """What a user should know of it, "" if there is nothing."""
        if self._found is None:
            return ""
        about, counted = self._found
        return (
            f"the reflection model's server counted {counted:,} tokens of a request of about {about:,}: it may cut "
            "what it is sent, and the model not see all of it; for Ollama set num_ctx (OLLAMA_CONTEXT_LENGTH)"
        )
