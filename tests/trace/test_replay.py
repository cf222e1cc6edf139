"""Where answers are found and kept, in one process and between several; and how a process is closed off."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

from pytest_gepa.suite.closed_off import is_public
from pytest_gepa.trace import capture, replay, streamed_body
from pytest_gepa.trace.admission import Target
from pytest_gepa.trace.cache import ResponseCache
from pytest_gepa.trace.flights import Flights
from pytest_gepa.trace.keys import identify
from pytest_gepa.trace.record import Recorded
from pytest_gepa.trace.recorder import Recorder
from pytest_gepa.trace.redact import Redactor
from pytest_gepa.trace.replay import RESUMED, NotRecorded, Place, Stores
from pytest_gepa.trace.stored import StoredAnswer, decode
from tests.fake_openai import FakeOpenAI
from tests.trace.conftest import LIBRARIES

# The SDK looks at these when it ends a stream, which must not be in the midst of their import.
for name in LIBRARIES:
    importlib.import_module(name)

ANSWER = StoredAnswer(200, "application/json", b'{"a": 1}')
IDENTITY = identify("POST", "http://one.test/v1/chat/completions", {}, b'{"model": "m"}')
ELSEWHERE = identify("POST", "https://two.test:8443/v1/chat/completions", {}, b'{"model": "m"}')
QUESTION: list[Any] = [{"role": "user", "content": "Capital of France?"}]
CHILD = """
import sys
from pathlib import Path
from pytest_gepa.trace.cache import ResponseCache
from pytest_gepa.trace.keys import identify
from pytest_gepa.trace.replay import Place, Stores
from pytest_gepa.trace.stored import StoredAnswer
cache = ResponseCache(Path(sys.argv[1]))
identity = identify("POST", "http://one.test/v1/chat/completions", {}, b'{"model": "m"}')
place = Place(Stores(cache), identity, "t", 0, reusable=True)
assert place.wait(lambda answer: True) is None
print("in flight", flush=True)
word = sys.stdin.readline().strip()
if word == "answer":
    place.keep(StoredAnswer(200, "application/json", b"theirs"), is_finished=True)
if word != "die":
    place.leave(200 if word == "unkept" else None)
    print("landed", flush=True)
    sys.stdin.readline()
cache.close()
"""
WAITING = """
from pytest_gepa.trace import replay
genuine = replay.nap
def nap(seconds):
    if replay.nap is nap:
        replay.nap = genuine
        print("waiting", flush=True)
    genuine(seconds)
