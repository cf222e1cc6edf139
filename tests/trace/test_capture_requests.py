"""Capture and cache with requests, urllib3 and urllib.request."""

from __future__ import annotations

import copy
import io
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pytest_gepa.trace import capture
from pytest_gepa.trace.admission import Target
from pytest_gepa.trace.cache import ResponseCache
from pytest_gepa.trace.recorder import Recorder
from pytest_gepa.trace.trajectory import Call, Message
from tests.fake_openai import FakeOpenAI, completion
from tests.trace.conftest import ask

requests = pytest.importorskip("requests", reason="installed by the extra `test`")
urllib3 = pytest.importorskip("urllib3", reason="installed by the extra `test`")

PARIS = Message("assistant", "It is Paris.")
JSON = {"Content-Type": "application/json"}


def as_json(body: Any) -> dict[str, Any]:
    """A body for urllib3, which writes JSON by itself only from 2.0 on."""
    return {"body": json.dumps(body), "headers": JSON}


class Bench:
    """A loopback server, a cache, and how many requests got through to the server."""

    def __init__(self, directory: Path) -> None:
        self.server = FakeOpenAI(lambda request: "It is Paris.")
        self.url = self.server.base_url + "/chat/completions"
        self.cache = ResponseCache(directory)
        self.recorder = Recorder()
        capture.install(Target(self.recorder, self.cache, "t/1"))

    def calls(self, action: Callable[[], Any]) -> tuple[Call, ...]:
        """What a case records that does this."""
        self.recorder.begin("case")
        try:
            action()
        finally:
            calls = self.recorder.end().calls
        return calls

    @property
    def sent(self) -> int:
        return len(self.server.requests)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("NO_PROXY", "*")
    bench = Bench(tmp_path / "responses")
    try:
        yield bench
    finally:
        capture.uninstall()
        bench.cache.close()
        bench.server.close()
    assert bench.recorder.problems == ()


# What is recorded, and how often


@pytest.mark.parametrize(
    "content",
    [{"json": ask()}, {"data": json.dumps(ask())}, {"data": json.dumps(ask()).encode(), "headers": JSON}],
    ids=["json", "text", "bytes"],
)
def test_a_call_of_requests_is_recorded_once(bench: Bench, content: Any) -> None:
    (call,) = bench.calls(lambda: requests.post(bench.url, **content))
    assert call.request == (Message("user", "Capital of France?"),)
    assert (call.answer, call.status, call.input_tokens, call.output_tokens) == (PARIS, 200, 3, 3)


def test_a_call_of_urllib3_is_recorded_once(bench: Bench) -> None:
    def act() -> None:
        response = urllib3.PoolManager().request("POST", bench.url, **as_json(ask()))
        assert json.loads(response.data)["choices"][0]["message"]["content"] == "It is Paris."

    (call,) = bench.calls(act)
    assert (call.answer, call.status) == (PARIS, 200)


def test_a_body_that_can_be_read_once_is_left_to_the_library(bench: Bench) -> None:
    def act() -> None:
        data = json.dumps(ask()).encode()
        requests.post(bench.url, data=io.BytesIO(data), headers=JSON)
        urllib3.PoolManager().request(
            "POST", bench.url, body=io.BytesIO(data), headers={"Content-Length": str(len(data))}
        )

    assert bench.calls(act) == ()
    assert bench.server.requests == [ask(), ask()]


def test_other_requests_are_left_alone(bench: Bench) -> None:
    def act() -> None:
        requests.get(bench.server.base_url + "/models")
        urllib3.PoolManager().request("GET", bench.server.base_url + "/models")
        urllib.request.urlopen(bench.server.base_url + "/models").close()

    assert bench.calls(act) == ()


def test_a_hook_that_asks_another_model_meanwhile_is_recorded_too(bench: Bench) -> None:
    def moderate(response: Any, **options: Any) -> None:
        requests.post(bench.url, json=ask("Is that polite?"))

    calls = bench.calls(lambda: requests.post(bench.url, json=ask(), hooks={"response": moderate}))
    assert [call.request[0].content for call in calls] == ["Capital of France?", "Is that polite?"]


