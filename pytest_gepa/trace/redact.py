"""Secrets out of text, before it is written anywhere or shown to a model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from pytest_gepa.trace.trajectory import Call, Message, Step, Trajectory

REDACTED = "[redacted]"

SHORTEST_SECRET = 8
"""Values of environment variables below this many characters are left: `1`, `true`, `test` are everywhere."""

_SECRET_NAME = re.compile(
    r"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|CREDENTIALS|PWD)S?(?:$|_)|_(?:PAT|PASS|AUTH)$",
    re.IGNORECASE,
)
_NO_SECRET = frozenset({"PWD", "OLDPWD"})

# Each pattern with texts one of which occurs, in lower case, wherever it can match: searching for them is
# some hundred times faster than the pattern. A group 1 is kept.
_PATTERNS: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = (
    (
        ("private key-----",),
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S),
    ),
    (("bearer",), re.compile(r"(authorization\W{1,8}bearer\s+)[^\s\"',;]+", re.I)),
    (("bearer",), re.compile(r"(\bbearer\s+)(?=[\w.~+/-]*\d|[\w.~+/-]{24})[\w.~+/-]{8,}=*", re.I)),
    (("sk-",), re.compile(r"\bsk-(?=[\w-]*\d)[\w-]{10,}")),
    (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), re.compile(r"\bgh[pousr]_\w{16,}")),
    (("github_pat_",), re.compile(r"\bgithub_pat_\w{16,}")),
    (("glpat-",), re.compile(r"\bglpat-[\w-]{16,}")),
    (("hf_",), re.compile(r"\bhf_[A-Za-z0-9]{20,}")),
    (("xox",), re.compile(r"\bxox[abposr]-[\w-]{10,}")),
    (("akia", "asia"), re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    (("aiza",), re.compile(r"\bAIza[\w-]{30,}")),
    (("eyj",), re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*")),
    (
        ("api_key", "apikey", "api-key", "access_token", "refresh_token", "id_token", "client_secret"),
        re.compile(
            r"((?:api[_-]?key|(?:access|refresh|id)_token|client_secret)\\?\"\s*:\s*\\?\")[^\"\\]+", re.I
        ),
    ),
)


class Redactor:
    """Replaces secrets by `[redacted]`: the values of environment variables that are named like secrets, and
    what has the form of a known kind of key (bearer tokens, API keys, JSON web tokens, private keys).

    It errs to one side: a plain word that happens to be a password is redacted too.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        values = {
            form
            for name, value in environ.items()
            if looks_secret(name) and len(value.strip()) >= SHORTEST_SECRET
            for form in (value.strip(), json.dumps(value.strip())[1:-1])
        }
        # Longest first: of two values the one that holds the other must go as a whole.
        self._values = sorted(values, key=lambda value: (-len(value), value))

    def redact(self, text: str) -> str:
        """The text without secrets; the same object if there are none."""
        for value in self._values:
            if value in text:
                text = text.replace(value, REDACTED)
        lowered = text.lower()
        for hints, pattern in _PATTERNS:
            if any(hint in lowered for hint in hints):
                text = pattern.sub(_keep_group, text)
        return text

    def redact_trajectory(self, trajectory: Trajectory) -> Trajectory:
        """The same trajectory with every text in it redacted."""
        return rewrite_trajectory(trajectory, self.redact)


def rewrite_trajectory(trajectory: Trajectory, change: Callable[[str], str]) -> Trajectory:
    """The same trajectory with `change` made to every text in it; the keys of the calls are hashes and stay."""

    def message(given: Message) -> Message:
        return replace(
            given,
            content=change(given.content),
            reasoning=change(given.reasoning),
            tool_calls=tuple(
                replace(call, arguments=change(call.arguments), result=change(call.result))
                for call in given.tool_calls
            ),
        )

    def call(given: Call) -> Call:
        return replace(
            given,
            request=tuple(message(one) for one in given.request),
            answer=None if given.answer is None else message(given.answer),
            error=change(given.error),
            alternatives=tuple(message(one) for one in given.alternatives),
            other_texts=tuple(change(text) for text in given.other_texts),
            answer_format=change(given.answer_format),
        )

    return Trajectory(
        calls=tuple(call(one) for one in trajectory.calls),
        steps=tuple(Step(change(step.name), change(step.value)) for step in trajectory.steps),
        output=tuple((change(title), change(text)) for title, text in trajectory.output),
        failure=change(trajectory.failure),
    )


def looks_secret(name: str) -> bool:
    """Whether an environment variable of this name may hold a secret (`OPENAI_API_KEY`, `PGPASSWORD`)."""
    return name.upper() not in _NO_SECRET and _SECRET_NAME.search(name) is not None


def _keep_group(match: re.Match[str]) -> str:
    kept = match.group(1) if match.re.groups else ""
    return f"{kept}{REDACTED}"
