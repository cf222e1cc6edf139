"""What a call took: by the server's count, else roughly."""

from __future__ import annotations

import math
from collections.abc import Iterable

from pytest_gepa.cost.prices import Tokens
from pytest_gepa.trace.fields import Usage
from pytest_gepa.trace.trajectory import Call

CHARACTERS_A_TOKEN = 3
"""For calls whose server told no tokens; most texts have more."""


def tokens_of(call: Call) -> Tokens:
    """What a call took by the server's count; by the length of its texts where it told none."""
    if call.input_tokens or call.output_tokens:
        return told(call)
    asked = [message.content for message in call.request]
    said = [message.content + message.reasoning for message in (call.answer, *call.alternatives) if message]
    return Tokens(_rough(asked), _rough(said))


def told(count: Call | Usage) -> Tokens:
    """The server's own count."""
    return Tokens(
        count.input_tokens,
        count.output_tokens,
        count.cache_read_tokens,
        count.cache_write_tokens,
        count.input_audio_tokens,
        count.output_audio_tokens,
        count.cache_audio_tokens,
    )


def _rough(texts: Iterable[str]) -> int:
    return math.ceil(sum(map(len, texts)) / CHARACTERS_A_TOKEN)
