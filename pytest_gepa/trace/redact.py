"""Secrets out of text, before it is written anywhere or shown to a model."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from pytest_gepa.trace.rewrite import rewrite_trajectory
from pytest_gepa.trace.secret_values import SecretValues, may_hold_secret
from pytest_gepa.trace.secrets import ALL, CERTAIN, Rules
from pytest_gepa.trace.spans import joined, marked
from pytest_gepa.trace.trajectory import Step, Trajectory

REDACTED = "[redacted]"

_NO_TEXT = frozenset({"", "null", "true", "false"})

SHORT, MOST_SHORT = 40, 20_000
"""Texts of so many characters are remembered, so many of them."""


class Redactor:
    """Replaces secrets by `[redacted]`: the values of environment variables that are named like secrets, what has the
    form of a known kind of key, what follows a name such as `password=`, and what the user's own patterns match.

    It errs to one side: a plain word that happens to be a password is redacted too. Of a match of a user's pattern all
    goes, or its group `secret` where it has one.
    """

    def __init__(self, environ: Mapping[str, str], patterns: Sequence[str] = ()) -> None:
        self._patterns = [re.compile(pattern) for pattern in patterns]
        self._variables: set[tuple[str, str]] = set()
        self._values = SecretValues((), REDACTED)
        self._short: dict[str, str] = {}
        self.learn(environ)

    def learn(self, environ: Mapping[str, str]) -> None:
        """Look for the values of these variables too."""
        secrets = {(name, value) for name, value in environ.items() if may_hold_secret(name, value)}
        if not secrets <= self._variables:
            # In an order by which another thread never takes for learnt what is not.
            known = self._variables | secrets
            self._values = SecretValues(known, REDACTED)
            self._short = {}
            self._variables = known

    def refreshed(self) -> Redactor:
        """The same, after another look at this process's environment: a program may load its keys from a file when it
        runs."""
        self.learn(os.environ)
        return self

    def redact(self, text: str) -> str:
        """The text without secrets; the same object if there are none."""
        if len(text) > SHORT:
            return self._without(text, ALL)
        # Names, roles and numbers come by the thousand.
        short = self._short
        known = short.get(text)
        if known is None:
            if len(short) >= MOST_SHORT:
                short = self._short = {}
            known = short[text] = self._without(text, ALL)
        return text if known == text else known

    def redact_certain(self, text: str) -> str:
        """The same for what is a secret beyond doubt, and not only because of the name before it."""
        return self._without(text, CERTAIN)

    def redact_trajectory(self, trajectory: Trajectory) -> Trajectory:
        """The same trajectory with every text in it redacted."""
        steps = tuple(Step(*redact_named(step.name, step.value, self.redact)) for step in trajectory.steps)
        told = rewrite_trajectory(replace(trajectory, steps=()), self.redact, self.redact)
        return replace(told, steps=steps)

    def _without(self, text: str, rules: Rules) -> str:
        # A gap may let a pattern match that did not before, until nothing is left to find.
        while (after := self._once(text, rules)) is not text:
            text = after
        return text

    def _once(self, text: str, rules: Rules) -> str:
        # What is redacted already is no part of a secret.
        pieces = text.split(REDACTED) if REDACTED in text else [text]
        changed = [_cut(piece, self._find(piece, rules)) if piece else piece for piece in pieces]
        if all(after is before for after, before in zip(changed, pieces, strict=True)):
            return text
        return REDACTED.join(changed)

    def _find(self, text: str, rules: Rules) -> Iterator[tuple[int, int]]:
        yield from self._values.find(text)
        yield from rules.find(text)
        for pattern in self._patterns:
            group = "secret" if "secret" in pattern.groupindex else 0
            yield from (found.span(group) for found in pattern.finditer(text))


def redact_named(name: str, value: str, redact: Callable[[str], str], *, is_code: bool = False) -> tuple[str, str]:
    """A name and its value without secrets, without one that nothing but the name tells of, too: whoever shows both
    would join what were two texts without a secret. `is_code` says that the value is that of Python, by its `repr`.
    """
    shown = redact(name)
    before = f"{shown} = "
    for quote in "" if is_code or value in _NO_TEXT else "'\"":
        # In quotes it is known to be all of the value, whatever words it is made of.
        whole = f"{before}{quote}{value}{quote}"
        if quote not in value and redact(whole) == f"{before}{quote}{REDACTED}{quote}":
            return shown, REDACTED
    told = redact(before + value)
    return shown, told.removeprefix(before) if told.startswith(before) else REDACTED


def prepare() -> None:
    """Compile what nearly every text gives reason to look for, for the processes that are forked of this one."""
    for rules in (ALL, CERTAIN):
        list(rules.find("tokens: of a task, in an account"))


def _cut(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text with one mark in place of each span, or of several that touch; the same object if there are none."""
    found = joined(span for span in spans if span[1] > span[0] >= 0)
    return marked(text, found, REDACTED) if found else text
