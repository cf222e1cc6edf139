"""Long traces on their way: recorded in a child, redacted, sent, kept in the journal, and told to a reflection model.

    python benchmarks/evidence/long_traces.py [SCENARIO ...]

Each scenario is run by two processes as a run has them, which talk over the real channel: one case's calls through the
real recording, then one request for an edit. Printed are seconds by stage, bytes on the way, and what either process
took of memory at its peak, less what it took before.
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pytest_gepa.codec import from_json, to_json
from pytest_gepa.optimize.evaluator import likeness_of
from pytest_gepa.reflect.menu import FULL
from pytest_gepa.reflect.request import build_request
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.run.journal import Journal, rollout_fields
from pytest_gepa.suite.child_rollout import trajectory_of
from pytest_gepa.suite.condensed import condensed
from pytest_gepa.suite.job import Channel
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.trace.admission import Target, begin
from pytest_gepa.trace.attribution import components_used
from pytest_gepa.trace.recorder import Recorder
from pytest_gepa.trace.redact import Redactor

PROMPT = "You are an agent that keeps the books of a small shop. Use the tools; answer in one line.\n" * 5
WORDS = "The ledger of the third week shows a sum of 1,204.50 for flour, which the supplier has confirmed by letter. "
MEGABYTE = 1 << 20

Body = dict[str, Any]


def text(characters: int, mark: object) -> str:
    """Some prose that no other text is like."""
    return (f"[{mark}] " + WORDS * (characters // len(WORDS) + 1))[:characters]


def agent(calls: int, characters: int) -> Iterator[tuple[Body, str]]:
    """An agent that sends its whole history again with each call; so many characters are in the last request."""
    each = characters // calls
    messages: list[Body] = [
        {"role": "system", "content": PROMPT},
        {"role": "user", "content": "Balance the books."},
    ]
    for number in range(calls):
        yield {"model": "m", "messages": messages}, f"step {number}"
        messages = [
            *messages,
            {
                "role": "assistant",
                "content": f"step {number}",
                "tool_calls": [
                    {"id": f"c{number}", "type": "function", "function": {"name": "look", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "tool_call_id": f"c{number}", "content": text(each, number)},
        ]


def short(calls: int) -> Iterator[tuple[Body, str]]:
    """Calls that have nothing to do with each other."""
    for number in range(calls):
        messages = [{"role": "system", "content": PROMPT}, {"role": "user", "content": text(400, number)}]
        yield {"model": "m", "messages": messages}, f"answer {number}"


def one_result(characters: int) -> Iterator[tuple[Body, str]]:
    """One tool result, and all the rest small."""
    yield from agent(2, 2 * characters)


ASSERTION = """\
    def test_books():
>       assert total == 12
{}
E       assert 11 == 12

test_books.py:3: AssertionError"""

SCENARIOS: Mapping[str, tuple[Callable[[], Iterator[tuple[Body, str]]], int]] = {
    "an ordinary case": (lambda: short(2), 200),
    "an agent of 100 calls, 500k tokens": (lambda: agent(100, 2_000_000), 2_000),
    "an agent of 1,000 calls, 500k tokens": (lambda: agent(1_000, 2_000_000), 2_000),
    "one tool result of 500k tokens": (lambda: one_result(2_000_000), 2_000),
    "3,000 short calls": (lambda: short(3_000), 2_000),
    "an assertion of 2 MB": (lambda: short(2), 2_000_000),
    "captured output of 20 MB": (lambda: short(2), 200),
}


def peak() -> float:
    """Most memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started


def child(channel: Channel, name: str) -> None:
    """Record a case and send its rollout, as a child session does."""
    calls, characters = SCENARIOS[name]
    before, clock = peak(), Clock()
    recorder, redactor = Recorder(), Redactor({"API_KEY": "0123456789abcdefghijklmn"})
    output = (("Captured stdout call", text(20_000_000 if "output" in name else 200, "out")),)
    with clock.stage("record"):
        recorder.begin("case")
        for body, answer in calls():
            exchange = begin(
                Target(recorder),
                method="POST",
                url="http://127.0.0.1/v1/chat/completions",
                headers={"content-type": "application/json"},
                body=json.dumps(body).encode(),
                is_network=lambda: True,
                is_in_process=lambda: False,
            )
            assert exchange is not None
            message = {"role": "assistant", "content": answer}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            reply = {"id": "x", "object": "chat.completion", "model": "m", "choices": [choice]}
            exchange.answered(200, "application/json", json.dumps(reply).encode())
        recorded = recorder.end()
    with clock.stage("redact"):
        failure = ASSERTION.format("\n".join(f"E       {line}" for line in text(characters, "failure").split(". ")))
        trajectory = trajectory_of(recorded.calls, (), output, failure, redactor)
    with clock.stage("attribute"):
        uses = components_used({"prompts/agent.md": PROMPT}, recorded.calls)
    with clock.stage("send"):
        rollout = Rollout("c", "case", "search/0", Outcome.failed, 0.0, trajectory, uses=uses)
        channel.send({"event": "rollout", "rollout": to_json(rollout)})
    channel.send({"event": "end", "seconds": clock.seconds, "memory": peak() - before})


