"""The fork-server runner: a child session is a fork of a process that has imported third-party modules only."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_gepa.codec import to_json
from pytest_gepa.errors import RunnerError
from pytest_gepa.suite.descendants import descendants, end_all
from pytest_gepa.suite.forkserver import MESSAGE_BYTES
from pytest_gepa.suite.job import Channel, Job
from pytest_gepa.suite.places import Claim, Limit
from pytest_gepa.suite.runner import Emit, child_environment, new_python, with_fixed_order, with_package
from pytest_gepa.suite.supervise import STARTUP_SECONDS
from pytest_gepa.suite.worker_sessions import WorkerSessions


class ForkRunner:
    """Forks a session for each job; the session collects once and forks a worker for each share of its cases.

    Where a fork after collection is unsafe (a thread was started, a connection opened, a model called), each worker is
    a session of its own.
    """

    def __init__(self, temp: Path, preload: Sequence[str], prompts: Sequence[str]) -> None:
        self._temp = temp
        self._preload = list(preload)
        self._prompts = list(prompts)
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._loading: _Server | None = None
        self._retired: list[_Server] = []
        self._sessions: set[ForkedSession] = set()
        self._each = WorkerSessions(self._open)
        self._has_learned = False
        self._collect_each = False
        self._stopped = False

    def run(self, job: Job, emit: Emit, limit: Limit) -> None:
        """Run a job to its end."""
        if self._stopped:
            return
        if not self._has_learned:
            job = replace(job, tell_modules=True)
        if not self._collect_each and self._run_session(job, emit, limit):
            return
        self._collect_each = True
        self._each.run(job, lambda message: self._hand_on(message, emit), limit)

    def stop(self) -> None:
        """End every child at once, and start none any more."""
        self._stopped = True
        loading = self._loading
        if loading is not None:  # imports may take minutes, and whoever waits for them holds the lock
            loading.kill()
        self._each.stop()
        for session in list(self._sessions):
            session.kill()

    def close(self) -> None:
        """End the fork server."""
        with self._lock:
            servers = [*self._retired, *filter(None, [self._server])]
            self._retired, self._server = [], None
        for server in servers:
            server.close()

    def _run_session(self, job: Job, emit: Emit, limit: Limit) -> bool:
        """Whether the session could fork its own workers; if not, no case has been run.

        One that cannot is heard to its end all the same: its teardown ends what a conftest has started.
        """
        can_fork = True
        try:
            session = self._open(job)
        except OSError as error:  # of a system that allows no more processes, for now
            for case in job.cases:
                reason = f"no session could be forked: {error}"
                told = {"event": "lost", "case": case, "outcome": "crashed", "reason": reason, "begun": False}
                emit(told)
            return True
        claim = limit.claim(lambda number: session.channel.send({"places": number}))
        try:
            # The end is told, as a process that a case has left behind may hold the stream open.
            while (message := _next(session, claim, _patience(job))) is not None and message["event"] != "end":
                if message["event"] == "unforkable":
                    can_fork = False  # what else it says, the sessions of the workers will say as well
                elif can_fork and not claim.hear(message):
                    self._hand_on(message, emit)
        except TimeoutError:
            session.kill()
            reason = f"the child session was silent for {_patience(job):g} seconds"
            if can_fork:
                emit({"event": "broken", "reason": reason})
        finally:
            session.end()
            claim.close()
        return can_fork

    def _hand_on(self, message: Mapping[str, Any], emit: Emit) -> None:
        if message["event"] == "modules":
            self._learn(message["names"])
        else:
            emit(message)

    def _learn(self, names: Sequence[str]) -> None:
        """Preload what a finished child has loaded: much is imported only when a case runs."""
        with self._lock:
            if self._has_learned:
                return
            self._has_learned = True
            known, self._preload = self._preload, list(dict.fromkeys([*self._preload, *names]))
            if self._server is not None and not self._is_loaded(self._server, known):
                self._retired.append(self._server)  # sessions of it may be at work
                self._server = self._clean_server()

    def _open(self, job: Job) -> ForkedSession:
        with self._lock:
            session = self._fork(job)
        if self._stopped:  # `stop` came meanwhile, from another thread, and did not see this session
            session.kill()
        try:
            session.send(job)
        except OSError as error:
            if not self._stopped:
                session.end()
                raise RunnerError(f"the child session for job {job.id} died at once: {error}") from error
        return session

    def _fork(self, job: Job) -> ForkedSession:
        """Fork a session, from another server where the one that there was has ended: for want of memory, say."""
        log, patience = self._temp / f"{job.id}.log", _patience(job)
        if self._server is not None:
            try:
                return self._server.fork(log, self._sessions, patience)
            except RunnerError:
                if self._stopped:
                    raise
                self._retired.append(self._server)
        self._server = self._clean_server()
        return self._server.fork(log, self._sessions, patience)

    def _clean_server(self) -> _Server:
        """A server with all of the preload, less the packages that read a prompt or start a thread."""
        while True:
            server = _Server(self._temp)
            if not self._preload or self._is_loaded(server, []):
                return server
            server.close()

    def _is_loaded(self, server: _Server, otherwise: list[str]) -> bool:
        """Have a server import the preload; False when another one must, of what the preload is then cut down to.

        That is `otherwise` if the server did not survive it: any module may end the process that imports it.
        """
        self._loading = server
        try:
            if self._stopped or server.preload(self._preload, self._prompts):
                return True
            self._preload = _without_tainted(self._preload, server)
        except RunnerError:
            self._preload = otherwise
        finally:
            self._loading = None
        return False


def _without_tainted(preload: Sequence[str], server: _Server) -> list[str]:
    """The modules left without the packages that read a prompt or started a thread; none at all if none is known."""
    tainted = {name.split(".", 1)[0] for name in server.tainted}
    return [name for name in preload if tainted and name.split(".", 1)[0] not in tainted]


def _next(session: ForkedSession, claim: Claim, patience: float) -> dict[str, Any] | None:
    """The next message of a session; raises `TimeoutError` when it is silent although it has a place."""
    while True:
        try:
            return session.channel.receive()
        except TimeoutError:
            if not claim.excuses(patience):
                raise


def _patience(job: Job) -> float:
    """Seconds after which a silent session is given up: it ends its own workers well before."""
    return STARTUP_SECONDS + job.timeout


@dataclass(frozen=True, eq=False)
class ForkedSession:
    """A child session: a process group of its own, led by `pid`."""

    channel: Channel
    pid: int
    siblings: set[ForkedSession]

    def send(self, job: Job) -> None:
        """Give the session its job."""
        self.channel.send(to_json(job))

    def kill(self) -> None:
        """End the session and its workers at once, and what their cases have started: another case may need the port
        that a server there holds.
        """
        started = descendants(self.pid)  # before those are gone by which they are known
        self._end_group()
        end_all(started)

    def end(self) -> None:
        """End the session and forget it."""
        self.reap()
        self.channel.close()

    def reap(self) -> str:
        """The server waits for its children; here only the fact is known. What has left the group may be meant to
        stay, where the session has ended by itself.
        """
        self._end_group()
        self.siblings.discard(self)
        return "ended unexpectedly"

    def _end_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


class _Server:
    """The parent's end of the fork server."""

    def __init__(self, temp: Path) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(STARTUP_SECONDS)
        self._told = temp.absolute() / "preload.json"
        self.tainted: list[str] = []
        with (temp / "forkserver.log").open("ab") as log:
            self._process = subprocess.Popen(
                new_python("pytest_gepa.suite.forkserver", str(theirs.fileno())),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env=with_fixed_order(with_package(child_environment(os.environ))),
            )
        theirs.close()

    def preload(self, names: Sequence[str], prompts: Sequence[str]) -> bool:
        """Import modules in the server; False when it must be started again without some of them.

        Raises `RunnerError`, here as below, when the server has ended or does not answer, which ends it.
        """
        # By way of a file: a message cannot hold all the modules of a large application.
        self._told.write_text(json.dumps({"names": list(names), "prompts": list(prompts)}), encoding="utf-8")
        self._ask({"do": "preload", "file": str(self._told)}, [])
        answer = json.loads(self._told.read_text(encoding="utf-8"))
        self.tainted = answer["tainted"]
        return not self.tainted and answer["threads"] == 1

    def fork(self, log: Path, siblings: set[ForkedSession], patience: float) -> ForkedSession:
        """Fork a session whose output goes to `log`; reading from it ends after `patience` seconds of silence.

        Raises `OSError` when the system refuses another process.
        """
        ours, theirs = socket.socketpair()
        ours.settimeout(patience)
        try:
            with theirs, log.open("ab") as output:
                answer = self._ask({"do": "run"}, [theirs.fileno(), output.fileno()])
            if "refused" in answer:
                raise OSError(*answer["refused"])
        except BaseException:
            ours.close()
            raise
        session = ForkedSession(Channel(ours), answer["pid"], siblings)
        siblings.add(session)
        return session

    def kill(self) -> None:
        """End the server at once, whatever it does. Who waits for its answer gets a `RunnerError`."""
        self._process.kill()

    def close(self) -> None:
        """Close the control socket: the server then ends its children and itself."""
        self._control.close()
        self._process.wait()

    def _ask(self, message: Mapping[str, Any], descriptors: Sequence[int]) -> dict[str, Any]:
        try:
            socket.send_fds(self._control, [json.dumps(message).encode("ascii")], descriptors)
            data = self._control.recv(MESSAGE_BYTES)
        except OSError as error:
            self._process.kill()
            raise RunnerError(f"the fork server cannot be reached: {error}") from error
        if not data:
            raise RunnerError(f"the fork server ended with exit code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(data)
        return answer
