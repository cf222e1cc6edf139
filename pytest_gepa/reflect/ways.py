"""The ways to put one question, the most telling first: servers and models do not all take the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_gepa.reflect.request import ChatMessage


@dataclass(frozen=True, slots=True)
class Way:
    """Messages and further arguments of the SDK's call.

    `level` counts what of the schema is left out; `is_joined` has no message of the system's.
    """

    level: int
    is_joined: bool
    messages: Sequence[ChatMessage]
    arguments: Mapping[str, Any]


def ways_to_ask(
    messages: Sequence[ChatMessage], schema: Mapping[str, Any] | None, level: int, is_joined: bool
) -> list[Way]:
    """The ways from a level on, those with a system message first, or only those without one."""
    forms = list(enumerate(_forms(schema)))[level:]
    # A form that is no other than the one before it would be refused as well.
    forms = [pair for at, pair in enumerate(forms) if at == 0 or pair[1] != forms[at - 1][1]]
    return [
        Way(number, joined, joined_messages(messages) if joined else messages, form)
        for joined in ([True] if is_joined else [False, True])
        for number, form in forms
    ]


def joined_messages(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """The messages with the system's as the user's, so that user and model take turns."""
    joined: list[ChatMessage] = []
    for message in messages:
        role = "user" if message["role"] == "system" else message["role"]
        if joined and joined[-1]["role"] == role:
            content = f"{joined.pop()['content']}\n\n{message['content']}"
        else:
            content = message["content"]
        joined.append({"role": role, "content": content})
    return joined


def _forms(schema: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """A schema as arguments of the SDK's call: whole, without its lengths, not at all."""
    if schema is None:
        return [{}, {}, {}]
    named = [{"name": "prompt_edit", "strict": True, "schema": form} for form in (schema, _without_lengths(schema))]
    return [*({"response_format": {"type": "json_schema", "json_schema": form}} for form in named), {}]


def _without_lengths(schema: Any) -> Any:
    if isinstance(schema, Mapping):
        kept = ((key, value) for key, value in schema.items() if key not in ("maxLength", "maxItems"))
        return {key: _without_lengths(value) for key, value in kept}
    return [_without_lengths(item) for item in schema] if isinstance(schema, list) else schema
