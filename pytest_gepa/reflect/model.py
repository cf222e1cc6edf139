"""The reflection model behind an OpenAI-compatible server: where it is, and one question asked of it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pytest_gepa.errors import ReflectionError
from pytest_gepa.reflect.request import ChatMessage

if TYPE_CHECKING:
    import openai

RETRIES = 4
"""How often the SDK tries again on 408, 409, 429, 5xx and lost connections, backing off."""

DEFAULT_TIMEOUT = 600.0
"""Seconds for one HTTP request; a reasoning model may think for minutes."""

_NAMES_SCHEMA = re.compile(
    r"response_format|json mode|structured output|schema|maxLength|grammar", re.IGNORECASE
)
_NOT_SUPPORTED = re.compile(
    r"not supported|unsupported|(?:not|n't) support|extra (?:inputs|fields)|unrecognized", re.IGNORECASE
)
_TOO_LONG = re.compile(
    r"context|too long|too large|too many tokens|maximum.{0,40}(?:length|tokens)|token limit", re.IGNORECASE
)


class ContextTooLong(ReflectionError):
    """The request is longer than the model's context; a shorter one may pass."""


@dataclass(frozen=True, slots=True)
class ReflectionEndpoint:
    """Where the reflection model is.

    `base_url` None is the SDK's default; `timeout` is in seconds, for one HTTP request.
    """

    model: str
    base_url: str | None = None
    api_key: str = field(default="", repr=False)
    timeout: float = DEFAULT_TIMEOUT


@dataclass(frozen=True, slots=True)
class RawReply:
    """A reply as it came. Tokens are the server's own count, 0 when it sent none."""

    text: str
    finish_reason: str = ""
    refusal: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0


def endpoint_from_environment(
    model_setting: str | None, environ: Mapping[str, str]
) -> ReflectionEndpoint | None:
    """The endpoint that the settings and the environment name, None if no model is named.

    `model_setting` wins over GEPA_REFLECTION_MODEL; server and key come from GEPA_REFLECTION_BASE_URL and
    GEPA_REFLECTION_API_KEY, else from OPENAI_BASE_URL and OPENAI_API_KEY. Empty variables count as unset. The key
    of the one server is not sent to another host, unless that is this machine.
    """
    model = model_setting or environ.get("GEPA_REFLECTION_MODEL")
    if not model:
        return None
    usual = environ.get("OPENAI_BASE_URL") or None
    base_url = environ.get("GEPA_REFLECTION_BASE_URL") or usual
    key = environ.get("GEPA_REFLECTION_API_KEY") or ""
    if not key and _may_have_key(base_url, usual):
        key = environ.get("OPENAI_API_KEY") or ""
    return ReflectionEndpoint(model, base_url, key)


def _may_have_key(base_url: str | None, usual: str | None) -> bool:
    """Whether a server may be sent the key that was given for the usual one: it is that host, or this machine."""
    host, usual_host = (urlsplit(url or "").hostname for url in (base_url, usual))
    return host == usual_host or host in ("localhost", "127.0.0.1", "::1")


