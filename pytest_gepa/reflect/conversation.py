"""The model calls of a run without what they repeat: attempts that went the same way, messages sent again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from pytest_gepa.trace.trajectory import Call, Message

_Key = tuple[int, str, str, tuple[tuple[str, str], ...]]


@dataclass(slots=True)
class Conversation:
    """The messages told so far, as a tree: a later request that begins as an earlier one did adds only its rest.

    Takes time and memory linear in the messages, however often they are sent again.
    """

    _children: dict[_Key, int] = field(default_factory=dict)

    def known(self, call: Call) -> int:
        """How many of the request's first messages were told before."""
        node = 0
        for count, message in enumerate(call.request):
            child = self._children.get(_key(node, message))
            if child is None:
                return count
            node = child
        return len(call.request)

    def add(self, call: Call) -> None:
        """Remember a call's request and answer."""
        node = 0
        for message in (*call.request, *((call.answer,) if call.answer else ())):
            node = self._children.setdefault(_key(node, message), len(self._children) + 1)


def collapsed(calls: Sequence[Call]) -> list[tuple[Call, int]]:
    """The calls, with the number of times that each was made in a row with the same outcome."""
    groups: list[tuple[Call, int]] = []
    for call in calls:
        if groups and _alike(groups[-1][0], call):
            groups[-1] = (call, groups[-1][1] + 1)
        else:
            groups.append((call, 1))
    return groups


def last_asked(call: Call) -> Message | None:
    """The last user message of a request, or the last of all that is not the model's."""
    messages = [message for message in call.request if message.role not in ("assistant", "note")]
    asked = [message for message in messages if message.role == "user"] or messages
    return asked[-1] if asked else None


def _alike(one: Call, other: Call) -> bool:
    same_outcome = (one.error, one.status, _said(one)) == (other.error, other.status, _said(other))
    return same_outcome and one.request == other.request and one.alternatives == other.alternatives


def _said(call: Call) -> _Key | None:
    # The ids of tool calls differ from attempt to attempt.
    return _key(0, call.answer) if call.answer else None


def _key(node: int, message: Message) -> _Key:
    made = tuple((made.name, _plain(made.arguments)) for made in message.tool_calls)
    return node, message.role, message.content, made


@lru_cache(maxsize=1024)
def _plain(arguments: str) -> str:
    """The arguments of a tool as they would be written here: some clients read the model's JSON, and send it back with
    other blanks.
    """
    try:
        return json.dumps(json.loads(arguments))
    except (ValueError, RecursionError):
        return arguments
