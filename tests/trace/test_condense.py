from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.trace.condense import condense
from pytest_gepa.trace.trajectory import Call, Message, Step, ToolCall, Trajectory

LIMIT = 10_000


def words(size: int, name: object) -> str:
    return f"<{name}>" + "word " * (size // 5) + f"</{name}>"


def call(number: int, *messages: Message, answer: str | None = "") -> Call:
    said = None if answer is None else Message("assistant", answer or f"answer {number}")
    return Call(f"k{number}", "m", messages, said)


def size(trajectory: Trajectory) -> int:
    """Bytes of its texts, each once."""
    messages = [
        message for call in trajectory.calls for message in (*call.request, *([call.answer] if call.answer else []))
    ]
    texts = {text for m in messages for text in (m.content, m.reasoning)}
    texts |= {text for m in messages for made in m.tool_calls for text in (made.arguments, made.result)}
    texts |= {step.value for step in trajectory.steps} | {text for _, text in trajectory.output}
    return sum(map(len, texts | {trajectory.failure}))


def test_what_is_small_enough_is_the_same_object() -> None:
    trajectory = Trajectory((call(0, Message("user", words(LIMIT // 2, "q"))),), failure="assert 1 == 2")

    assert condense(trajectory, LIMIT) is trajectory


def test_what_is_sent_again_counts_once() -> None:
    message = Message("user", words(LIMIT // 2, "q"))

    trajectory = Trajectory(tuple(call(number, message) for number in range(50)))

    assert condense(trajectory, LIMIT) is trajectory


def test_the_longest_texts_are_cut_first_and_say_so() -> None:
    trajectory = Trajectory(
        (call(0, Message("system", "Be brief."), Message("tool", words(500_000, "result"))),),
        (Step("docs", words(300_000, "step")),),
        (("Captured log call", words(200_000, "log")),),
        "E  assert 1 == 2",
    )
    found = condense(trajectory, LIMIT)

    assert size(found) <= LIMIT
    assert found.calls[0].request[0].content == "Be brief."
    assert found.failure == "E  assert 1 == 2"
    for text in (found.calls[0].request[1].content, found.steps[0].value, found.output[0][1]):
        assert "characters cut ...]" in text
        assert text.startswith("<")
        assert text.endswith(">")


def test_the_failure_and_the_last_answer_have_room_whatever_stands_beside_them() -> None:
    calls = (
        call(0, Message("user", words(900_000, "q")), answer=words(900_000, "first")),
        call(1, answer=words(2_000, "last")),
        call(2, answer=None),
    )
    found = condense(Trajectory(calls, failure=words(2_000, "failure")), LIMIT)

    assert found.failure == words(2_000, "failure")
    assert found.answer == words(2_000, "last")


def test_of_very_many_texts_those_of_the_last_and_first_calls_are_kept() -> None:
    system = Message("system", "Answer in one word, and in no other way.")
    calls = tuple(call(number, system, Message("user", words(300, number))) for number in range(1_000))
    found = condense(Trajectory(calls), LIMIT)

    whole = [number for number, one in enumerate(found.calls) if one.request[1].content == words(300, number)]
    assert {0, 998, 999} <= set(whole)
    assert 10 < len(whole) < 40
    assert "characters cut" in found.calls[500].request[1].content
    assert {one.request[0] for one in found.calls} == {system}
    assert [one.key for one in found.calls] == [one.key for one in calls]


TEXTS = st.integers(0, 60_000).map(lambda length: "0123456789 \n"[: length % 12] + "ab\n" * (length // 3))
MESSAGES = st.builds(
    Message,
    st.just("user"),
    TEXTS,
    TEXTS,
    st.builds(ToolCall, st.just("i"), st.just("f"), TEXTS, TEXTS).map(lambda one: (one,)),
)


@given(st.lists(st.builds(call, st.integers(0, 9), MESSAGES, MESSAGES), max_size=8).map(tuple), TEXTS, TEXTS)
def test_any_trajectory_keeps_its_shape_and_the_ends_of_its_failure(
    calls: tuple[Call, ...], failure: str, output: str
) -> None:
    trajectory = Trajectory(calls, (), (("out", output),), f"first line\n{failure}\nlast line")
    found = condense(trajectory, LIMIT)

    assert size(found) <= 2 * LIMIT
    assert found.failure.startswith("first line\n")
    assert found.failure.endswith("\nlast line")
    assert [[message.role for message in one.request] for one in found.calls] == [
        [message.role for message in one.request] for one in calls
    ]
    assert condense(found, 2 * LIMIT) is found
