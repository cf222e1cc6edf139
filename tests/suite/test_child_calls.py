"""Calls of processes that a case starts: pools, forks and Pythons of their own."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_gepa.shared_lines import NewLines
from pytest_gepa.suite import child_calls
from pytest_gepa.suite.evaluate import Suite
from pytest_gepa.suite.overlay import Overlay
from pytest_gepa.suite.redirect.install import Reporter
from pytest_gepa.suite.rollout import Rollout
from pytest_gepa.suite.runner import Runner
from pytest_gepa.trace.capture import HOOKS
from pytest_gepa.trace.mailbox import CUT_SHORT, Mailbox
from pytest_gepa.trace.recorder import Recorder
from pytest_gepa.trace.trajectory import Call, Trajectory
from tests.fake_openai import FakeOpenAI
from tests.suite.world import PROMPT, Build, evaluate, outcomes

# Without an SDK, which takes each process a second to import.
APP = """
    import os
    import sys

    import httpx

    def ask(text):
        body = {"model": "m", "messages": [{"role": "user", "content": text}]}
        headers = {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
        reply = httpx.post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=body, headers=headers)
        return reply.json()["choices"][0]["message"]["content"]

    if __name__ == "__main__":
        print(ask(sys.argv[1]))
"""
TESTS = """
    import multiprocessing
    import os
    import subprocess
    import sys
    from concurrent.futures import ProcessPoolExecutor

    import pytest

    from app import ask

    @pytest.mark.parametrize("method", ["fork", "spawn"])
    def test_pool(method):
        with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
            assert pool.submit(ask, f"pool, {method}").result() == "yes"
        ask("own")

    def test_program():
        done = subprocess.run([sys.executable, "app.py", "program"], capture_output=True, text=True)
        assert (done.stdout, done.stderr) == ("yes\\n", "")

    def test_program_with_an_environment_of_its_own():
        names = ("OPENAI_BASE_URL", "OPENAI_API_KEY")
        environ = {name: os.environ[name] for name in names}
        command = [sys.executable, "app.py", "alone"]
        assert subprocess.run(command, capture_output=True, text=True, env=environ).stdout == "yes\\n"

    def test_program_that_calls_nobody():
        code = "import sys; print(sorted(name for name in sys.modules if name.startswith('pytest_gepa.trace')))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout == "['pytest_gepa.trace', 'pytest_gepa.trace.import_hook']\\n"
"""
CASES = [
    f"test_app.py::{name}"
    for name in (
        "test_pool[0]",
        "test_pool[1]",
        "test_program",
        "test_program_with_an_environment_of_its_own",
        "test_program_that_calls_nobody",
    )
]
World = tuple[Suite, FakeOpenAI]


@pytest.fixture(scope="module")
def world(usual_runner: Runner, build: Build) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch, FakeOpenAI(lambda request: "yes") as server:
        patch.setenv("OPENAI_BASE_URL", server.base_url)
        patch.setenv("OPENAI_API_KEY", "sk-a-key-that-nobody-may-see")
        yield build({"app.py": APP, "test_app.py": TESTS}).suite(usual_runner, CASES), server


def asked(rollout: Rollout) -> list[str]:
    assert rollout.outcome.value == "passed", rollout.trajectory.failure
    return [call.request[0].content for call in rollout.trajectory.calls]


def test_the_calls_of_child_processes_are_their_case_s_and_are_bought_once(world: World) -> None:
    suite, server = world
    bought = evaluate(suite, "One.").rollouts
    again = evaluate(suite, "Two.").rollouts
    for rollouts in (bought, again):
        assert [asked(rollouts[case]) for case in CASES] == [
            ["own", "pool, fork"],
            ["own", "pool, spawn"],
            ["program"],
            ["alone"],
            [],
        ]
    assert [bought[case].charged for case in CASES] == [True, True, True, True, False]
    assert [again[case].charged for case in CASES] == [False] * 5
    assert len(server.requests) == 5  # "own" is one request, made by two cases


def test_the_libraries_that_are_waited_for_are_those_that_are_understood() -> None:
    assert set(child_calls.LIBRARIES) == {name for hook in HOOKS for name in hook.names}


SERVER = """
    import http.server
    import sys

    from app import ask

    class Desk(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            said = ask("the same for all").encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Desk)
    print(server.server_address[1], flush=True)
    server.serve_forever()
