"""What must hold for every way to use a client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_gepa.trace import capture
from pytest_gepa.trace.admission import Target
from pytest_gepa.trace.cache import ResponseCache
from pytest_gepa.trace.recorder import Recorder
from pytest_gepa.trace.trajectory import Call
from tests.clients.ways import Way
from tests.fake_openai import FakeOpenAI


class Session:
    """Runs of one way against one server, each with a recorder of its own, as in separate child sessions."""

    def __init__(self, way: Way, server: FakeOpenAI, cache: ResponseCache) -> None:
        self.way = way
        self.server = server
        self.cache = cache

    def run(self, trial: str | None, replay: str = "auto") -> tuple[Any, tuple[Call, ...]]:
        """What the application gets, and what is recorded; without a trial nothing is stored."""
        recorder = Recorder()
        capture.install(Target(recorder, self.cache if trial else None, trial, replay))
        recorder.begin("case")
        try:
            got = self.way.ask(self.server)
        finally:
            calls = recorder.end().calls
            capture.uninstall()
        assert recorder.problems == ()
        assert recorder.stray == ()
        return got, calls


class ClientChecks:
    """Inherited by the class of each client, which runs each check for each of its `ways`."""

    @pytest.fixture
    def session(self, way: Way, tmp_path: Path) -> Any:
        cache = ResponseCache(tmp_path / "responses")
        with FakeOpenAI(lambda request: way.answer) as server:
            yield Session(way, server, cache)
        cache.close()

    def test_the_call_is_recorded_once(self, session: Session) -> None:
        way = session.way
        got, calls = session.run(trial=None)
        assert got == way.gets
        (call,) = calls
        assert way.asked in "\n".join(message.content for message in call.request)
        assert call.answer == way.said
        assert (call.status, call.error, call.cached, call.streamed) == (200, "", False, way.streamed)
        assert (call.input_tokens > 0) is way.counts
        assert len(session.server.requests) == 1

    def test_an_error_is_recorded_and_the_next_try_too(self, session: Session) -> None:
        way, server = session.way, session.server
        failed: list[Any] = []

        def reply(request: Any) -> Any:
            if not failed:
                failed.append(request)
                return 500, {"error": {"message": "overloaded", "type": "server_error"}}
            return way.answer

        def ask(server: FakeOpenAI) -> Any:
            try:
                return way.ask(server)
            except Exception:
                # A client that does not try again by itself.
                return way.ask(server)

        server.reply = reply
        got, calls = Session(Way(ask), server, session.cache).run(trial=None)
        assert got == way.gets
        assert [call.status for call in calls] == [500, 200]
        # Who asked for a stream may throw the error's body away unread.
        assert "overloaded" in calls[0].error or (way.streamed and calls[0].error == "status 500")
        assert [call.answer for call in calls] == [None, way.said]

    def test_two_runs_buy_one_answer(self, session: Session) -> None:
        first, (bought,) = session.run("t/1")
        again, (stored,) = session.run("t/1")
        assert len(session.server.requests) == 1
        assert first == again == session.way.gets
        assert (bought.cached, stored.cached) == (False, True)
        assert (stored.answer, stored.status, stored.streamed) == (bought.answer, 200, bought.streamed)
        assert (stored.input_tokens, stored.output_tokens) == (bought.input_tokens, bought.output_tokens)

    def test_a_replay_sends_nothing(self, session: Session) -> None:
        session.run("t/1")
        sent = len(session.server.requests)
        got, (call,) = session.run("t/1", replay="only")
        assert got == session.way.gets
        assert call.cached
        # Not always as it was raised: asyncio hands it over as a result where it is asked to, and langchain reads that.
        with pytest.raises(BaseException, match=r"no stored answer|'NotRecorded' object has no attribute"):
            session.run("t/2", replay="only")
        assert len(session.server.requests) == sent