replay.nap = nap
"""


def good(answer: StoredAnswer) -> bool:
    return True


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    stores = Stores(ResponseCache(tmp_path / "cache"), ResponseCache(tmp_path / "recording"))
    yield stores
    stores.close()


def place(stores: Stores, identity: Any = IDENTITY, *, trial: str = "t", reusable: bool = True) -> Place:
    return Place(stores, identity, trial, 0, reusable=reusable)


def closed_off(stores: Stores) -> Stores:
    return Stores(stores.cache, stores.recording, "only")


# Answers as bytes


@pytest.mark.parametrize(
    "answer",
    [
        ANSWER,
        StoredAnswer(404, "", b""),
        StoredAnswer(200, "", b"{}", seconds=0.25),
        StoredAnswer(200, "text/event-stream; charset=utf-8", b"data: 1\n\ndata: [DONE]\n\n"),
        StoredAnswer(200, "x/y\nz", b"\x00\xff\n{}"),
    ],
)
def test_an_answer_comes_back_as_it_was(answer: StoredAnswer) -> None:
    assert decode(answer.encode()) == answer


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        b'{"choices": []}',
        b"[]\nbody",
        b'{"form": "other"}\nbody',
        b'{"form": "gepa-answer-1", "status": "200", "content_type": ""}\nbody',
        b'{"form": "gepa-answer-1", "status": true, "content_type": ""}\nbody',
        b'{"form": "gepa-answer-1", "status": 200, "content_type": null}\nbody',
        b"[" * 100_000 + b"\nbody",
    ],
)
def test_bytes_that_are_no_answer_are_none(data: bytes) -> None:
    assert decode(data) is None


def test_a_stream_is_played_event_by_event_and_its_last_event_is_ended() -> None:
    def pieces(body: bytes) -> list[bytes]:
        return list(StoredAnswer(200, "text/event-stream", body).pieces())

    assert pieces(b"data: 1\n\ndata: 2\n\n") == [b"data: 1\n\n", b"data: 2\n\n"]
    assert pieces(b"data: 1\r\n\r\ndata: [DONE]\r\n") == [b"data: 1\r\n\r\n", b"data: [DONE]\n\n"]
    assert pieces(b"data: [DONE]") == [b"data: [DONE]\n\n"]
    assert pieces(b"") == []
    assert list(ANSWER.pieces()) == [ANSWER.body]


# Finding and keeping


def test_a_finished_answer_is_found_again_and_an_unfinished_one_is_not(stores: Stores) -> None:
    place(stores).keep(ANSWER, is_finished=True)
    assert place(stores).find(good) == ANSWER
    assert place(stores).find(lambda answer: False) is None
    assert place(stores, trial="u").find(good) is None
    place(stores, trial="u").keep(ANSWER, is_finished=False)
    assert place(stores, trial="u").find(good) is None


def test_what_is_not_reusable_is_recorded_only(stores: Stores) -> None:
    place(stores, reusable=False).keep(ANSWER, is_finished=True)
    assert place(stores, reusable=False).find(good) is None
    assert place(closed_off(stores), reusable=False).find(good) == ANSWER


def test_a_recording_answers_whatever_server_is_named_and_the_cache_does_not(stores: Stores) -> None:
    place(stores).keep(ANSWER, is_finished=True)
    assert place(stores, ELSEWHERE).find(good) is None
    assert place(closed_off(stores), ELSEWHERE).find(good) == ANSWER
    assert place(Stores(stores.cache, None, "only"), ELSEWHERE).find(good) is None


def test_errors_are_recorded_until_an_answer_comes(stores: Stores) -> None:
    busy = StoredAnswer(429, "", b"busy")
    place(stores).keep(busy, is_finished=False)
    assert place(closed_off(stores)).find(good) == busy
    place(stores).keep(ANSWER, is_finished=True)
    place(stores).keep(busy, is_finished=False)
    assert place(closed_off(stores)).find(good) == ANSWER


def test_an_answer_from_an_earlier_run_is_recorded_when_it_is_used(stores: Stores, tmp_path: Path) -> None:
    place(Stores(stores.cache)).keep(ANSWER, is_finished=True)
    here = place(stores)
    assert here.find(good) == ANSWER
    here.keep_again(ANSWER)
    assert place(Stores(None, stores.recording, "only")).find(good) == ANSWER


def test_nothing_is_written_where_only_stored_answers_are_used(stores: Stores) -> None:
    here = place(closed_off(stores))
    here.keep(ANSWER, is_finished=True)
    here.keep_again(ANSWER)
    assert here.find(good) is None
    assert not here.is_withheld()


@pytest.mark.parametrize("texts", [(), ("it says sk-secret",)])
def test_an_answer_with_a_secret_is_stored_nowhere(stores: Stores, texts: tuple[str, ...]) -> None:
    guarded = Stores(stores.cache, stores.recording, redact=lambda text: text.replace("sk-secret", "[redacted]"))
    answer = ANSWER if texts else StoredAnswer(200, "", b"sk-secret")
    place(guarded).keep(answer, *texts, is_finished=True)
    assert place(guarded).find(good) is None
    assert place(closed_off(stores)).find(good) is None
    assert place(closed_off(stores)).is_withheld()


@pytest.mark.parametrize("setting", ["auto", RESUMED])
@pytest.mark.parametrize("texts", [(), ("it says sk-secret",)])
def test_an_answer_that_was_stored_before_its_secret_was_known_is_in_no_recording(
    stores: Stores, texts: tuple[str, ...], setting: str
) -> None:
    """A run that goes on with another has the answers of that in its recording."""
    guarded = Stores(stores.cache, stores.recording, setting, lambda text: text.replace("sk-secret", "[redacted]"))
    answer = ANSWER if texts else StoredAnswer(200, "", b"sk-secret")
    place(stores if setting == RESUMED else Stores(stores.cache)).keep(answer, is_finished=True)
    place(guarded).keep_again(answer, *texts)
    assert place(Stores(None, stores.recording, "only")).find(good) is None
    assert place(closed_off(stores)).is_withheld()


def test_a_secret_that_a_stored_stream_tells_in_pieces_is_in_no_recording(tmp_path: Path) -> None:
    before = Stores(ResponseCache(tmp_path / "cache"))
    after = Stores(before.cache, ResponseCache(tmp_path / "recording"), redact=Redactor({}, [r"no\. \d{6}"]).redact)

    def say(server: FakeOpenAI) -> str:
        with client_of(server) as client:
            chunks = client.chat.completions.create(model="m", messages=QUESTION, stream=True)
            return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)

    with FakeOpenAI(lambda request: "account no. 123456 is open") as server:
        for stores in (before, after):
            with captured(stores) as recorder:
                assert say(server) == "account no. 123456 is open"
            assert recorder.problems == ()
        assert len(server.requests) == 1
    assert after.recording is not None
    assert [data for _, data in after.recording.items()] == [replay.WITHHELD]
    after.close()


STAMPED = b'{"id": "chatcmpl-AbC123456xyz0", "created":1731000000, "system_fingerprint": "fp_44709d6123456", "say": %s}'


def test_the_stamps_of_a_server_are_no_secret(stores: Stores) -> None:
    guarded = Stores(stores.cache, stores.recording, redact=Redactor({}, [r"\d{6}"]).redact)
    answer = StoredAnswer(200, "application/json", STAMPED % b'"hello"')
    place(guarded).keep(answer, is_finished=True)

    assert place(guarded).find(good) == answer


@pytest.mark.parametrize(
    "said",
    [b'"123456"', b"123456", rb'"{\"created\": 1731000000}"', b'{"created": 123456}', b'{"id": "123456"}'],
)
def test_what_an_answer_says_is_looked_at_all_the_same(stores: Stores, said: bytes) -> None:
    guarded = Stores(stores.cache, stores.recording, redact=Redactor({}, [r"\d{6}"]).redact)
    place(guarded).keep(StoredAnswer(200, "application/json", STAMPED % said), is_finished=True)

    assert place(closed_off(stores)).is_withheld()


# In flight


def child(directory: Path, program: str = CHILD, does: str = "in flight") -> subprocess.Popen[str]:
    """Another process, which has sent the request and waits for a word on how it ends."""
    command = [sys.executable, "-c", program, str(directory)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert hear(process) == does
    return process


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip()


def tell(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{word}\n")
    process.stdin.flush()
    if word != "die":
        assert hear(process) == "landed"


def end(process: subprocess.Popen[str]) -> None:
    process.communicate("\n")


needs_locks = pytest.mark.skipif(sys.platform == "win32", reason="no locks between processes here")


@needs_locks
def test_a_request_that_another_process_has_in_flight_waits_for_its_answer(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = child(tmp_path / "cache")
    asked_before_it_came = threading.Event()
    genuine = Place._cached

    def look(self: Place, is_good: Any) -> StoredAnswer | None:
        found = genuine(self, is_good)
        asked_before_it_came.set()
        return found

    monkeypatch.setattr(Place, "_cached", look)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: place(stores).wait(good))
        assert asked_before_it_came.wait(20)
        assert not waiting.done()
        tell(process, "answer")
        answer = waiting.result(20)
    assert answer is not None
    assert answer.body == b"theirs"
    end(process)


@needs_locks
@pytest.mark.parametrize("word", ["nothing", "die"])
def test_when_the_other_process_gets_no_answer_or_dies_it_is_this_ones_turn(
    stores: Stores, tmp_path: Path, word: str
) -> None:
    process = child(tmp_path / "cache")
    flights = Flights(tmp_path / "cache/flights")
    key = place(stores)._key
    assert not flights.take_off(key)
    tell(process, word)
    if word == "die":
        process.wait()
    here = place(stores)
    assert here.wait(good) is None
    if word != "die":
        end(process)
    else:
        process.communicate()
    assert child_finds_it_taken(tmp_path / "cache", key), "it is this process that others wait for now"
    here.leave()
    assert not child_finds_it_taken(tmp_path / "cache", key)


@needs_locks
def test_an_answer_that_a_model_thinks_about_for_minutes_is_waited_for(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = child(tmp_path / "cache")
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += 20.0
        if now[0] == 400.0:
            tell(process, "answer")

    monkeypatch.setattr(replay, "nap", sleep)
    monkeypatch.setattr(replay, "clock", lambda: now[0])
    answer = place(stores).wait(good)
    assert answer is not None
    assert (answer.body, now[0]) == (b"theirs", 400.0)
    end(process)


def child_finds_it_taken(directory: Path, key: str) -> bool:
    program = (
        "import sys; from pathlib import Path; from pytest_gepa.trace.flights import Flights\n"
        "print(Flights(Path(sys.argv[1]) / 'flights').take_off(sys.argv[2]))"
    )
    command = [sys.executable, "-c", program, str(directory), key]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


@needs_locks
def test_after_the_longest_wait_the_request_goes_out_all_the_same(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "LONGEST_WAIT", 0.0)
    process = child(tmp_path / "cache")
    assert place(stores).wait(good) is None
    place(stores).leave()
    assert child_finds_it_taken(tmp_path / "cache", place(stores)._key), "what it did not take it does not give back"
    tell(process, "nothing")
    end(process)


async def answered_meanwhile(stores: Stores, process: subprocess.Popen[str]) -> StoredAnswer | None:
    """What comes of a wait in an event loop for the answer that another process is getting."""
    waiting = asyncio.ensure_future(place(stores).wait_async(good))
    await asyncio.sleep(0)
    assert not waiting.done()
    tell(process, "answer")
    return await waiting


@needs_locks
def test_an_event_loop_goes_on_while_a_request_waits(stores: Stores, tmp_path: Path) -> None:
    process = child(tmp_path / "cache")

    answer = asyncio.run(answered_meanwhile(stores, process))
    assert answer is not None
    assert answer.body == b"theirs"
    end(process)


@needs_locks
def test_a_wait_ends_though_the_test_has_stopped_the_time(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As freezegun does: the timers of an event loop then never come."""
    process = child(tmp_path / "cache")

    with monkeypatch.context() as patched:
        patched.setattr(time, "monotonic", lambda: 1.0)
        patched.setattr(time, "perf_counter", lambda: 1.0)
        patched.setattr(time, "sleep", lambda seconds: None)
        answer = asyncio.run(answered_meanwhile(stores, process))
    assert answer is not None
    assert answer.body == b"theirs"
    end(process)


