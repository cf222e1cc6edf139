"""Single model calls in words: what was said, how an answer ended, what the server ran, what a step of vectors was.

How the calls of a run follow each other is told in `transcript`.
"""

from __future__ import annotations

from collections.abc import Iterator

from pytest_gepa.prompts.summary import one_line
from pytest_gepa.reflect.scrub import scrub
from pytest_gepa.trace.trajectory import Call, Message, ToolCall

MOST_ALTERNATIVES = 4
"""Further answers to one request that are shown."""

POSTED = "data posted to another kind of endpoint"
"""The role of what goes to an endpoint whose protocol is not known."""

_SHOWN_TEXTS = 3
_LIMITS = frozenset({"length", "max_tokens", "max_output_tokens", "MAX_TOKENS", "model_context_window_exceeded"})
_FILTERS = frozenset({"content_filter", "refusal", "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"})


def said(message: Message) -> str:
    """What a message says, with the calls of tools that the program runs."""
    own = [made for made in message.tool_calls if not made.result]
    lines = [scrub(message.content)] if message.content or not own else []
    return "\n".join([*lines, *map(_tool_call, own)])


def ran(message: Message) -> Iterator[tuple[str, str]]:
    """The tools that the server ran for a message, by name, with what they were asked and gave back."""
    for made in message.tool_calls:
        if made.result:
            yield one_line(made.name, 80), f"{scrub(made.arguments)}\n{scrub(made.result)}"


def _tool_call(made: ToolCall) -> str:
    return f"calls {made.name}({scrub(made.arguments)})"


def manner(call: Call) -> str:
    """How the answer of a call came about, in brackets behind its label: cut off, refused, with what confidence."""
    notes = []
    content = call.answer.content if call.answer is not None else ""
    if call.finish_reason in _LIMITS:
        notes.append("it was cut off at the token limit")
    elif content.startswith("[refusal]"):
        notes.append("a refusal")
    elif call.finish_reason in _FILTERS:
        notes.append("it was cut off by a content filter")
    if call.logprob is not None:
        notes.append(f"mean log probability of its tokens {call.logprob:.2f}")
    return "".join(f" ({note})" for note in notes)


def vectors(call: Call) -> str:
    """A request for embeddings in one line."""
    texts = [message.content for message in call.request]
    shown = ", ".join(repr(one_line(scrub(text), 60)) for text in texts[:_SHOWN_TEXTS])
    more = f" and {len(texts) - _SHOWN_TEXTS} more" if len(texts) > _SHOWN_TEXTS else ""
    outcome = call.answer.content.strip("[]") if call.answer is not None else f"no vectors ({scrub(call.error)})"
    return one_line(f"embedding of {shown}{more}: {outcome}", 400)
