"""The protocols that capture can read, one object each, tried in order. A further one is a module with its functions
and a place here."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from pytest_gepa.trace import anthropic_messages, chat, embeddings, gemini, ollama, responses
from pytest_gepa.trace.anthropic_messages import MessagesStream
from pytest_gepa.trace.chat import Answer, ChatRequest
from pytest_gepa.trace.chat_stream import ChatStream
from pytest_gepa.trace.cut import beginning
from pytest_gepa.trace.fields import first_text, object_of, read_json, read_object, read_usage, strings
from pytest_gepa.trace.gemini import GeminiStream
from pytest_gepa.trace.responses_stream import ResponsesStream
from pytest_gepa.trace.sse import EventReader, is_events
from pytest_gepa.trace.stored import StoredAnswer
from pytest_gepa.trace.trajectory import Message

LONGEST_TEXT = 20_000
"""Characters that are kept of a response whose protocol is not known."""

_MODEL_IN_PATH = re.compile(r"/(?:deployments|models|engines)/([^/:]+)")
_BEDROCK_PATH = re.compile(r"/model/([^/]+)/(?:invoke|converse)[^/]*$")


class Protocol(typing.Protocol):
    """How the requests and responses of one API are read. Methods are pure and raise nothing.

    `cacheable` says that a complete answer to the same request may be used again.
    """

    @property
    def cacheable(self) -> bool: ...  # noqa: D102

    def matches(self, method: str, path: str, content_type: str) -> bool:
        """Whether a request is of this protocol; the path comes without query, the content type in lower
        case."""
        ...

    def read_request(self, path: str, body: bytes) -> ChatRequest | None:
        """What is asked; None when the body is not as this protocol has it."""
        ...

    def read_answer(self, body: bytes, content_type: str) -> Answer | None:
        """What is answered, by a whole body; a stream that nobody announced is read as one."""
        ...

    def is_complete(self, body: bytes) -> bool:
        """Whether a whole body of status 200 is a finished answer."""
        ...

    def stream(self) -> EventReader | None:
        """A reader for an answer that comes as server-sent events; None to take the whole body as text."""
        ...


class JsonPost:
    """Any other POST of JSON: its strings as one user message, the response's text as the answer. Never
    cached."""

    cacheable = False

    def matches(self, method: str, path: str, content_type: str) -> bool:
        """Whatever is said of the body, it decides: `urllib` calls all that it sends a form, and JSON that was made
        text before it came to `requests` or `httpx` goes without a type."""
        return method.upper() == "POST" and not content_type.startswith("multipart/")

    def read_request(self, path: str, body: bytes) -> ChatRequest | None:
        """All strings of the body, in order, but the model's name and what is named like a secret. A list without
        any is none."""
        if body.lstrip()[:1] not in (b"{", b"["):  # an upload is not worth a parser
            return None
        whole = read_json(body)
        if not isinstance(whole, (dict, list)):
            return None
        data = object_of(whole)
        named = _named_model(path, data)
        rest = whole if whole is not data else {name: it for name, it in data.items() if name != "model"}
        said = [text for _, text in strings(rest)]
        if isinstance(whole, list) and not said:
            return None
        message = Message(role="user", content="\n".join(said))
        return ChatRequest(named, (message,), stream=bool(data.get("stream")), kind="other")

    def read_answer(self, body: bytes, content_type: str) -> Answer | None:
        """The text of the body, cut; a note of the size of one that is no text."""
        kind = content_type.partition(";")[0].strip()
        if kind and not kind.startswith("text/") and not re.search(r"json|xml|event-stream", kind):
            return Answer(Message("assistant", f"[{kind}, {len(body)} bytes]"))
        text = body[: 4 * LONGEST_TEXT].decode("utf-8", "replace")
        usage = read_usage((read_object(body) or {}).get("usage"))
        return Answer(Message("assistant", beginning(text, LONGEST_TEXT)), usage=usage)

    def is_complete(self, body: bytes) -> bool:
        """Not known of a protocol that is not known."""
        return False

    def stream(self) -> None:
        """No reader: the events are kept as text."""
        return


def _named_model(path: str, data: Mapping[str, Any]) -> str:
    """The model that a request of an unknown protocol names, in its body or as Bedrock does in its path; else what
    stands for one: an assistant, or the first request of a batch. "" for a request to something else."""
    model = data.get("model")
    named = model if isinstance(model, str) else first_text(object_of(model), "name", "id")
    in_path = _BEDROCK_PATH.search(path)
    if named or in_path:
        return named or unquote(in_path.group(1) if in_path else "")
    if assistant := first_text(data, "assistant_id"):
        return assistant
    if data.get("completion_window") and data.get("input_file_id"):
        return "batch"
    requests = data.get("requests")
    first = object_of(requests[0]) if isinstance(requests, list) and requests else {}
    return first_text(object_of(first.get("params")), "model")


FALLBACK: Protocol = JsonPost()
"""For what no other protocol matches."""


@dataclass(frozen=True, slots=True)
class Api:
    """A protocol that is known by the end of its paths, whatever the prefix, and read by the functions of its module.

    Paths decide alone: some clients send no content type. `events` makes the reader of its streams. `otherwise`
    reads an answer of another form: many an application has paths of its own that end as those of this API do.
    """

    paths: tuple[str, ...]
    request: Callable[[bytes], ChatRequest | None]
    answer: Callable[[bytes], Answer | None]
    complete: Callable[[bytes], bool]
    events: Callable[[], EventReader] | None = None
    otherwise: Protocol | None = FALLBACK

    @property
    def cacheable(self) -> bool:
        """All of these answer the same request with the same kind of answer."""
        return True

    def matches(self, method: str, path: str, content_type: str) -> bool:
        """See `Protocol`."""
        return method.upper() == "POST" and path.rstrip("/").endswith(self.paths)

    def read_request(self, path: str, body: bytes) -> ChatRequest | None:
        """See `Protocol`; what the body leaves to the path is read there."""
        asked = self.request(body)
        if asked is None:
            return None
        named = _MODEL_IN_PATH.search(path)
        model = asked.model or (named.group(1) if named else "")
        return replace(asked, model=model, stream=asked.stream or ":stream" in path)

    def read_answer(self, body: bytes, content_type: str) -> Answer | None:
        """See `Protocol`."""
        stream = self.stream() if is_events(body) else None
        if stream is not None:
            stream.feed(body)
        answer = self.answer(body) if stream is None else stream.answer()
        is_read = answer is not None and (answer.message is not None or answer.error)
        return answer if is_read or self.otherwise is None else self.otherwise.read_answer(body, content_type)

    def is_complete(self, body: bytes) -> bool:
        """See `Protocol`."""
        stream = self.stream() if is_events(body) else None
        if stream is None:
            return self.complete(body)
        stream.feed(body)
        answer = stream.answer()
        return stream.done and stream.complete and answer is not None and not answer.error

    def stream(self) -> EventReader | None:
        """See `Protocol`."""
        return self.events() if self.events is not None else None


PROTOCOLS: tuple[Protocol, ...] = (
    Api(
        ("/chat/completions",),
        chat.read_request,
        chat.read_answer,
        chat.is_complete,
        ChatStream,
        otherwise=None,
    ),
    Api(("/responses",), responses.read_request, responses.read_answer, responses.is_complete, ResponsesStream),
    Api(
        # Anthropic's own, and the same on Google's Vertex.
        ("/messages", ":rawPredict", ":streamRawPredict"),
        anthropic_messages.read_request,
        anthropic_messages.read_answer,
        anthropic_messages.is_complete,
        MessagesStream,
    ),
    Api(
        # OpenAI's and its imitators', that of others and of Ollama, and Google's two.
        ("/embeddings", "/embed", ":embedContent", ":batchEmbedContents"),
        embeddings.read_request,
        embeddings.read_answer,
        embeddings.is_complete,
    ),
    Api(("/completions",), chat.read_prompt, chat.read_answer, chat.is_complete, ChatStream),
    Api(("/api/chat", "/api/generate"), ollama.read_request, ollama.read_answer, ollama.is_complete),
    Api(
        (":generateContent", ":streamGenerateContent"),
        gemini.read_request,
        gemini.read_answer,
        gemini.is_complete,
        GeminiStream,
    ),
)
"""The protocols that are understood."""


def recognise(method: str, path: str, content_type: str, body: bytes) -> tuple[Protocol, ChatRequest] | None:
    """The first protocol that understands a request, and what is asked; None when it is no call to record."""
    for protocol in (*PROTOCOLS, FALLBACK):
        if protocol.matches(method, path, content_type.lower()):
            request = protocol.read_request(path, body)
            if request is not None:
                return protocol, request
    return None


def is_whole(protocol: Protocol, answer: StoredAnswer) -> bool:
    """Whether an answer is finished, and none that tells of an error: only such are stored and used again.

    A stream is finished by its terminal marker; a finish reason alone does not tell that nothing was lost after.
    """
    if answer.status != 200:
        return False
    reader = protocol.stream() if answer.is_event_stream else None
    if reader is None:
        return protocol.is_complete(answer.body)
    reader.feed(answer.body)
    # Read by a fresh reader: `answer` of one that is in use ends what it has begun.
    read = reader.answer()
    return reader.done and read is not None and read.message is not None and not read.error


def counts_all(protocol: Protocol, body: bytes) -> bool:
    """Whether the tokens that a body tells are all that its answer has taken: the count of a stream that breaks off, or
    ends with an error, is of as far as it had come when it was told."""
    reader = protocol.stream() if is_events(body) else None
    if reader is None:
        return True
    reader.feed(body)
    read = reader.answer()
    return reader.complete and (read is None or not read.error)