"""
USERS = """
    import subprocess
    import sys
    import urllib.request

    import pytest

    @pytest.fixture(scope="session")
    def desk():
        with subprocess.Popen([sys.executable, "server.py"], stdout=subprocess.PIPE, text=True) as child:
            yield f"http://127.0.0.1:{int(child.stdout.readline())}/"
            child.terminate()

    @pytest.mark.parametrize("number", range(3))
    def test_desk(desk, number):
        assert urllib.request.urlopen(desk).read() == b"yes"
"""


def test_what_a_server_asks_for_each_case_is_one_request(
    usual_runner: Runner, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeOpenAI(lambda request: "yes") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-a-key-that-nobody-may-see")
        project = build({"app.py": APP, "server.py": SERVER, "test_desk.py": USERS})
        cases = [f"test_desk.py::test_desk[{number}]" for number in range(3)]
        rollouts = evaluate(project.suite(usual_runner, cases, concurrency=1)).rollouts
        assert [asked(rollouts[case]) for case in cases] == [["the same for all"]] * 3
        assert [rollouts[case].charged for case in cases] == [True, False, False]
        assert len(server.requests) == 1


def call(text: str) -> Call:
    return Call(key=text, model="m", request=(), answer=None)


def test_what_is_told_is_redacted_before_it_is_written(tmp_path: Path) -> None:
    def redact(trajectory: Trajectory) -> Trajectory:
        return Trajectory(calls=tuple(call("redacted") for _ in trajectory.calls))

    Mailbox(tmp_path / "calls", 0, redact).post_call(call("secret"))
    assert b"secret" not in (tmp_path / "calls").read_bytes()
    assert Mailbox(tmp_path / "calls", 0, redact).collect().calls == [call("redacted")]


def test_half_a_line_is_left_for_the_next_time(tmp_path: Path) -> None:
    mailbox = Mailbox(tmp_path / "calls", 0, lambda trajectory: trajectory)
    assert mailbox.collect() == ([], [], [])
    mailbox.post_call(call("one"))
    mailbox.post_refusal("not stored")
    mailbox.post_problem("not seen")
    with open(mailbox.path, "ab") as stream:
        stream.write(b'{"call": {"key"')
    assert mailbox.collect() == ([call("one")], ["not stored"], ["not seen"])
    assert mailbox.collect() == ([], [], [])


def test_a_line_that_the_disk_had_no_room_for_is_told_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    recorder.mailbox = mailbox = Mailbox(tmp_path / "calls", os.getpid(), lambda trajectory: trajectory)
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:20]))
        with pytest.raises(OSError, match="No space"):
            mailbox.post_call(call("cut short"))
    mailbox.post_call(call("behind it"))
    mailbox.post_call(call("whole"))
    recorder.begin("a")
    recorder.end()
    assert recorder.problems == (CUT_SHORT,)
    assert [stray.call for stray in recorder.stray] == [call("whole")]


def test_a_report_of_reads_that_is_cut_short_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    read: list[str] = []
    overlay, report = Overlay(read.append), tmp_path / "report"
    overlay._reports.append(NewLines(report))
    report.write_bytes(b'{"read": ["pro{"read": ["lost"]}\n{"read": ["prompts/a.md"]}\n')
    assert overlay.hears_all
    overlay.hear_children()
    assert (read, overlay.hears_all, overlay.problem()) == (["prompts/a.md"], False, "")
    monkeypatch.setattr(os, "write", full)
    Reporter(str(report)).report(read=["prompts/b.md"])


def test_what_is_told_between_cases_belongs_to_none(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.mailbox = Mailbox(tmp_path / "calls", -1, lambda trajectory: trajectory)
    recorder.add_call(call("never ends"))
    recorder.add_call(call("early")).put(call("early"))
    recorder.begin("a")
    recorder.add_call(call("own")).put(call("own"))
    recorder.add_refusal("not stored")
    recorded = recorder.end()
    assert [made.call.key for made in recorder.stray] == ["early"]
    assert [made.key for made in recorded.calls] == ["own"]
    assert recorded.refused == ("not stored",)


def test_what_is_told_while_a_wider_fixture_is_set_up_is_each_case_s_that_uses_it(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.mailbox = Mailbox(tmp_path / "calls", -1, lambda trajectory: trajectory)
    read: list[str] = []

    def hear_reads() -> None:
        while read:
            recorder.add_read(read.pop())

    recorder.hear_reads = hear_reads

    def child(name: str) -> None:
        recorder.add_call(call(name)).put(call(name))
        read.append(name)

    child("import")
    recorder.begin("a")
    child("before")
    held = recorder.hold()
    child("set up")
    recorder.let_go(held)
    child("after")
    recorder.leave()
    child("torn down")
    recorder.return_to()
    first = recorder.end([held])
    child("between")
    recorder.begin("b")
    second = recorder.end([held])
    child("late")
    recorder.hear_children()
    assert [(made.key, made.shared) for made in first.calls] == [
        ("set up", True),
        ("before", False),
        ("after", False),
    ]
    assert [made.key for made in first.made] == ["set up", "before", "after"]
    assert [(made.key, made.shared) for made in second.calls] == [("set up", True)]
    assert second.made == ()
    assert [stray.call.key for stray in recorder.stray] == ["import", "torn down", "between", "late"]
    assert (first.reads, second.reads) == (("after", "before", "set up"), ("set up",))
    assert first.imported == ("import",)
    assert second.imported == ("after", "before", "between", "import", "set up", "torn down")


FIXTURE_APP = """
    import os
    import sys
    from pathlib import Path

    import httpx

    text = sys.argv[1] + Path("prompts/greet.md").read_text()
    body = {"model": "m", "messages": [{"role": "user", "content": text}]}
    httpx.post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=body).raise_for_status()
