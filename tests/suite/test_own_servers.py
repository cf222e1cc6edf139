"""An application behind a server that the test starts: it is the code under test, so it is asked every time."""

from __future__ import annotations

import os
import socket
from dataclasses import replace

import pytest

from pytest_gepa.suite.own_servers import is_own_server
from pytest_gepa.suite.runner import Runner
from pytest_gepa.trace.model_calls import without_applications
from pytest_gepa.trace.trajectory import Call
from tests.fake_openai import FakeOpenAI
from tests.suite.world import Build, evaluate, logged

SERVER = """
    import http.server
    import json
    import os
    import pathlib

    class Desk(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            said = pathlib.Path("prompts/greet.md").read_text()
            answer = {"choices": [{"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}]}
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *args):
            pass

    def serve():
        return http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["DESK_PORT"])), Desk)

    if __name__ == "__main__":
        server = serve()
        print(server.server_address[1], flush=True)
        server.serve_forever()
"""
ASKING = SERVER.replace(
    "self.send_response(200)",
    """import httpx

            body = {"model": "fake", "messages": [{"role": "user", "content": said}]}
            httpx.post(os.environ["FAKE_URL"] + "/chat/completions", json=body, trust_env=False)
            self.send_response(500)""",
)
TESTS = """
    import subprocess
    import sys
    import threading

    import httpx
    import pytest

    import desk

    @pytest.fixture(scope="module")
    def thread():
        with desk.serve() as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield server.server_address[1]
            server.shutdown()

    @pytest.fixture(scope="module")
    def process():
        with subprocess.Popen([sys.executable, "desk.py"], stdout=subprocess.PIPE, text=True) as child:
            yield int(child.stdout.readline())
            child.kill()

    def ask(port):
        body = {"model": "desk", "messages": [{"role": "user", "content": "hello"}]}
        reply = httpx.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=body, trust_env=False)
        assert reply.status_code == 200
        return reply.json()["choices"][0]["message"]["content"]

    def test_thread(thread, gepa):
        gepa.log("text", ask(thread))

    def test_process(process, gepa):
        gepa.log("text", ask(process))
"""


@pytest.mark.parametrize("where", ["thread", "process"])
def test_each_candidate_is_asked_anew(
    where: str, build: Build, fork_runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        monkeypatch.setenv("DESK_PORT", str(free.getsockname()[1]))
    case = f"test_desk.py::test_{where}"
    suite = build({"desk.py": SERVER, "test_desk.py": TESTS}).suite(fork_runner, [case])
    for text in ("Be kind.\n", "Be brief.\n"):
        (rollout,) = evaluate(suite, text).rollouts.values()
        assert logged(rollout) == text
        (call,) = rollout.trajectory.calls
        assert not call.cached


@pytest.mark.parametrize("where", ["thread", "process"])
def test_an_application_that_asks_a_model_is_none_itself(
    where: str, build: Build, fork_runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That it fails is the case's failure, and it costs nothing where the answer of the model is stored."""
    case = f"test_desk.py::test_{where}"
    suite = build({"desk.py": ASKING, "test_desk.py": TESTS}).suite(fork_runner, [case])
    with FakeOpenAI(lambda request: "hello") as server:
        monkeypatch.setenv("DESK_PORT", "0")
        monkeypatch.setenv("FAKE_URL", server.base_url)
        found = [evaluate(suite).rollouts[case] for _ in range(2)]
        assert len(server.requests) == 1
    assert [(rollout.outcome.value, rollout.charged) for rollout in found] == [
        ("failed", True),
        ("failed", False),
    ]
    for rollout in found:
        assert {(call.own, call.sent) for call in rollout.trajectory.calls} == {(True, False), (False, True)}


def test_what_is_asked_besides_tells_an_application_from_a_model_that_the_test_serves() -> None:
    own = Call("1", "desk", (), None, own=True)
    vectors = replace(own, kind="embedding")
    model = replace(own, own=False)

    def sent(*calls: Call) -> list[bool]:
        return [call.sent for call in without_applications(calls, {})]

    assert sent(own, own) == [True, True]
    assert sent(own, model) == [False, True]
    assert sent(own, replace(model, kind="embedding")) == [True, True]
    assert sent(own, replace(model, sent=False)) == [True, False]
    assert sent(vectors, model) == [True, True]


def test_the_server_of_a_process_is_its_own_and_of_no_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://localhost:{server.getsockname()[1]}/v1/chat/completions"
        assert is_own_server(url, os.getpid())
        child = os.posix_spawnp("sleep", ["sleep", "60"], os.environ)
        try:
            assert not is_own_server(url, child)
        finally:
            os.kill(child, 9)
            os.waitpid(child, 0)
    assert not is_own_server(url, os.getpid()), "it is closed"


@pytest.mark.parametrize("url", ["http://model.test/v1", "http://127.0.0.1:1/v1", "no address", "http://127.0.0.1:x/"])
def test_what_nobody_serves_here_is_nobody_s_own(url: str) -> None:
    assert not is_own_server(url, os.getpid())
