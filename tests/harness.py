"""Whole sessions of pytest in small projects, against a model that runs in the test's own process.

The world: a prompt file holds rules, one for each kind of word; the task model answers a case right if and only if
its system prompt holds the rule for the case's kind; the reflector proposes a rule for a kind that a failing case of
the request shows. Nothing here imports the package.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import pytest

from tests import zygote
from tests.fake_openai import Answer, Body, FakeOpenAI

KEY = "sk-canary-4f1d0c77aa210b93"
TIMEOUT = 120.0
# Plugins that happen to be installed beside ours cost a second for each session.
ALONE = " ".join(
    f"-p no:{name}"
    for name in (
        "anyio",
        "asyncio",
        "check",
        "hypothesispytest",
        "platformdirs",
        "pytest_cov",
        "randomly",
        "rerunfailures",
        "timeout",
        "xdist",
        "xdist.looponfail",
    )
)
# Flags that change nothing, for a process with imports and a hash seed of its own.
APART = ("-R",)
KINDS = ("fruit", "animal", "city", "tool")
WORDS = ("one", "two", "three")
PROMPT = "prompts/route.md"
TODAY = "Answer with the word and its mark.\n- The mark of a fruit is FRU.\n"

# Whole runs are many, and importing an SDK takes each of their processes a second: most do without one.
APP = """\
import json
import os
import urllib.request
from pathlib import Path

PROMPT = Path(__file__).parent / "prompts" / "route.md"