def test_tries_within_urllib3_are_one_call_and_tries_of_the_application_are_each_one(bench: Bench) -> None:
    answers = iter([(503, "later"), (503, "later"), "It is Paris."] * 2)
    bench.server.reply = lambda request: next(answers)

    def act() -> None:
        retries = urllib3.Retry(3, status_forcelist=[503], allowed_methods=None, backoff_factor=0)
        urllib3.PoolManager(retries=retries).request("POST", bench.url, **as_json(ask()))
        while requests.post(bench.url, json=ask("Again?")).status_code == 503:
            pass

    within, *own = bench.calls(act)
    assert within.answer == PARIS
    assert [(call.status, call.error) for call in own] == [(503, "later"), (503, "later"), (200, "")]


def test_an_error_of_urllib_request_is_recorded_and_can_still_be_read(bench: Bench) -> None:
    bench.server.reply = lambda request: (429, {"error": "slow down"})

    def act() -> None:
        request = urllib.request.Request(bench.url, json.dumps(ask()).encode(), JSON)
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(request)
        with raised.value as error:
            assert json.loads(error.read()) == {"error": "slow down"}

    (call,) = bench.calls(act)
    assert (call.status, call.answer, call.error) == (429, None, '{"error": "slow down"}')


def test_an_answer_that_nobody_reads_was_sent_all_the_same(bench: Bench) -> None:
    """It came from the server, and from no mock."""
    bench.server.reply = lambda request: (429, {"error": "slow down"})
    kept: list[urllib.error.HTTPError] = []

    def act() -> None:
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(urllib.request.Request(bench.url, json.dumps(ask()).encode(), JSON))
        kept.append(raised.value)

    (call,) = bench.calls(act)
    kept[0].close()
    assert (call.status, call.answer, call.sent) == (429, None, True)


def test_a_stream_that_is_dropped_is_recorded_when_it_goes(bench: Bench) -> None:
    def act() -> None:
        with requests.post(bench.url, json=ask(stream=True), stream=True) as response:
            for line in response.iter_lines():
                if b"Paris" not in line and b"It" in line:
                    break

    (call,) = bench.calls(act)
    assert call.error.startswith("closed before the answer was complete")


@pytest.mark.parametrize("read", ["read", "read1", "readinto", "readline", "lines", "all"])
def test_a_body_is_heard_however_http_client_reads_it(bench: Bench, read: str) -> None:
    def act() -> None:
        request = urllib.request.Request(bench.url, json.dumps(ask(stream=True)).encode(), JSON)
        with urllib.request.urlopen(request) as response:
            if read == "readinto":
                buffer = bytearray(7)
                while response.readinto(buffer):
                    pass
            elif read == "lines":
                assert len(list(response)) > 4
            elif read == "all":
                response.read()
            else:
                while getattr(response, read)(7):
                    pass

    (call,) = bench.calls(act)
    assert (call.answer, call.error) == (PARIS, "")


@pytest.mark.parametrize("read", ["read", "read1", "readinto", "readline", "lines", "all", "data", "chunks"])
def test_a_body_is_heard_however_urllib3_reads_it(bench: Bench, read: str) -> None:
    if not hasattr(urllib3.HTTPResponse, "read1"):  # before 2.1
        read = read.removesuffix("1")

    def act() -> None:
        response = urllib3.PoolManager().request("POST", bench.url, **as_json(ask(stream=True)), preload_content=False)
        if read == "readinto":
            buffer = bytearray(7)
            while response.readinto(buffer):
                pass
        elif read in ("lines", "chunks"):
            assert len(list(response if read == "lines" else response.read_chunked())) > 4
        elif read in ("all", "data"):
            assert response.read() if read == "all" else response.data
        else:
            while getattr(response, read)(7):
                pass
        response.release_conn()

    (call,) = bench.calls(act)
    assert (call.answer, call.error) == (PARIS, "")


# Mocks


class FakeAdapter(requests.adapters.BaseAdapter):  # type: ignore[misc]
    """An adapter that answers by itself."""

    def send(self, request: Any, **options: Any) -> Any:
        body = json.dumps(completion(ask(), {"content": "It is Paris."})).encode()
        raw = urllib3.HTTPResponse(io.BytesIO(body), JSON, 200, preload_content=False)
        return requests.adapters.HTTPAdapter().build_response(request, raw)

    def close(self) -> None:
        pass


