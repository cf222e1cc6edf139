"""The reflection model behind an OpenAI-compatible server: one question asked of it."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_gepa.cost.meter import Meter
from pytest_gepa.cost.purse import CostStop
from pytest_gepa.errors import OutOfMoney, ReflectionError, ReflectionOver
from pytest_gepa.reflect.cut_short import CutShort
from pytest_gepa.reflect.endpoint import DEFAULT_BASE_URL, USUAL_KEY_NAME, ReflectionEndpoint
from pytest_gepa.reflect.gateway import error_of, heed_errors
from pytest_gepa.reflect.paying import make_pay
from pytest_gepa.reflect.refusals import (
    is_filtered,
    is_too_long,
    refuses_schema,
    refuses_system_role,
)
from pytest_gepa.reflect.request import ChatMessage
from pytest_gepa.reflect.ways import Way, ways_to_ask
from pytest_gepa.trace import chat
from pytest_gepa.trace.fields import read_object, read_usage, text_of
from pytest_gepa.trace.keys import identify
from pytest_gepa.trace.redact import REDACTED, Redactor
from pytest_gepa.trace.replay import Place, Stores
from pytest_gepa.trace.stored import StoredAnswer

if TYPE_CHECKING:
    import openai

RETRIES = 4
"""How often the SDK tries again on 408, 409, 429, 5xx and lost connections, backing off."""

PAUSES = (15.0, 30.0, 60.0)
"""Seconds before it is asked once more, when all tries of the SDK have failed as the server is busy or gone: one that
is started anew takes as long."""

OVER = "the search has ended"

_USED_UP = b"insufficient_quota"
"""In OpenAI's answers when there is no money left."""

_UNREACHED = "is the base URL right, and the server up?"


class ServerGone(ReflectionError):
    """The server cannot be reached."""


class ContextTooLong(ReflectionError):
    """The request is longer than the model's context; a shorter one may pass."""


@dataclass(frozen=True, slots=True)
class RawReply:
    """A reply as it came. Tokens are the server's own count, 0 when it sent none or the reply was `stored` before."""

    text: str
    finish_reason: str = ""
    refusal: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    stored: bool = False