def route(kind, word):
    messages = [
        {"role": "system", "content": PROMPT.read_text(encoding="utf-8")},
        {"role": "user", "content": f"{kind}: {word}"},
    ]
    body = json.dumps({"model": "task", "messages": messages}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
    address = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    with urllib.request.urlopen(urllib.request.Request(address, body, headers)) as reply:
        return json.load(reply)["choices"][0]["message"]["content"]
"""
SDK_APP = """\
from functools import cache
from pathlib import Path

PROMPT = Path(__file__).parent / "prompts" / "route.md"


@cache
def client():
    from openai import OpenAI

    return OpenAI(max_retries=0)


def route(kind, word):
    messages = [
        {"role": "system", "content": PROMPT.read_text(encoding="utf-8")},
        {"role": "user", "content": f"{kind}: {word}"},
    ]
    reply = client().chat.completions.create(model="task", messages=messages)
    return reply.choices[0].message.content
"""
TESTS = """\
import pytest

from app import route

CASES = {cases}


@pytest.mark.parametrize(("kind", "word"), CASES)
def test_route(kind, word):
    assert route(kind, word) == f"{{word}}-{{kind[:3].upper()}}"
"""


def rule(kind: str) -> str:
    """The sentence by which the task model knows a kind."""
    return f"The mark of a {kind} is {kind[:3].upper()}."


def cases_of(kinds: Sequence[str] = KINDS, words: Sequence[str] = WORDS) -> list[tuple[str, str]]:
    return [(kind, word) for kind in kinds for word in words]


def edits(*texts: str, kind: str = "add", find: str = "", problem: str = "the mark is missing") -> str:
    """A reply of the reflection model in the form that it is asked for."""
    diagnoses = [{"case": "1", "problem": problem, "cause": "the prompt does not name it"}]
    return json.dumps({"diagnoses": diagnoses, "edits": [{"kind": kind, "find": find, "text": text} for text in texts]})


def told(request: Body) -> str:
    """All that a request says."""
    return "\n".join(message["content"] or "" for message in request["messages"])


def prompt_in(request: Body) -> str:
    """The prompt that a reflection request is about: its first fenced block."""
    found = re.search(r"^(```+)[^\n]*\n(.*?)^\1$", request["messages"][1]["content"], re.M | re.S)
    assert found is not None
    return found[2]


def failing_kinds(request: Body) -> list[str]:
    """The kinds that the failing cases of a reflection request show, each once."""
    sections = request["messages"][1]["content"].partition("# Failing cases")[2].partition("# Passing cases")[0]
    return list(dict.fromkeys(re.findall(r"^kind = '(\w+)'", sections, re.M)))


class World:
    """What the server answers. Replace `task` or `reflect` for a world of another kind."""

    def __init__(self) -> None:
        self.task: Callable[[Body], Answer] = answer_by_rules
        self.reflect: Callable[[Body], Answer] = propose_rules
        self.task_requests: list[Body] = []
        self.reflections: list[Body] = []

    def reply(self, request: Body) -> Answer:
        if request["model"] == "task":
            self.task_requests.append(request)
            return self.task(request)
        self.reflections.append(request)
        return self.reflect(request)

    def forget(self) -> None:
        self.task_requests.clear()
        self.reflections.clear()


def answer_by_rules(request: Body) -> Answer:
    """Right if and only if the system prompt holds the rule for the word's kind."""
    system, user = (message["content"] for message in request["messages"])
    kind, word = user.split(": ")
    return f"{word}-{kind[:3].upper()}" if rule(kind) in system else f"{word}-?"


def propose_rules(request: Body) -> Answer:
    """A rule for each kind that a failing case shows, unless the prompt holds it."""
    missing = [kind for kind in failing_kinds(request) if rule(kind) not in prompt_in(request)]
    return edits(*(f"- {rule(kind)}" for kind in missing))


def propose_one_rule(request: Body) -> Answer:
    """One rule for a kind that a failing case shows, unless the prompt holds it."""
    missing = [kind for kind in failing_kinds(request) if rule(kind) not in prompt_in(request)]
    return edits(f"- {rule(missing[0])}") if missing else edits()


def _hear_interrupts() -> None:
    """A shell that runs the tests in the background has them ignore Ctrl-C, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def newest_run(rootdir: Path) -> Path:
    """The directory of the newest run: numbers begin anew each day, and a test may run at midnight."""
    runs = (rootdir / ".gepa/runs").iterdir()
    return max(runs, key=lambda path: (path.name[:10], int(path.name[11:])))


@dataclass
class Run:
    """What a session left behind."""

    code: int
    out: str
    err: str
    rootdir: Path
    reflections: list[Body]
    task_requests: list[Body]

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def everything(self) -> str:
        return self.out + self.err

    def matches(self, *patterns: str) -> None:
        """Fail unless lines of the output match these patterns of `fnmatch`, in this order."""
        pytest.LineMatcher(self.lines).fnmatch_lines(patterns)

    @cached_property
    def directory(self) -> Path:
        return newest_run(self.rootdir)

    @cached_property
    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.directory / "result.json").read_text(encoding="utf-8"))
        return found

    @cached_property
    def journal(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.directory / "journal.jsonl").read_text("utf-8").splitlines()]

    def records(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.journal if record["record"] == kind]

    @property
    def best_patch(self) -> Path:
        return self.directory / "best.patch"

    @property
    def patches(self) -> list[Path]:
        return sorted(self.directory.rglob("*.patch"))


@dataclass
class Project:
    """A project on disk with a server beside it; `root` is the directory of its ini file and of its prompts."""

    root: Path
    world: World
    server: FakeOpenAI
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    pid: int = 0

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def cases(self, cases: Sequence[tuple[str, str]]) -> None:
        """Write the test file for these cases."""
        self.write({"test_route.py": TESTS.format(cases=cases)})

    @property
    def environ(self) -> dict[str, str]:
        kept = ("PATH", "PYTHONPATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV")
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "OPENAI_BASE_URL": self.server.base_url,
            "OPENAI_API_KEY": KEY,
            "GEPA_TEST_MARK": self.mark,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
            "PYTEST_ADDOPTS": ALONE,
            "PYTHONHASHSEED": "random",
        }

    def pytest(
        self,
        *args: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        python: Sequence[str] = (),
    ) -> Run:
        """Run pytest as from a shell, as the leader of a process group of its own.

        Imports are taken from the zygote, unless there are flags for `python`."""
        self.world.forget()
        environ = {**self.environ, **(env or {})}
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            if python:
                command = [sys.executable, *python, "-m", "pytest", *args]
                code = self._run_apart(command, cwd or self.root, environ, out, err)
            else:
                session = zygote.start(args, cwd or self.root, environ, out.fileno(), err.fileno())
                self.pid = session.pid
                code = session.wait(TIMEOUT)
            printed = []
            for stream in (out, err):
                stream.seek(0)
                printed.append(stream.read().decode())
        if code is None:
            os.killpg(self.pid, signal.SIGKILL)
            pytest.fail(f"pytest did not end within {TIMEOUT:g} s:\n{printed[0]}\n{printed[1]}")
        world = self.world
        return Run(code, *printed, self.root, list(world.reflections), list(world.task_requests))

    def _run_apart(
        self, command: Sequence[str], cwd: Path, env: Mapping[str, str], out: IO[bytes], err: IO[bytes]
    ) -> int | None:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
            preexec_fn=_hear_interrupts,
        )
        self.pid = process.pid
        try:
            return process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            return None

    def optimize(self, *args: str, **kwargs: Any) -> Run:
        """`pytest --gepa-optimize` with the world's reflector, one case at a time unless `args` say otherwise."""
        usual = ("--gepa-optimize", "--gepa-reflection-model=reflector", "--gepa-concurrency=1")
        return self.pytest(*usual, *args, **kwargs)

    def interrupt(self) -> None:
        """Ctrl-C, as a terminal sends it: to every process of the foreground group."""
        os.killpg(self.pid, signal.SIGINT)

    def terminate(self) -> None:
        """SIGTERM, as `timeout` sends it: to the process, and then to every process of its group."""
        os.kill(self.pid, signal.SIGTERM)
        os.killpg(self.pid, signal.SIGTERM)

    def children(self) -> list[str]:
        """What still runs of this project's sessions, whatever its parent and its group."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and self.mark.encode() in (entry / "environ").read_bytes():
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
        return found

    def git(self, *args: str, cwd: Path | None = None) -> str:
        done = subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *args],
            cwd=cwd or self.root,
            env=self.environ,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def shell(self, command: str, cwd: Path | None = None) -> None:
        """A line as the user would paste it."""
        subprocess.run(command, shell=True, cwd=cwd or self.root, env=self.environ, check=True)

    def commit(self, top: Path | None = None) -> None:
        """Put all of it under git, with `top` as the top level."""
        (self.root / ".gitignore").write_text("__pycache__/\n.pytest_cache/\n", encoding="utf-8")
        self.git("init", "-q", cwd=top)
        self.git("add", "-A", cwd=top)
        self.git("commit", "-q", "-m", "all", cwd=top)

    def prompt(self) -> str:
        return (self.root / PROMPT).read_text(encoding="utf-8")

    def copy(self, name: str) -> Project:
        """The same files in a fresh place, on the same server."""
        ignored = shutil.ignore_patterns(".gepa", "__pycache__", ".pytest_cache", ".git")
        root = self.root.parent / name
        shutil.copytree(self.root, root, ignore=ignored)
        return Project(root, self.world, self.server)


def new_project(root: Path) -> Iterator[Project]:
    """A project of twelve cases of four kinds, of which one kind passes today."""
    world = World()
    root.mkdir(parents=True, exist_ok=True)
    with FakeOpenAI(world.reply) as server:
        project = Project(root, world, server)
        # Shrinking has tests of its own; elsewhere it would double the number of child sessions.
        project.write({"app.py": APP, PROMPT: TODAY, "pytest.ini": "[pytest]\ngepa_shrink = off\n"})
        project.cases(cases_of())
        yield project


def no_request(run: Run) -> bool:
    return not run.task_requests and not run.reflections


def files_below(root: Path) -> set[str]:
    """The files of a project, less those that pytest and Python leave without any plugin."""
    usual = {"__pycache__", ".pytest_cache", ".git"}
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and not usual & set(path.parts)}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