def test_calls_to_an_adapter_of_the_tests_are_recorded_and_always_asked(bench: Bench) -> None:
    session = requests.Session()
    session.mount("http://model.test", FakeAdapter())

    def act() -> None:
        response = session.post("http://model.test/v1/chat/completions", json=ask(), stream=True)
        assert response.json()["choices"]

    for _ in range(2):
        (call,) = bench.calls(act)
        assert (call.answer, call.cached) == (PARIS, False)


def test_an_adapter_that_a_mocking_library_has_patched_is_always_asked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.calls(lambda: requests.post(bench.url, json=ask()))
    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", lambda self, request, **_: FakeAdapter().send(request))
    (call,) = bench.calls(lambda: requests.post(bench.url, json=ask()))
    assert (call.answer, call.cached) == (PARIS, False)
    assert bench.sent == 1


def test_an_adapter_that_adds_something_and_passes_on_may_use_stored_answers(bench: Bench) -> None:
    class WithTimeout(requests.adapters.HTTPAdapter):  # type: ignore[misc]
        def send(self, request: Any, **options: Any) -> Any:
            return super().send(request, **{**options, "timeout": 20})

    def act() -> None:
        with requests.Session() as session:
            session.mount("http://", WithTimeout())
            session.post(bench.url, json=ask())

    bench.calls(act)
    (call,) = bench.calls(act)
    assert call.cached
    assert bench.sent == 1


class Cassette:
    """What is looked at of a cassette of vcrpy: it hands out what it holds, and keeps a copy of what it records."""

    def __init__(self) -> None:
        self.responses: list[dict[str, Any]] = [{"body": {"string": completion(ask(), {"content": "It is Paris."})}}]


def connection_of(cassette: Cassette, *, is_recording: bool) -> type:
    """A connection as vcrpy puts it into the pools of urllib3, with nobody at the other end."""

    class Connection(urllib3.connection.HTTPConnection):  # type: ignore[misc]
        def request(self, *args: Any, **options: Any) -> None:
            pass

        def getresponse(self) -> Any:
            held = cassette.responses[0]
            body = io.BytesIO(json.dumps(held["body"]["string"]).encode())
            response = urllib3.HTTPResponse(body, JSON, 200, preload_content=False)
            response.recorded_response = copy.deepcopy(held) if is_recording else held
            return response

    Connection.__module__ = "vcr.stubs.urllib3_stubs"
    Connection.cassette = cassette
    return Connection


@pytest.mark.parametrize("is_recording", [False, True])
@pytest.mark.parametrize("is_streamed", [False, True])
def test_what_a_cassette_answers_is_always_asked_and_known_as_not_sent(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, is_recording: bool, is_streamed: bool
) -> None:
    def with_requests() -> None:
        assert requests.post(bench.url, json=ask(), stream=is_streamed).json()["choices"]

    def with_urllib3() -> None:
        pool = urllib3.PoolManager()
        response = pool.request("POST", bench.url, preload_content=not is_streamed, **as_json(ask()))
        assert json.loads(response.read() if is_streamed else response.data)["choices"]

    cassette = Cassette()
    bench.calls(with_requests)
    connection = connection_of(cassette, is_recording=is_recording)
    monkeypatch.setattr(urllib3.HTTPConnectionPool, "ConnectionCls", connection)
    for act in (with_requests, with_requests, with_urllib3, with_urllib3):
        (call,) = bench.calls(act)
        # What is recorded now was sent, and paid for.
        assert (call.answer, call.cached, call.sent, call.played) == (PARIS, False, is_recording, not is_recording)


# Stored answers


def test_a_stored_answer_comes_as_a_response_of_requests(bench: Bench) -> None:
    got: list[Any] = []
    hooks = {"response": lambda response, **options: got.append(response.status_code)}
    for _ in range(2):
        bench.calls(lambda: got.append(requests.post(bench.url, json=ask(), hooks=hooks)))
    (_, first, status, again) = got
    assert bench.sent == 1
    assert status == 200
    assert type(again) is type(first) is requests.Response
    assert again.json() == first.json()
    assert (again.reason, again.ok, again.elapsed) == ("OK", True, timedelta(0))
    assert again.headers["Content-Type"] == "application/json"
    assert again.url == bench.url
    assert again.request.body == first.request.body
    again.raise_for_status()


