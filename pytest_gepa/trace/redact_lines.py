"""Secrets out of texts that are shown line by line: a text is redacted whole, as a secret may go over several lines,
and only then divided."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from pytest_gepa.prompts.summary import one_line
from pytest_gepa.trace.redact import REDACTED

_LINE = 150
"""So many characters tell a line from others; of a longer one a summary shows little more."""

_SIGN = re.compile(r"[-+ ] ?")
"""What a change has before a line."""


def redact_by_line(text: str, redact: Callable[[str], str]) -> str:
    """The text without its secrets, and with all of its line ends, those inside of secrets too: of a secret that goes
    over several lines, each is `[redacted]`.

    `redact` gives a text with `[redacted]` in the place of each secret and all else as it was. Of another, the text is
    what it gives.
    """
    shown = redact(text)
    if shown == text:
        return text
    parts = shown.split(REDACTED)
    secrets = _between(text, parts)
    if secrets is None:
        return shown
    marked = (_marked(secret) + part for secret, part in zip(secrets, parts[1:], strict=True))
    return parts[0] + "".join(marked)


class HiddenLines:
    """The lines of whole texts that show a part of a secret although nothing in the line alone tells so: the last of a
    key over several lines, say.

    For what quotes lines of these texts, be it without their indent, cut, or behind the `-` or `+` of a change.
    """

    def __init__(self, texts: Iterable[str], redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._shown: dict[str, str] = {}
        for text in dict.fromkeys(texts):
            shown = redact_by_line(text, redact)
            if shown != text:
                for before, after in zip(text.split("\n"), shown.split("\n"), strict=False):
                    if before != after and redact(before) != after:
                        self._hide(before, after)

    def redact(self, text: str) -> str:
        """The text without secrets of its own, and without what its lines show of those of the whole texts."""
        if not self._shown:
            return self._redact(text)
        before, after = text.split("\n"), redact_by_line(text, self._redact).split("\n")
        return "\n".join(map(self._line, before if len(before) == len(after) else after, after))

    def _line(self, before: str, after: str) -> str:
        hidden = self._shown.get(_key(before))
        if hidden is not None:
            return hidden
        sign = _SIGN.match(before)
        hidden = None if sign is None else self._shown.get(_key(before[1:]))
        return after if sign is None or hidden is None else sign.group() + hidden

    def _hide(self, line: str, shown: str) -> None:
        key = _key(line)
        if any(map(str.isalnum, key)):
            known = self._shown.get(key, shown)
            self._shown[key] = min(known, shown, key=_visible)


def _between(text: str, parts: list[str]) -> list[str] | None:
    """What stands in `text` between the parts of what is shown of it, at least one character each time; None if the
    parts do not stand there.

    Where the parts could stand at several places, these are one choice of them. Nothing but the number of line ends
    at a mark hangs on it: what is shown is what `parts` have.
    """
    if len(parts) < 2:
        return None
    first, *middle, last = parts
    at, end = len(first), len(text) - len(last)
    secrets = []
    for part in middle:
        found = text.find(part, at + 1, end)
        if found < 0:
            return None
        secrets.append(text[at:found])
        at = found + len(part)
    fits = at < end and text.startswith(first) and text.endswith(last)
    return [*secrets, text[at:end]] if fits else None


def _marked(secret: str) -> str:
    """A mark in place of each line of a secret, an empty one as it is."""
    whole, bare = secret.splitlines(keepends=True), secret.splitlines()
    return "".join((REDACTED if body else "") + line[len(body) :] for line, body in zip(whole, bare, strict=True))


def _key(line: str) -> str:
    return one_line(line, 2 * _LINE)[:_LINE].strip()


def _visible(shown: str) -> int:
    return len(shown.replace(REDACTED, ""))
