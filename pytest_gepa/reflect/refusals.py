"""What a server finds fault with in a request, told by the words of its answer. Servers agree on no codes for it."""

from __future__ import annotations

import re

from pytest_gepa.trace.stored import StoredAnswer

_NAMES_SCHEMA = re.compile(r"response_format|json mode|structured output|schema|maxLength|grammar", re.IGNORECASE)
_NOT_SUPPORTED = re.compile(
    r"not supported|unsupported|(?:not|n't) support|extra (?:inputs|fields)|unrecognized", re.IGNORECASE
)
# Said by chat templates (Gemma's, Mistral's), and by servers of such models in words of their own.
_NO_SYSTEM_ROLE = re.compile(
    r"(?:system|developer)[ _]?(?:role|message|prompt|instruction)s?\W{1,3}(?:is |are )?"
    r"(?:not (?:supported|allowed|enabled)|unsupported)|not support.{0,20}\bsystem\b"
    r"|roles must alternate|only user.{0,20} roles are supported",
    re.IGNORECASE,
)
_FILTERED = re.compile(
    r"content[ _]filter|content[ _]policy|content management policy|invalid_prompt|ResponsibleAI|moderation",
    re.IGNORECASE,
)
# vLLM has "max_tokens must be at least 1, got -7584", TGI "`inputs` tokens + `max_new_tokens` must be <= 4096".
_TOO_LONG = re.compile(
    r"context|too long|too large|too many tokens|maximum.{0,40}(?:length|tokens)|token limit"
    r"|must be at least 1, got -|max_new_tokens\W{0,3}must be|must have less than \d+ tokens",
    re.IGNORECASE,
)
# OpenAI counts the schema's own tokens, and so names it.
_SAYS_TOO_LONG = re.compile(
    r"context[ _](?:length|window|size)|too many tokens|reduce the length of the messages", re.IGNORECASE
)


def refuses_schema(answer: StoredAnswer) -> bool:
    """Whether a server does not take the schema that it was sent."""
    said = what_it_says(answer)
    if answer.status not in (400, 404, 422) or (is_too_long(answer) and _SAYS_TOO_LONG.search(said)):
        return False
    return bool(_NAMES_SCHEMA.search(said) or (_NOT_SUPPORTED.search(said) and not is_too_long(answer)))


def refuses_system_role(answer: StoredAnswer) -> bool:
    """Whether a model takes no system message. To some servers it is their own failure that its template says so."""
    return answer.status in (400, 422, 500) and bool(_NO_SYSTEM_ROLE.search(what_it_says(answer)))


def is_too_long(answer: StoredAnswer) -> bool:
    """Whether the request is longer than the model's context."""
    return answer.status == 413 or (answer.status in (400, 422) and bool(_TOO_LONG.search(what_it_says(answer))))


def is_filtered(answer: StoredAnswer) -> bool:
    """Whether it is the content of this one request that the server takes offence at."""
    return answer.status in (400, 403, 422) and bool(_FILTERED.search(what_it_says(answer)))


def what_it_says(answer: StoredAnswer) -> str:
    """The beginning of the server's message; further on it may quote the request, which must not be read."""
    return f"status {answer.status}: {answer.body.decode('utf-8', 'replace')}"[:1_000]