def test_a_stored_stream_comes_in_its_events(bench: Bench) -> None:
    read: list[list[bytes]] = []

    def act() -> None:
        with requests.post(bench.url, json=ask(stream=True), stream=True) as response:
            read.append(list(response.iter_lines()))

    bench.calls(act)
    (call,) = bench.calls(act)
    assert bench.sent == 1
    assert (call.cached, call.streamed, call.answer) == (True, True, PARIS)
    assert read[0] == read[1]


@pytest.mark.parametrize("preload", [True, False])
def test_a_stored_answer_comes_as_a_response_of_urllib3(bench: Bench, preload: bool) -> None:
    got: list[Any] = []

    def act() -> None:
        response = urllib3.PoolManager().request("POST", bench.url, **as_json(ask()), preload_content=preload)
        got.append((type(response), response.status, response.data, response.headers["content-type"]))

    bench.calls(act)
    (call,) = bench.calls(act)
    assert bench.sent == 1
    assert call.cached
    assert got[0] == got[1]


def test_a_stored_answer_comes_as_a_response_of_urllib_request(bench: Bench) -> None:
    got: list[Any] = []

    def act() -> None:
        request = urllib.request.Request(bench.url, json.dumps(ask()).encode(), JSON)
        with urllib.request.urlopen(request) as response:
            got.append(
                (
                    type(response),
                    response.status,
                    response.read(),
                    response.url,
                    response.headers["content-type"],
                )
            )

    bench.calls(act)
    (call,) = bench.calls(act)
    assert bench.sent == 1
    assert call.cached
    assert got[0] == got[1]


def test_one_library_is_answered_with_what_another_has_bought(bench: Bench) -> None:
    bench.calls(lambda: requests.post(bench.url, json=ask()))
    (call,) = bench.calls(lambda: urllib3.PoolManager().request("POST", bench.url, **as_json(ask())))
    assert call.cached
    assert bench.sent == 1


# Installing


def test_uninstalling_puts_everything_back() -> None:
    import http.client

    def now() -> list[Any]:
        pool, response = urllib3.HTTPConnectionPool, urllib3.HTTPResponse
        own = [vars(pool)["urlopen"], vars(requests.Session)["send"]]
        return own + [
            vars(owner).get(name)
            for owner in (response, http.client.HTTPResponse, http.client.HTTPConnection)
            for name in ("read", "read1", "readline", "close", "request", "getresponse")
        ]

    before = now()
    capture.install(Target(Recorder()))
    assert now() != before
    capture.uninstall()
    assert now() == before


@pytest.mark.parametrize(
    ("imports", "patched"),
    [
        ("import requests", "requests.Session.send"),
        ("from requests.adapters import HTTPAdapter; import requests", "requests.Session.send"),
        ("import urllib3.connectionpool", "urllib3.connectionpool.HTTPConnectionPool.urlopen"),
        ("import urllib.request, http.client", "http.client.HTTPConnection.request"),
        ("import aiohttp.client", "aiohttp.ClientSession._request"),
    ],
)
def test_a_library_that_is_imported_later_is_seen(imports: str, patched: str) -> None:
    pytest.importorskip("aiohttp", reason="installed by the extra `test`")
    program = (
        "from pytest_gepa.trace import capture\n"
        "from pytest_gepa.trace.admission import Target\n"
        "from pytest_gepa.trace.recorder import Recorder\n"
        "recorder = Recorder()\n"
        "capture.install(Target(recorder))\n"
        f"{imports}\n"
        f"print({patched}.__code__.co_filename, *recorder.problems)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "hooks" in done.stdout
    assert len(done.stdout.split()) == 1


def test_a_server_by_its_ipv6_address_is_seen(bench: Bench) -> None:
    def act() -> None:
        with pytest.raises(urllib3.exceptions.HTTPError):
            urllib3.PoolManager().request("POST", "http://[::1]:9/v1/chat/completions", retries=False, **as_json(ask()))

    (call,) = bench.calls(act)
    assert call.answer is None
