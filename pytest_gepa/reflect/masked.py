"""A prompt that holds a secret, as a reflection model may see it, and the way back from the text that it edits."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from pytest_gepa.reflect.reply import ReplyError
from pytest_gepa.trace.redact import REDACTED

LEAST_RUN = 8
"""So many characters of a secret in a row are a piece of it, of a shorter one all."""


@dataclass(frozen=True, slots=True)
class Masked:
    """A text with a mark in the place of each secret: `shown`; and the `secrets`, in order."""

    shown: str
    secrets: tuple[str, ...] = ()

    @classmethod
    def of(cls, text: str, redact: Callable[[str], str]) -> Masked:
        """Mask a text."""
        shown = redact(text)
        if shown is text:
            return cls(text)
        between = "(.*?)".join(re.escape(part) for part in shown.split(REDACTED))
        found = re.fullmatch(between, text, re.DOTALL)
        assert found is not None  # the parts of `shown` between its marks stand in `text` in this order
        return cls(shown, found.groups())

    def restore(self, edited: str) -> str:
        """An edited text with the secrets in their places. Raises `ReplyError` unless each mark is where it was."""
        if not self.secrets:
            return edited
        if _marked(edited) != _marked(self.shown):
            raise ReplyError(
                f"redacted part changed: every line that holds {REDACTED} must stay as it is, and in its order"
            )
        parts = edited.split(REDACTED)
        return parts[0] + "".join(secret + part for secret, part in zip(self.secrets, parts[1:], strict=True))

    def without_secrets(self, said: str) -> str:
        """What is said of the restored text, without what it quotes of a secret: cut short, or escaped as by `repr`,
        which no pattern for secrets knows again.
        """
        for secret in self.secrets:
            for spelt in dict.fromkeys((secret, repr(secret)[1:-1])):
                said = _without_runs(said, spelt)
        return said


def _without_runs(said: str, secret: str) -> str:
    """The text with a mark for every run of characters that stands in the secret, and is more than chance."""
    least = min(len(secret), LEAST_RUN)
    made, at = "", 0
    while at < len(said):
        end = at + least
        if not secret or said[at:end] not in secret or end > len(said):
            made, at = made + said[at], at + 1
            continue
        while end < len(said) and said[at : end + 1] in secret:
            end += 1
        made, at = made + REDACTED, end
    return made


def _marked(text: str) -> list[str]:
    """The lines that hold a mark."""
    return [line for line in text.split("\n") if REDACTED in line]
