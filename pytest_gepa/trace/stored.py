"""An answer as it is kept: status, content type and the decoded body, in bytes that nothing unpickles."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

_FORM = "gepa-answer-1"
_EVENT = re.compile(rb".+?(?:\n\n|\r\n\r\n|\Z)", re.DOTALL)
# Inside of a text that JSON holds, the quotes of these names are escaped.
_STAMP = re.compile(
    r'("created(?:_at)?"\s*:\s*)\d{10}(?=\s*[,}])'
    r'|("(?:id|system_fingerprint)"\s*:\s*)"(?:chatcmpl|cmpl|resp|msg|gen|fp)[-_][A-Za-z0-9-]{8,80}"'
)
_EVENT_ENDS = (b"\n\n", b"\r\n\r\n")


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """A response that came once: its status, its content type, and its body without any content encoding. `seconds` is
    how long it took to come, None where that is not known.
    """

    status: int
    content_type: str
    body: bytes
    seconds: float | None = None

    @property
    def is_event_stream(self) -> bool:
        """Whether the body is a stream of server-sent events."""
        return "event-stream" in self.content_type

    def pieces(self) -> Iterator[bytes]:
        """The body as it may come over a wire: event by event, or in one piece."""
        if not self.is_event_stream:
            yield self.body
            return
        for event in _EVENT.findall(self.body):
            # A client may hang up at the terminal line, before the empty one that ends the last event.
            yield event if event.endswith(_EVENT_ENDS) else event.rstrip(b"\r\n") + b"\n\n"

    def encode(self) -> bytes:
        """The answer as one value of the cache; `decode` reads it."""
        head: dict[str, object] = {
            "form": _FORM,
            "status": self.status,
            "content_type": self.content_type,
        }
        if self.seconds is not None:
            head["seconds"] = self.seconds
        return json.dumps(head).encode("ascii") + b"\n" + self.body


def decode(data: bytes) -> StoredAnswer | None:
    """The answer that `StoredAnswer.encode` wrote; None for bytes that it did not write."""
    line, newline, body = data.partition(b"\n")
    try:
        head = json.loads(line) if newline else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(head, dict) or head.get("form") != _FORM:
        return None
    status, content_type = head.get("status"), head.get("content_type")
    if type(status) is not int or type(content_type) is not str:
        return None
    seconds = head.get("seconds")
    return StoredAnswer(status, content_type, body, seconds if type(seconds) is float else None)


def without_stamps(text: str) -> str:
    """An answer's body without the time and the random id that the server has given it: they say nothing of anybody,
    but may look to a pattern like what does."""
    return _STAMP.sub(lambda found: f'{found[1] or found[2]}""', text)