@needs_locks
def test_all_who_wait_for_an_answer_that_is_not_stored_go_at_once(tmp_path: Path) -> None:
    process = child(tmp_path / "cache")
    others = [child(tmp_path / "cache", WAITING + CHILD, "waiting") for _ in range(2)]
    tell(process, "unkept")
    # Each has sent its request before any of them has ended.
    assert [hear(other) for other in others] == ["in flight"] * 2
    for other in others:
        tell(other, "nothing")
        end(other)
    end(process)


def test_it_is_told_of_answers_that_are_not_stored_and_of_no_others(
    stores: Stores, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(Flights, "tell_unkept", lambda self, key: told.append(key))
    guarded = Stores(stores.cache, stores.recording, redact=lambda text: text.replace("sk-secret", "[redacted]"))

    def reply(request: dict[str, Any]) -> Any:
        said = request["messages"][-1]["content"]
        others: dict[str, Any] = {"busy": (429, "too fast"), "nothing": {"choices": []}}
        return others.get(said, said)

    with FakeOpenAI(reply) as server, captured(guarded), library.Client() as client:
        for said, times in (("hello", 0), ("busy", 0), ("sk-secret", 1), ("nothing", 1)):
            body = {"model": "m", "messages": [{"role": "user", "content": said}]}
            client.post(f"{server.base_url}/chat/completions", json=body)
            assert len(told) == times, said
            told.clear()


@needs_locks
def test_where_the_locks_cannot_be_opened_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a directory that another user has made."""
    flights = Flights(tmp_path / "flights")
    genuine = os.open

    def refuse(path: Any, *args: Any, **options: Any) -> int:
        if path == tmp_path / "flights":
            raise PermissionError(13, "Permission denied", str(path))
        return genuine(path, *args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        assert flights.take_off("k")
        flights.land("k")
    assert flights.take_off("k")
    flights.close()


@needs_locks
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_holds_none_of_its_parents_flights(tmp_path: Path) -> None:
    flights = Flights(tmp_path / "flights")
    assert flights.take_off("k")
    pid = os.fork()
    if pid == 0:
        flights.land("k")  # not its own to end
        os._exit(0 if not flights.take_off("k") and flights.take_off("other") else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert child_finds_it_taken(tmp_path, "k")
    flights.close()


# Closed off


@contextlib.contextmanager
def captured(stores: Stores, trial: str = "t") -> Iterator[Recorder]:
    recorder = Recorder()
    capture.install(Target(recorder, stores.cache, trial, stores.replay, stores.recording, stores.redact))
    recorder.begin("case")
    try:
        yield recorder
    finally:
        capture.uninstall()


def client_of(server: FakeOpenAI) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=1)


def test_a_request_without_an_answer_is_not_sent_and_not_swallowed(stores: Stores) -> None:
    with FakeOpenAI(lambda request: "sent") as server, captured(closed_off(stores)) as recorder:
        client = openai.OpenAI(base_url=server.base_url, api_key="k")
        with pytest.raises(NotRecorded, match=r"no stored answer: POST /v1/chat/completions, model m, last .*France"):
            client.chat.completions.create(model="m", messages=QUESTION)
        assert not issubclass(NotRecorded, Exception), "an application that catches exceptions lets it pass"
        recorded = recorder.end()
        client.close()
    assert server.requests == []
    assert len(recorded.refused) == 1
    assert recorded.calls[0].error.startswith("NotRecorded: no stored answer")


def test_what_is_not_sent_is_known_also_where_the_application_swallows_everything(stores: Stores) -> None:
    with FakeOpenAI(lambda request: "sent") as server, captured(closed_off(stores)) as recorder:
        client = openai.AsyncOpenAI(base_url=server.base_url, api_key="k")

        async def run() -> None:
            with contextlib.suppress(BaseException):
                await client.chat.completions.create(model="m", messages=QUESTION)
            await client.close()

        asyncio.run(run())
        recorded: Recorded = recorder.end()
    assert server.requests == []
    assert recorded.refused


def test_a_recorded_answer_is_given_though_the_server_is_gone(stores: Stores) -> None:
    with FakeOpenAI(lambda request: "Paris") as server, captured(stores), client_of(server) as client:
        client.chat.completions.create(model="m", messages=QUESTION)
    with captured(closed_off(stores)) as recorder:
        with openai.OpenAI(base_url="http://replay.invalid/v1", api_key="other") as client:
            said = client.chat.completions.create(model="m", messages=QUESTION)
        (call,) = recorder.end().calls
    assert said.choices[0].message.content == "Paris"
    assert (call.cached, call.status) == (True, 200)


def test_an_error_is_replayed_as_the_same_error(stores: Stores) -> None:
    reply = (400, {"error": {"message": "filtered"}})
    for where in (stores, closed_off(stores)):
        with FakeOpenAI(lambda request: reply) as server, captured(where), client_of(server) as client:
            with pytest.raises(openai.BadRequestError, match="filtered"):
                client.chat.completions.create(model="m", messages=QUESTION)
            assert len(server.requests) == (1 if where is stores else 0)


def test_a_retry_is_replayed_as_its_answer(stores: Stores) -> None:
    replies: list[Any] = [(429, "slow down"), "bought"]
    with FakeOpenAI(lambda request: replies.pop(0)) as server, captured(stores), client_of(server) as client:
        client.chat.completions.create(model="m", messages=QUESTION)
    with captured(closed_off(stores)) as recorder, client_of(server) as client:
        client.chat.completions.create(model="m", messages=QUESTION)
        assert len(recorder.end().calls) == 1


def test_a_stream_that_is_left_early_can_be_replayed_but_not_used_again(stores: Stores) -> None:
    def first_words(server: FakeOpenAI) -> str:
        with (
            client_of(server) as client,
            client.chat.completions.create(model="m", messages=QUESTION, stream=True) as stream,
        ):
            return "".join(next(stream).choices[0].delta.content or "" for _ in range(2))

    with FakeOpenAI(lambda request: "one two three") as server, captured(stores) as recorder:
        assert first_words(server) == "one "
        recorder.end()
        recorder.begin("again")
        first_words(server)
        assert len(server.requests) == 2
    with captured(closed_off(stores)):
        assert first_words(server) == "one "


def test_a_body_that_is_longer_than_what_is_kept_of_it_is_not_stored(
    stores: Stores, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamed_body, "LONGEST_BODY", 1000)
    with FakeOpenAI(lambda request: {"data": [{"embedding": [0.5] * 100_000}]}) as server:
        for number in (1, 2):
            with (
                captured(stores) as recorder,
                library.Client() as client,
                client.stream("POST", f"{server.base_url}/embeddings", json={"input": "a"}) as response,
            ):
                assert len(json.loads(response.read())["data"][0]["embedding"]) == 100_000
            assert len(server.requests) == number
            (call,) = recorder.end().calls
            assert call.answer is not None
            assert call.status == 200
        assert stores.recording is not None
        assert list(stores.recording.items()) == []


def test_unknown_endpoints_are_recorded_where_they_name_a_model_or_are_elsewhere(stores: Stores, library: Any) -> None:
    with FakeOpenAI(lambda request: {"n": len(server.requests)}) as server:
        url = server.base_url.replace("/v1", "/own")
        for where, sent in ((stores, 4), (closed_off(stores), 6)):
            with captured(where), library.Client() as client:
                asked = [client.post(f"{url}/generate", json={"model": "m", "text": "a"}).json() for _ in range(2)]
                assert asked == [{"n": 1}, {"n": 2}], "identical requests may have different answers"
                own = [client.post(f"{url}/orders", json={"item": 1}).json() for _ in range(2)]
                assert own == [{"n": sent - 1}, {"n": sent}], "a server of the test itself is asked every time"


def test_two_questions_to_an_unknown_endpoint_have_two_answers(stores: Stores, library: Any) -> None:
    with FakeOpenAI(lambda request: {"asked": request["user"]}) as server:
        url = server.base_url.replace("/v1", "/ask")
        questions = ["2 + 2?", "Capital of France?"]
        for where, order in ((stores, questions), (closed_off(stores), questions[::-1])):
            with captured(where), library.Client() as client:
                for question in order:
                    answer = client.post(url, json={"model": "m", "user": question}).json()
                    assert answer == {"asked": question}


@pytest.mark.parametrize("name", LIBRARIES)
def test_telemetry_is_refused_where_only_stored_answers_are_used_and_fails_nobody(name: str) -> None:
    library: Any = importlib.import_module(name)
    recorder = Recorder()
    with FakeOpenAI(lambda request: {}) as server:
        capture.install(Target(recorder, None, "t", "only"))
        recorder.begin("case")
        try:
            with pytest.raises(ConnectionRefusedError, match="nothing is told to"):
                library.post("http://telemetry.test/v1/traces/ingest", json={"data": ["hello"]})
            library.post(server.base_url + "/traces/ingest", json={"data": ["hello"]})
            recorded = recorder.end()
        finally:
            capture.uninstall()
    assert len(server.requests) == 1
    assert (recorded.refused, recorded.calls, recorder.problems) == ((), (), ())


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize(
    "body",
    [b"\x0a\x1c\x0a\x10protobuf", b"{}\n{}", [b"a part, ", b"and one more"]],
    ids=["bytes", "lines", "stream"],
)
def test_so_is_telemetry_in_a_form_that_nobody_reads_here(name: str, body: Any) -> None:
    library: Any = importlib.import_module(name)
    recorder = Recorder()
    capture.install(Target(recorder, None, "t", "only"))
    recorder.begin("case")
    try:
        given = {"data" if name == "requests" else "content": iter(body) if isinstance(body, list) else body}
        with pytest.raises(ConnectionRefusedError, match="nothing is told to"):
            library.post("http://telemetry.test/api/1/envelope/", headers={"content-type": "x-protobuf"}, **given)
        recorded = recorder.end()
    finally:
        capture.uninstall()
    assert (recorded.refused, recorded.calls, recorder.problems) == ((), (), ())


@pytest.mark.parametrize(
    ("address", "public"),
    [
        (("93.184.216.34", 443), True),
        (("2606:2800:220:1:248:1893:25c8:1946", 443, 0, 0), True),
        (("::ffff:93.184.216.34", 443, 0, 0), True),
        (("api.example.com", 443), True),
        (("127.0.0.1", 80), False),
        (("10.1.2.3", 5432), False),
        (("172.18.0.2", 5432), False),
        (("192.168.0.1", 80), False),
        (("::1", 80, 0, 0), False),
        (("fe80::1%eth0", 80, 0, 2), False),
        (("localhost", 80), False),
        ("/run/socket", False),
        (b"\0abstract", False),
    ],
)
def test_public_addresses_are_told_from_those_of_machine_and_network(address: Any, public: bool) -> None:
    assert is_public(address) == public


def test_a_process_that_is_closed_off_connects_to_no_public_address(tmp_path: Path) -> None:
    program = """
import asyncio, socket, urllib.request
from pytest_gepa.suite.closed_off import close_off
from pytest_gepa.trace.replay import NotRecorded
told = []
close_off(told.append)
listener = socket.create_server(("127.0.0.1", 0))
socket.create_connection(listener.getsockname()).close()
for connect in (
    lambda: socket.create_connection(("93.184.216.34", 9)),
    lambda: socket.socket().connect_ex(("93.184.216.34", 9)),
    lambda: urllib.request.urlopen("http://93.184.216.34:9/"),
    lambda: asyncio.run(asyncio.open_connection("93.184.216.34", 9)),
):
    try:
        connect()
    except NotRecorded as error:
        print(error)
print(len(told))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    line = "no connection to 93.184.216.34, port 9: only stored answers are used"
    assert done.stdout.splitlines() == [line] * 4 + ["4"]


def test_a_run_that_goes_on_has_the_answers_of_models_of_unknown_protocols_too(stores: Stores, library: Any) -> None:
    with FakeOpenAI(lambda request: {"n": len(server.requests)}) as server:
        url = server.base_url.replace("/v1", "/own") + "/generate"
        for where in (stores, Stores(stores.cache, stores.recording, RESUMED)):
            with captured(where), library.Client() as client:
                asked = [client.post(url, json={"model": "m", "text": "a"}).json() for _ in range(2)]
            assert asked == [{"n": 1}, {"n": 2}]
        assert len(server.requests) == 2


@needs_locks
def test_a_time_limit_of_the_test_is_heard_while_a_request_waits(
    stores: Stores, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def over(number: int, frame: Any) -> None:
        raise TimeoutError("the test's own")

    monkeypatch.setattr(Flights, "take_off", lambda self, key: False)
    before = signal.signal(signal.SIGALRM, over)
    try:
        with FakeOpenAI(lambda request: "sent") as server, captured(stores), library.Client() as client:
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with pytest.raises(TimeoutError):
                client.post(f"{server.base_url}/chat/completions", json={"model": "m", "messages": QUESTION})
            assert server.requests == []
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
