"""What one run of a case said: its model calls, the user's own log steps, output and failure. Data only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_gepa.own import OwnName


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model asked for: `arguments` is the JSON text as the model wrote it.

    `result` is what came back, where the server has run the tool itself and says so in the same answer.
    """

    id: str
    name: str
    arguments: str
    result: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat, with its reasoning and tool calls where there are any."""

    role: str
    content: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


def texts_of(messages: Iterable[Message], others: Iterable[str]) -> Iterator[str]:
    """All that a request says: its messages, and the texts of tools and schemas beside them."""
    for message in messages:
        yield message.content
        yield from (made.arguments for made in message.tool_calls)
    yield from others


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a model and what came back.

    `key` identifies the request by content, without trial (see `pytest_gepa.trace.keys`). `answer` is None when
    no complete answer came; `error` then says why, and `status` is the HTTP status or None when none arrived.
    `tools` holds the names of the tools offered, `other_texts` what else a request says beside its messages: the
    descriptions of the tools, of their parameters and of the answer's fields, and any longer text. `answer_format` is
    the schema that the answer was to follow ("" for none). Tokens are the server's own count, 0 when it sent none;
    those read from its cache, or written to it, are among the input, those of reasoning among the output. Of the input,
    of the output and of what was read from the cache some are audio.

    `kind` is "chat", "embedding" (recorded as a step: its vectors are no text), or "other" for an endpoint whose
    protocol is not known. `seconds` is how long the answer took to come; for one that is `cached`, when it came first,
    None where that is not known. `alternatives` are the further answers of a request for several. `logprob` is the mean
    log probability of the answer's tokens, None where the server sent none. `shared` says that the call was made
    in a fixture of a wider scope than one case: it belongs to every case that uses the fixture. `superseded` says that
    the application itself cancelled the call, or went on without it, right after another one had been answered. `own`
    says that the test itself runs the server that was asked. `sent` is False where that is known to be no model, but a
    mock or an application that is tested; `played` says that it is a cassette of vcrpy.

    Beside the roles of the protocols there is "note": what a request refers to without holding it. The content of a
    refusal begins with `[refusal]`, be it the model's own words or the note that a filter stopped it.
    """

    key: OwnName
    model: str
    request: tuple[Message, ...]
    answer: Message | None
    status: int | None = 200
    error: str = ""
    finish_reason: str = ""
    tools: tuple[str, ...] = ()
    input_tokens: int = 0
    output_tokens: int = 0
    cached: bool = False
    streamed: bool = False
    seconds: float | None = 0.0
    kind: OwnName = "chat"
    alternatives: tuple[Message, ...] = ()
    logprob: float | None = None
    shared: bool = False
    sent: bool = True
    other_texts: tuple[str, ...] = ()
    answer_format: str = ""
    cache_read_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0
    superseded: bool = False
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    cache_audio_tokens: int = 0
    own: bool = False
    played: bool = False


def answers_among(calls: Sequence[Call]) -> list[int]:
    """Where the answers of models are, or if there are none those of other endpoints; vectors are no answer."""
    for kind in ("chat", "other"):
        found = [at for at, call in enumerate(calls) if call.kind == kind and call.answer is not None]
        if found:
            return found
    return []


@dataclass(frozen=True, slots=True)
class Step:
    """A value that the user's test logged with `gepa.log(name, value)`, as text."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Trajectory:
    """All that is known of one run of a case, in the order in which it happened.

    `output` holds (title, text) sections as pytest captured them (stdout, stderr, log). `failure` is the assertion
    or error with pytest's introspection, "" when the case passed.
    """

    calls: tuple[Call, ...] = ()
    steps: tuple[Step, ...] = ()
    output: tuple[tuple[str, str], ...] = ()
    failure: str = ""

    def to_json_form(self) -> dict[str, Any]:
        """As JSON, where what calls repeat is written once."""
        # Here, as packing builds calls and messages: the codec asks the class for its form, whoever has imported what.
        from pytest_gepa.trace.packing import pack

        return pack(self)

    @classmethod
    def from_json_form(cls, data: Mapping[str, Any]) -> Trajectory:
        """The trajectory that `to_json_form` wrote."""
        from pytest_gepa.trace.packing import unpack

        return unpack(data)

    @property
    def answer(self) -> str:
        """The text of the last complete answer of a model, else of another endpoint, "" if there was none."""
        last = answers_among(self.calls)[-1:]
        answer = self.calls[last[0]].answer if last else None
        return answer.content if answer is not None else ""