class ReflectionModel:
    """Asks the model, from any number of threads. Remembers when the server does not take a schema."""

    def __init__(self, settings: ReflectionEndpoint) -> None:
        self.settings = settings
        self._level = 0
        self._lock = threading.Lock()
        self._client: openai.OpenAI | None = None

    def ask(self, messages: Sequence[ChatMessage], schema: Mapping[str, Any] | None = None) -> RawReply:
        """One answer to a chat, as JSON of the schema where the server takes one.

        A schema that the server refuses is sent without its lengths, then not at all, and so for the rest of
        the run. Raises `ContextTooLong`, and `ReflectionError` for anything that more of the same would not help.
        """
        import openai

        started = time.monotonic()
        try:
            completion = self._complete(messages, schema)
        except openai.APIStatusError as error:
            if _is_too_long(error):
                raise ContextTooLong(
                    self._message(error, "the request is longer than its context")
                ) from error
            raise ReflectionError(self._status_message(error)) from error
        except openai.APITimeoutError as error:
            mend = f"no answer within {self.settings.timeout:g} s, {RETRIES + 1} times"
            raise ReflectionError(self._message(error, mend)) from error
        except (openai.OpenAIError, ValueError) as error:
            raise ReflectionError(
                self._message(error, "is the base URL right, and the server up?")
            ) from error
        return self._reply(completion, time.monotonic() - started)

    def close(self) -> None:
        """Close the connections. The next question opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _complete(self, messages: Sequence[ChatMessage], schema: Mapping[str, Any] | None) -> Any:
        import openai

        # Plain dicts: the SDK's typed unions differ between its major versions.
        create: Any = self._connected().chat.completions.create
        ways = [(level, way) for level, way in enumerate(_ways(schema)) if level >= self._level]
        # A way that is no other than the one before it would be refused as well.
        ways = [pair for at, pair in enumerate(ways) if at == 0 or pair[1] != ways[at - 1][1]]
        for (_, way), following in zip(ways, [*ways[1:], None], strict=True):
            try:
                return create(model=self.settings.model, messages=list(messages), **way)
            except openai.APIStatusError as error:
                if following is None or not _refuses_schema(error):
                    raise
                self._level = max(self._level, following[0])
        raise AssertionError("the last way returns or raises")

    def _connected(self) -> openai.OpenAI:
        import openai

        with self._lock:
            if self._client is None:
                self._client = openai.OpenAI(
                    base_url=self.settings.base_url,
                    # Servers on the own machine take any key, but the SDK and HTTP need one.
                    api_key=self.settings.api_key or "none",
                    timeout=self.settings.timeout,
                    max_retries=RETRIES,
                )
            return self._client

    def _reply(self, completion: Any, seconds: float) -> RawReply:
        choices = getattr(completion, "choices", None)
        if not isinstance(choices, list):
            # The SDK hands over a web page as a string, and an error sent with status 200 as an empty
            # completion.
            detail = str(getattr(completion, "error", None) or completion)
            raise ReflectionError(
                self._message(detail, "the answer is no chat completion; does the base URL end in /v1?")
            )
        usage = getattr(completion, "usage", None)
        message = choices[0].message if choices else None
        return RawReply(
            text=_text(getattr(message, "content", None)),
            finish_reason=(choices[0].finish_reason or "") if choices else "",
            refusal=getattr(message, "refusal", None) or "",
            input_tokens=getattr(usage, "prompt_tokens", None) or 0,
            output_tokens=getattr(usage, "completion_tokens", None) or 0,
            seconds=seconds,
        )

    def _status_message(self, error: openai.APIStatusError) -> str:
        mends = {
            401: "check GEPA_REFLECTION_API_KEY, or OPENAI_API_KEY",
            403: "the key may not use this model: check GEPA_REFLECTION_API_KEY, or OPENAI_API_KEY",
            404: "check the model's name (--gepa-reflection-model, GEPA_REFLECTION_MODEL) and the base URL",
            429: f"its rate limit or quota is used up, {RETRIES + 1} tries; lower --gepa-concurrency",
        }
        other = (
            f"the server failed, {RETRIES + 1} tries"
            if error.status_code >= 500
            else "it refuses the request"
        )
        return self._message(error, mends.get(error.status_code, other))

    def _message(self, error: object, mend: str) -> str:
        where = re.sub(r"//[^/@]*@", "//", self.settings.base_url or "the SDK's default base URL")
        said = " ".join(str(error).split())
        if self.settings.api_key:
            said = said.replace(self.settings.api_key, "<key>")
        return f"reflection model {self.settings.model!r} at {where}: {mend} ({said[:400]})"


def _ways(schema: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The ways to ask for a schema, the most telling first, as arguments of the SDK's call."""
    if schema is None:
        return [{}, {}, {}]
    named = [
        {"name": "prompt_edit", "strict": True, "schema": form} for form in (schema, _without_lengths(schema))
    ]
    return [*({"response_format": {"type": "json_schema", "json_schema": form}} for form in named), {}]


def _without_lengths(schema: Any) -> Any:
    if isinstance(schema, Mapping):
        return {key: _without_lengths(value) for key, value in schema.items() if key != "maxLength"}
    return [_without_lengths(item) for item in schema] if isinstance(schema, list) else schema


def _refuses_schema(error: openai.APIStatusError) -> bool:
    if error.status_code not in (400, 404, 422):
        return False
    said = _said(error)
    return bool(_NAMES_SCHEMA.search(said) or (_NOT_SUPPORTED.search(said) and not _is_too_long(error)))


def _is_too_long(error: openai.APIStatusError) -> bool:
    return error.status_code == 413 or (
        error.status_code in (400, 422) and bool(_TOO_LONG.search(_said(error)))
    )


def _said(error: openai.APIStatusError) -> str:
    """The beginning of the server's message; further on it may quote the request, which must not be read."""
    return str(error)[:1_000]


def _text(content: object) -> str:
    """The text of a message; a few servers send it in parts."""
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""
