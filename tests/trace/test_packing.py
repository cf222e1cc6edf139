from __future__ import annotations

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.codec import from_json, to_json
from pytest_gepa.suite.rollout import Outcome, Rollout
from pytest_gepa.trace.packing import LEAST_SAVED
from pytest_gepa.trace.trajectory import Call, Message, Step, ToolCall, Trajectory

LONG = "The ledger of the third week. " * 40
MESSAGES = [
    Message("system", LONG + "1"),
    Message("user", LONG + "2"),
    Message("assistant", "short", "thought", (ToolCall("1", "look", "{}", LONG),)),
    Message("tool", LONG + "3", tool_call_id="1"),
    Message("user", ""),
]
CALLS = st.builds(
    Call,
    st.sampled_from(["k1", "k2"]),
    st.just("m"),
    st.lists(st.sampled_from(MESSAGES), max_size=8).map(tuple),
    st.one_of(st.none(), st.sampled_from(MESSAGES)),
    alternatives=st.lists(st.sampled_from(MESSAGES), max_size=2).map(tuple),
    other_texts=st.lists(st.sampled_from([LONG, "a", "b"]), max_size=4).map(tuple),
)
TRAJECTORIES = st.builds(
    Trajectory,
    st.lists(CALLS, max_size=30).map(tuple),
    st.lists(st.builds(Step, st.text(max_size=3), st.text(max_size=3)), max_size=2).map(tuple),
    st.just((("Captured stdout call", "out"),)),
    st.text(max_size=10),
)


def agent(calls: int) -> Trajectory:
    """An agent that sends its history again with each call."""
    history: tuple[Message, ...] = (Message("system", "Be brief."), Message("user", "Begin."))
    made = []
    for number in range(calls):
        answer = Message("assistant", f"answer {number}")
        made.append(Call(f"k{number}", "m", history, answer, other_texts=("what the tool does " * 20,)))
        history = (*history, answer, Message("tool", f"result {number}: " + "x" * 1_000))
    return Trajectory(tuple(made))


@given(TRAJECTORIES)
def test_a_trajectory_comes_back_whole_whichever_way_it_was_written(trajectory: Trajectory) -> None:
    assert from_json(Trajectory, json.loads(json.dumps(to_json(trajectory)))) == trajectory


def test_a_short_trajectory_is_written_call_by_call() -> None:
    data = to_json(agent(3))

    assert "messages" not in data
    assert [len(call["request"]) for call in data["calls"]] == [2, 4, 6]
    assert data["calls"][0]["request"][0]["content"] == "Be brief."


def test_a_history_that_is_sent_again_and_again_is_written_once() -> None:
    lengths = [len(json.dumps(to_json(agent(calls)))) for calls in (50, 100, 200)]

    assert max(after / before for before, after in itertools.pairwise(lengths)) < 2.1
    assert to_json(agent(100))["calls"][99]["request"] == [[0, 200]]


def test_a_window_over_a_history_is_written_as_ranges() -> None:
    long = agent(100).calls[-1].request
    calls = tuple(Call(f"k{at}", "m", (long[0], *long[at : at + 30]), None) for at in range(2, 150))
    data = to_json(Trajectory(calls))

    assert len(data["messages"]) == len(set(long[2:179]) | {long[0]})
    assert all(len(call["request"]) == 2 for call in data["calls"][1:])


def test_what_is_read_back_is_shared() -> None:
    found = from_json(Trajectory, to_json(agent(100)))

    assert found.calls[0].request[0] is found.calls[99].request[0]
    assert found.calls[0].other_texts[0] is found.calls[99].other_texts[0]


def test_a_rollout_holds_the_trajectory_in_the_same_form() -> None:
    rollout = Rollout("c", "case", "search/0", Outcome.failed, 0.0, agent(100))
    data = to_json(rollout)

    assert "messages" in data["trajectory"]
    assert from_json(Rollout, data) == rollout


def test_what_an_older_version_wrote_can_be_read() -> None:
    data = {"calls": [{"key": "k", "model": "m", "request": [{"role": "user", "content": "x"}], "answer": None}]}

    assert from_json(Trajectory, data) == Trajectory((Call("k", "m", (Message("user", "x"),), None),))


def test_what_saves_little_is_not_worth_the_form() -> None:
    message = Message("user", "x" * (LEAST_SAVED // 2))
    calls = tuple(Call(f"k{at}", "m", (message,), None) for at in range(3))

    assert "messages" not in to_json(Trajectory(calls[:2]))
    assert "messages" in to_json(Trajectory(calls))