def parent(channel: Channel, directory: Path) -> tuple[Mapping[str, Any], dict[str, float], float, int]:
    """Take the rollout in and ask for an edit, as the process of the run does."""
    before, clock = peak(), Clock()
    with clock.stage("receive"):
        message = channel.receive()
    assert message is not None
    with clock.stage("decode"):
        rollout = from_json(Rollout, message["rollout"])
    del message
    journal = Journal(directory / "journal.jsonl", Redactor({"API_KEY": "0123456789abcdefghijklmn"}).redact)
    with clock.stage("journal"):
        journal.write("rollout", **rollout_fields(rollout))
    with clock.stage("condense"):
        rollout = condensed(rollout)
    with clock.stage("likeness"):
        likeness_of(rollout)
    with clock.stage("tell"):
        request = build_request(
            "prompts/agent.md",
            PROMPT,
            [Exhibit(Case("case", "test_books.py::test_books"), rollout)],
            [],
            [],
            FULL,
            {"prompts/agent.md": PROMPT},
        )
    assert "assert 11 == 12" in request[1]["content"]
    end = channel.receive()
    assert end is not None
    return end, clock.seconds, peak() - before, (directory / "journal.jsonl").stat().st_size


def fork_child(name: str) -> tuple[Channel, int]:
    """A child session that runs a scenario, and the channel to it."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if not pid:
        ours.close()
        child(Channel(theirs), name)
        os._exit(0)
    theirs.close()
    return Channel(ours), pid


def run(name: str) -> None:
    """One scenario."""
    started = time.perf_counter()
    channel, pid = fork_child(name)
    end, seconds, memory, size = parent(channel, Path(tempfile.mkdtemp()))
    os.waitpid(pid, 0)
    took = time.perf_counter() - started
    del seconds["receive"]  # it waits for the child
    print(f"{name}: {took:.1f} s, child {end['memory']:.0f} MB, parent {memory:.0f} MB, ", end="")
    print(f"journal {size / MEGABYTE:.1f} MB")
    stages = {**end["seconds"], **seconds}
    print("    " + ", ".join(f"{stage} {value:.2f}" for stage, value in stages.items()), flush=True)


def run_many(name: str, children: int, rounds: int) -> None:
    """Several children at once, some rollouts one after the other from each; all are kept, as a run does."""
    started, before = time.perf_counter(), peak()
    journal = Journal(Path(tempfile.mkdtemp()) / "journal.jsonl", Redactor({}).redact)
    kept = []
    for _ in range(rounds):
        waiting = dict(fork_child(name) for _ in range(children))
        with selectors.DefaultSelector() as selector:
            for channel in waiting:
                selector.register(channel, selectors.EVENT_READ)
            while waiting:
                for key, _ in selector.select():
                    messages, is_open = key.fileobj.arrived()  # type: ignore[union-attr]
                    for message in messages:
                        if message["event"] == "rollout":
                            rollout = from_json(Rollout, message["rollout"])
                            journal.write("rollout", **rollout_fields(rollout))
                            kept.append(condensed(rollout))
                    if not is_open:
                        selector.unregister(key.fileobj)
                        os.waitpid(waiting.pop(key.fileobj), 0)  # type: ignore[call-overload]
    took = time.perf_counter() - started
    print(f"{len(kept)} rollouts of {name!r}, {children} at once: {took:.1f} s, parent {peak() - before:.0f} MB")


def main() -> None:
    works: list[Callable[[], None]] = [partial(run, name) for name in sys.argv[1:] or SCENARIOS]
    if not sys.argv[1:]:
        works += [partial(run_many, "one tool result of 500k tokens", 8, rounds) for rounds in (1, 8)]
    for work in works:
        pid = os.fork()
        if not pid:
            work()
            os._exit(0)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
