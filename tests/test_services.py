"""A whole run whose application logs in somewhere: what it is given there is in nothing that is kept, and a replay goes
on without it."""

from __future__ import annotations

import pytest

from pytest_gepa.cli import main
from tests.fake_openai import Answer, Body
from tests.harness import APP, Project, Run, cases_of, no_request
from tests.test_replay import OFFLINE

TOKEN = "2YotnFZFEjr1zCsicMWpAA"
"""Nothing in it tells that it is one."""

LOGIN = """

def token():
    body = json.dumps({"grant_type": "client_credentials"}).encode()
    request = urllib.request.Request(os.environ["LOGIN"], body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)["access_token"]
"""
# The machine that gives tokens is another one by its name.
CONFTEST = """\
import socket

look_up = socket.getaddrinfo


def find(name, *args, **options):
    return look_up("127.0.0.1" if name in ("auth.corp", b"auth.corp") else name, *args, **options)


socket.getaddrinfo = find
"""


@pytest.mark.thorough
def test_a_token_from_elsewhere_is_in_no_file_and_a_replay_goes_on_without(project: Project) -> None:
    asked: list[Body] = []
    world = project.world.reply

    def reply(request: Body) -> Answer:
        if "grant_type" not in request:
            return world(request)
        asked.append(request)
        return {"access_token": TOKEN, "token_type": "bearer", "expires_in": 3600}

    project.server.reply = reply
    app = APP.replace("{os.environ['OPENAI_API_KEY']}", "{token()}") + LOGIN
    project.write({"app.py": app, "conftest.py": CONFTEST})
    project.cases(cases_of(("fruit", "animal")))
    login = {"LOGIN": project.server.base_url.replace("127.0.0.1", "auth.corp").replace("/v1", "/oauth/token")}

    run = project.optimize("--gepa-trials=1", env=login)
    assert run.code == 0, run.everything
    assert asked
    assert main(["record", "--rootdir", str(project.root)]) == 0
    files = {path: path.read_bytes() for path in project.root.rglob("*") if path.is_file()}
    assert [path for path, data in files.items() if TOKEN.encode() in data] == []
    answers = [data for path, data in files.items() if "gepa_recording/answers" in path.as_posix()]
    assert any(b'"access_token": "[redacted]"' in data for data in answers)

    asked.clear()
    replayed = project.optimize("--gepa-trials=1", "--gepa-replay=only", env={**OFFLINE, **login})
    assert replayed.code == 0, replayed.everything
    assert no_request(replayed)
    assert asked == []
    assert _patches(replayed) == _patches(run)


def _patches(run: Run) -> list[bytes]:
    assert run.patches, run.everything
    return [path.read_bytes() for path in run.patches]