"""
FIXTURE_TESTS = """
    import subprocess
    import sys

    import pytest

    def run(text):
        subprocess.run([sys.executable, "app.py", text], check=True)

    @pytest.fixture(scope="module")
    def index():
        run("set up")
        yield
        run("torn down")

    def test_one(index):
        pass

    def test_two(index):
        pass
"""


def test_what_a_wider_fixture_s_child_process_did_is_each_case_s_that_uses_it(
    usual_runner: Runner, build: Build
) -> None:
    with pytest.MonkeyPatch.context() as patch, FakeOpenAI(lambda request: "yes") as server:
        patch.setenv("OPENAI_BASE_URL", server.base_url)
        patch.setenv("OPENAI_API_KEY", "sk-test")
        cases = ["test_app.py::test_one", "test_app.py::test_two"]
        suite = build({"app.py": FIXTURE_APP, "test_app.py": FIXTURE_TESTS}).suite(usual_runner, cases)
        rollouts = evaluate(suite, "Hi.").rollouts
    assert [asked(rollouts[case]) for case in cases] == [["set upHi."]] * 2
    assert [rollouts[case].reads for case in cases] == [(PROMPT,)] * 2
    assert [rollouts[case].charged for case in cases] == [True, False]
    assert [stray.call.request[0].content for stray in suite.stray] == ["torn downHi."]


@pytest.mark.parametrize(
    "importing",
    [
        # The fork server may have loaded the real one.
        "sys.modules.pop('aiohttp', None); import aiohttp",
        "subprocess.run([sys.executable, '-c', 'import aiohttp'], check=True)",
    ],
)
def test_what_could_not_be_recorded_is_told_once_and_without_secrets(
    usual_runner: Runner, build: Build, importing: str
) -> None:
    unlike = """
        import os

        ClientSession = StreamReader = object

        def __getattr__(name):
            raise AttributeError("it has " + os.environ["DESK_API_KEY"])
    """
    tests = f"""
        import subprocess, sys

        import pytest

        @pytest.mark.parametrize("number", [1, 2])
        def test_one(number):
            {importing}
    """
    cases = [f"test_app.py::test_one[{number}]" for number in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DESK_API_KEY", "canary-8812-4471")
        suite = build({"aiohttp.py": unlike, "test_app.py": tests}).suite(usual_runner, cases, concurrency=2)
        assert suite.problems == ()
        assert outcomes(evaluate(suite)) == {f"test_one[{number}]": "passed" for number in range(2)}
    (problem,) = suite.problems
    assert problem == "the calls of aiohttp are not seen: AttributeError: it has [redacted]"


def test_a_capture_that_cannot_be_installed_in_a_child_is_told(tmp_path: Path) -> None:
    about = tmp_path / child_calls.ABOUT
    about.write_text('{"owner": 0, "redact": [], "of_another_version": 1}', encoding="utf-8")
    child_calls.install(about)
    (problem,) = Mailbox(tmp_path / "calls", 0, lambda told: told).collect().problems
    assert problem.startswith("the calls of a child process are not seen: TypeError: ")