class ReflectionModel:
    """Asks the model, from any number of threads. Remembers when the server takes no schema, or no system message.

    Answers are looked up and kept in `stores`, as those of `trial`. What is sent is paid for by `meter`, if there is
    one. `redact` is made to what its errors tell; without it, no pattern of the user's own is known.
    """

    def __init__(
        self,
        settings: ReflectionEndpoint,
        stores: Stores | None = None,
        trial: str = "reflect",
        meter: Meter | None = None,
        redact: Callable[[str], str] | None = None,
    ) -> None:
        self.settings = settings
        self._stores = stores or Stores()
        self._trial = trial
        self._meter = meter
        self._redact = redact or Redactor(os.environ).redact
        self._level = 0
        self._is_joined = False
        self._cut_short = CutShort()
        self._lock = threading.Lock()
        self._client: openai.OpenAI | None = None
        self._asked: Counter[str] = Counter()
        self._has_worked = False
        self._is_over = threading.Event()

    @property
    def warning(self) -> str:
        """What replies so far have shown that the user should know, "" if there is nothing."""
        return self._cut_short.warning

    def end(self) -> None:
        """Send nothing any more, no retry either: who asks from now on gets a `ReflectionOver`."""
        self._is_over.set()

    def ask(self, messages: Sequence[ChatMessage], schema: Mapping[str, Any] | None = None) -> RawReply:
        """One answer to a chat, as JSON of the schema where the server takes one.

        A schema that the server refuses is sent without its lengths, then not at all, and so for the rest of
        the run; so is a system message that it refuses as the beginning of the user's. Raises `ContextTooLong`, and
        `ReflectionError` for anything that more of the same would not help, or when only stored answers may be used
        and this one is missing.
        """
        started = time.monotonic()
        answer, is_stored = self._complete(messages, schema)
        if answer.status != 200:
            if is_filtered(answer):
                return RawReply("", refusal="the server's content filter refused the request")
            if is_too_long(answer):
                raise ContextTooLong(self._message(_said(answer), "the request is longer than its context"))
            raise ReflectionError(self._status_message(answer))
        reply = self._reply(answer, time.monotonic() - started)
        self._cut_short.note(messages, reply.input_tokens)
        return replace(reply, input_tokens=0, output_tokens=0, stored=True) if is_stored else reply

    def close(self) -> None:
        """Close the connections. The next question opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _complete(self, messages: Sequence[ChatMessage], schema: Mapping[str, Any] | None) -> tuple[StoredAnswer, bool]:
        """The server's last word on a chat, and whether it was stored."""
        ways = ways_to_ask(messages, schema, self._level, self._is_joined)
        while True:
            way, *ways = ways
            found = self._answer({"model": self.settings.model, "messages": list(way.messages), **way.arguments})
            if found is not None:
                ways = self._left(way, ways, found[0])
            if ways:
                continue
            if found is None:
                raise ReflectionError(
                    f"{self._named}: no stored answer, and nothing was sent; record a run with today's tests, prompts "
                    "and settings, without --gepa-replay=only"
                )
            return found

    def _left(self, way: Way, others: list[Way], answer: StoredAnswer) -> list[Way]:
        """Which of the other ways are to be tried after this answer, for the rest of the run too."""
        if not way.is_joined and refuses_system_role(answer):
            self._is_joined = True
            return [other for other in others if other.is_joined and other.level >= way.level]
        if not refuses_schema(answer):
            return []
        left = [other for other in others if other.level > way.level]
        if left:
            self._level = max(self._level, left[0].level)
        return left

    def _answer(self, body: dict[str, Any]) -> tuple[StoredAnswer, bool] | None:
        """The answer to a request, and whether it was stored; None when it is not stored and must not be sent."""
        url = (self.settings.base_url or DEFAULT_BASE_URL).rstrip("/") + "/chat/completions"
        identity = identify("POST", url, {}, json.dumps(body).encode())
        with self._lock:
            ordinal = self._asked[identity.content]
            self._asked[identity.content] += 1
        place = Place(self._stores, identity, self._trial, ordinal, reusable=True)
        try:
            answer = place.find(_is_good)
            if answer is None and place.is_closed_off:
                return None
            answer = answer or place.wait(_is_good)
            if answer is not None:
                place.keep_again(answer)
                return answer, True
            answer = self._send(body)
            place.keep(answer, is_finished=_is_good(answer))
            return answer, False
        finally:
            place.leave()

    def _send(self, body: dict[str, Any]) -> StoredAnswer:
        """What comes of a request in the end. Nobody waits for a server that has never worked: its address is wrong."""
        for pause in PAUSES:
            try:
                answer = self._try(body)
            except ServerGone:
                if not self._has_worked:
                    raise
            else:
                if not self._is_passing(answer):
                    return answer
            if self._is_over.wait(pause):
                raise ReflectionOver(OVER)
        return self._try(body)

    def _try(self, body: dict[str, Any]) -> StoredAnswer:
        import openai

        if self._is_over.is_set():
            raise ReflectionOver(OVER)
        try:
            # Plain dicts: the SDK's typed unions differ between its major versions.
            create: Any = self._connected().chat.completions.with_raw_response.create
            response = create(**body).http_response
        except CostStop as stop:
            kind = ReflectionOver if self._is_over.is_set() else OutOfMoney
            raise kind(str(stop)) from stop
        except openai.APIStatusError as error:
            response = error.response
        except openai.APITimeoutError as error:
            waited = f"{self.settings.timeout:g} s, {RETRIES + 1} times"
            mend = f"no answer within {waited}; gepa_reflection_timeout gives it longer"
            raise ReflectionError(self._message(error, mend)) from error
        except openai.APIConnectionError as error:
            raise ServerGone(self._message(error, _UNREACHED)) from error
        except (openai.OpenAIError, ValueError) as error:
            raise ReflectionError(self._message(error, _UNREACHED)) from error
        self._has_worked = self._has_worked or response.status_code == 200
        content_type = response.headers.get("content-type", "").lower()
        return StoredAnswer(response.status_code, content_type, response.content)

    def _connected(self) -> openai.OpenAI:
        import openai

        with self._lock:
            if self._client is None:
                # Before what is paid is noted, so that an error costs what it would with a status of its own.
                http = heed_errors(openai.DefaultHttpxClient())
                if self._meter is not None:
                    http = make_pay(http, self._meter, self.settings.model, self._stop_when_over)
                self._client = openai.OpenAI(
                    http_client=http,
                    base_url=self.settings.base_url,
                    # Servers on the own machine take any key, but the SDK and HTTP need one.
                    api_key=self.settings.api_key or "none",
                    timeout=self.settings.timeout,
                    max_retries=RETRIES,
                )
            return self._client

    def _stop_when_over(self) -> None:
        if self._is_over.is_set():
            raise CostStop(OVER)

    def _reply(self, answer: StoredAnswer, seconds: float) -> RawReply:
        completion = read_object(answer.body) or {}
        choices = completion.get("choices")
        if not isinstance(choices, list):
            error = error_of(answer.body)
            if error is not None:
                raise ReflectionError(self._message(error, "it answers with an error"))
            # A web page, say.
            mend = "the answer is no chat completion; does the base URL end in /v1?"
            raise ReflectionError(self._message(answer.body.decode("utf-8", "replace"), mend))
        choice = choices[0] if choices and isinstance(choices[0], dict) else {}
        message = choice.get("message")
        message = message if isinstance(message, dict) else {}
        usage = read_usage(completion.get("usage"))
        return RawReply(
            text=_text(message.get("content")),
            finish_reason=text_of(choice.get("finish_reason")),
            refusal=text_of(message.get("refusal")),
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            seconds=seconds,
        )

    def _is_passing(self, answer: StoredAnswer) -> bool:
        """Whether a server is too busy, or out of order, which may be otherwise in a while: an account without money
        stays so.
        """
        if answer.status == 429:
            return _USED_UP not in answer.body
        if answer.status < 500 or not (self._has_worked or answer.status == 503):
            return False
        # To some servers it is their own failure that a model takes no system message.
        return not refuses_system_role(answer)

    def _tries(self, answer: StoredAnswer) -> int:
        """How often a request was sent that has come to such an answer."""
        return (RETRIES + 1) * (len(PAUSES) + 1 if self._is_passing(answer) else 1)

    def _status_message(self, answer: StoredAnswer) -> str:
        mends = {
            401: self._key_mend(),
            403: f"the key may not use this model: {self._key_mend()}",
            404: "check the model's name (--gepa-reflection-model, GEPA_REFLECTION_MODEL) and the base URL",
            429: f"its rate limit or quota is used up, {self._tries(answer)} tries; lower --gepa-concurrency",
        }
        other = f"the server failed, {self._tries(answer)} tries" if answer.status >= 500 else "it refuses the request"
        return self._message(_said(answer), mends.get(answer.status, other))

    def _key_mend(self) -> str:
        names = self.settings.key_names
        if self.settings.api_key:
            return f"check {names}"
        elsewhere = "" if USUAL_KEY_NAME in names else f" ({USUAL_KEY_NAME} is not sent to this host)"
        return f"no key was sent; set {names}{elsewhere}"

    @property
    def _named(self) -> str:
        return f"reflection model {self._redact(self.settings.model)!r}"

    def _message(self, error: object, mend: str) -> str:
        where = re.sub(r"//[^/@]*@", "//", self.settings.base_url or "the SDK's default base URL")
        # Gateways take keys there, under names of their own.
        where = self._redact(re.sub(r"\?.+", f"?{REDACTED}", where))
        said = str(error)
        if self.settings.api_key:
            said = said.replace(self.settings.api_key, "<key>")
        # Whole, before it is cut short: of a part of a secret, nobody knows that it is one.
        said = " ".join(self._redact(said).split())
        return f"{self._named} at {where}: {mend} ({said[:400]})"


def _is_good(answer: StoredAnswer) -> bool:
    return answer.status == 200 and chat.is_complete(answer.body)


def _said(answer: StoredAnswer) -> str:
    return f"status {answer.status}: {answer.body.decode('utf-8', 'replace')}"


def _text(content: object) -> str:
    """The text of a message; a few servers send it in parts."""
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""
