"""Which messages of a request were told before."""

from __future__ import annotations

import pytest

from pytest_gepa.reflect.conversation import Conversation
from pytest_gepa.trace.trajectory import Call, Message, ToolCall

ASKED = Message("user", "The weather in Paris?")
RESULT = Message("tool", "sunny", tool_call_id="c1")


def turn(arguments: str) -> Message:
    return Message("assistant", "", tool_calls=(ToolCall("c1", "weather", arguments),))


@pytest.mark.parametrize(
    ("made", "sent_back", "known"),
    [
        ('{"city":"Paris","days":[1,2]}', '{"city": "Paris", "days": [1, 2]}', 2),
        ('{"city": "Orl\u00e9ans"}', '{"city": "Orl\\u00e9ans"}', 2),
        ('{"city":"Paris"}', '{"city":"Rome"}', 1),
        ("Paris", "Paris", 2),
        ("Paris", "Paris ", 1),
        ("[" * 100_000, "[" * 100_000, 2),
    ],
    ids=["blanks", "escapes", "another", "text", "another text", "too deep"],
)
def test_a_tool_call_is_known_when_it_is_sent_back_however_its_arguments_are_written(
    made: str, sent_back: str, known: int
) -> None:
    conversation = Conversation()
    conversation.add(Call("k1", "m", (ASKED,), turn(made)))

    again = Call("k2", "m", (ASKED, turn(sent_back), RESULT), Message("assistant", "It is sunny."))

    assert conversation.known(again) == known
