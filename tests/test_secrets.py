"""Secrets of every kind planted in a project, and every byte searched that a run writes, prints or shows a model."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.fake_openai import Answer, Body
from tests.harness import PROMPT, Project, Run, answer_by_rules, new_project

ENVIRON = {
    "BILLING_TOKEN": "bt.Xq7vB2nM9kL4jH1gF8dS5a",
    "VAULT_PASSPHRASE": 'corre"ct hörse/battery+staple',
    "DATABASE_URL": "postgres://app:sw0rdf1sh-pw@db.internal/x",
}
LATE = "late-Zt5rK8wQ1xC6vB3nM0pL"
"""A key that a fixture loads while the case runs."""

CONFTEST = f"""\
import logging
import os

import pytest

logging.getLogger("app").setLevel("INFO")


@pytest.fixture(scope="session", autouse=True)
def settings():
    os.environ["LATE_API_KEY"] = "{LATE}"
    print("loaded", os.environ["LATE_API_KEY"], "glpat-FixtureOutput12345678")
"""
# What a case says, and through what it says it.
PLANTED = {
    "a parameter": "ghp_ParameterAbc123def456ghi789jkl012mn",
    "a message": "sk-proj-InTheMessage0123456789abcdef",
    "an answer": "AKIAIOSFODNN7ANSWERS",
    "printed": "xoxb-123456789012-printedPrinted1234",
    "logged": "hf_LoggedLoggedLoggedLogged123456",
    "a warning": "npm_WarningWarningWarningWarning12345678",
    "an assertion": "rk_live_AssertionAssertion123",
    "feedback": "SG.FeedbackFeedback12345.FeedbackFeedbackFeedback1234567890",
    "a step": "dapi0123456789abcdef0123456789abcdef",
    "an objective": "gsk_ObjectiveObjective1234567890",
    "a cookie": "sid=31d4d96e407aad42c0ffee",
    "a password": "Hunter2-hunter2",
    "the source": "whsec_InTheSourceOfTheTest123456",
    "collection": "pcsk_ImportTimeImportTime_1234567890",
    "an error": "tvly-ErrorErrorErrorError1234",
    "a header": "dXNlcjpCYXNpY1Bhc3N3b3JkMTIz",
    "a pattern": "zebra-4711",
    "a named parameter": "swordfish-of-Jo-7",
    "a named step": "tulips-in-May-8",
}
SECRETS = {**ENVIRON, "late": LATE, "fixture": "glpat-FixtureOutput12345678", **PLANTED}
IN_PROMPT = "sk-InThePromptItself0123456789"
TESTS = f"""\
import base64
import logging
import os
import warnings

import pytest

import app
from app import route

CASES = [(kind, word) for kind in ("fruit", "animal") for word in ("one", "two", "three")]
KEY = "{PLANTED["a parameter"]}"
PASSWORD, STEP = "{PLANTED["a named parameter"]}", "{PLANTED["a named step"]}"
print("collected {PLANTED["collection"]}")


@pytest.mark.parametrize("key", [KEY])
@pytest.mark.parametrize("password", [PASSWORD])
@pytest.mark.parametrize(("kind", "word"), CASES)
def test_route(kind, word, password, key, gepa):
    gepa.log("api_key", STEP)
    token = os.environ["BILLING_TOKEN"]
    late = os.environ["LATE_API_KEY"]
    print("{PLANTED["printed"]}", token)
    print("Authorization: Basic {PLANTED["a header"]}")
    print("Set-Cookie: {PLANTED["a cookie"]}; Path=/")
    print({{"password": "{PLANTED["a password"]}"}})
    logging.getLogger("app").info("{PLANTED["logged"]} %s", os.environ["DATABASE_URL"])
    warnings.warn("{PLANTED["a warning"]}")
    gepa.log("{PLANTED["a step"]}", {{"token": token, "coded": base64.b64encode(token.encode()).decode()}})
    answer = route(kind, f"{{word}} ({PLANTED["a message"]} {{token}} {{late}} {PLANTED["a pattern"]})")
    client = "{PLANTED["the source"]}"
    assert answer.startswith(f"{{word}}-{{kind[:3].upper()}}"), f"{PLANTED["an assertion"]} {{token}} {{late}}"


def test_graded(gepa):
    answer = route("animal", "graded")
    gepa.score(float("ANI" in answer), feedback="{PLANTED["feedback"]} " + os.environ["VAULT_PASSPHRASE"])
    gepa.score(0.5, name="{PLANTED["an objective"]}", feedback="half")


def test_error(request):
    route("animal", "error")
    request.addfinalizer(lambda: 1 / 0)
    raise RuntimeError("{PLANTED["an error"]} " + os.environ["VAULT_PASSPHRASE"])


def test_crash():
    route("animal", "crash")
    os.write(1, b"last words: {PLANTED["an error"]}\\n")
    os._exit(7)
"""
LINES = "\n".join(f"Line {number} of the prompt." for number in range(8))


def _answer(request: Body) -> Answer:
    """As the usual task model, with what it was told and a key of its own behind it."""
    plain = dict(request)
    user = request["messages"][1]["content"]
    kind, _, word = user.partition(": ")
    plain["messages"] = [request["messages"][0], {"role": "user", "content": f"{kind}: {word.split(' ')[0]}"}]
    answer = answer_by_rules(plain)
    return f"{answer} | {PLANTED['an answer']} {user}"


@pytest.fixture(scope="module")
def secretive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    for project in new_project(tmp_path_factory.mktemp("secretive") / "project"):
        _plant(project)
        yield project


def _plant(project: Project) -> None:
    project.world.task = _answer
    project.write(
        {
            "conftest.py": CONFTEST,
            "test_route.py": TESTS,
            PROMPT: f"The key of the service is {IN_PROMPT}.\n{LINES}\n- The mark of a fruit is FRU.\n",
            "pytest.ini": "[pytest]\nlog_level = INFO\ngepa_redact =\n    zebra-\\d+\n",
        }
    )


@pytest.fixture(scope="module")
def run(secretive: Project) -> Run:
    return secretive.optimize("--gepa-timeout=30", "--gepa-trials=1", env=ENVIRON)


def spellings(secret: str) -> set[bytes]:
    """A secret as it may stand in a file."""
    forms = {secret, json.dumps(secret)[1:-1], quote(secret, safe=""), repr(secret)[1:-1]}
    coded = {base64.b64encode(secret.encode()).rstrip(b"=")[:-2], secret.encode("utf-16-le")}
    return {form.encode() for form in forms} | coded


def written(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in (root / ".gepa").rglob("*") if path.is_file()}


def test_no_secret_reaches_disk_screen_or_the_reflection_model(run: Run) -> None:
    shown = {
        "stdout": run.out.encode(),
        "stderr": run.err.encode(),
        **{f"reflection {n}": json.dumps(body).encode() for n, body in enumerate(run.reflections)},
        **written(run.rootdir),
    }
    secrets = {**SECRETS, "the prompt": IN_PROMPT, "a part of it": ENVIRON["BILLING_TOKEN"][4:]}
    secrets["the password of the database"] = "sw0rdf1sh-pw"
    found = [
        (place, kind)
        for place, data in shown.items()
        for kind, secret in secrets.items()
        if any(form in data for form in spellings(secret))
    ]

    assert run.code == 0, run.everything
    assert found == []


def test_what_was_redacted_was_there(run: Run) -> None:
    """The planted texts did arrive where they would have been kept, marked as redacted."""
    asked = json.dumps(run.task_requests)
    rollouts = json.dumps(run.records("rollout"))
    told = "\n".join(body["messages"][1]["content"] for body in run.reflections)

    assert all(PLANTED[kind] in asked for kind in ("a message", "a pattern"))
    assert ENVIRON["BILLING_TOKEN"] in asked
    for shown in (rollouts, told):
        assert "Authorization: Basic [redacted]" in shown
        assert "one ([redacted] [redacted] [redacted] [redacted])" in shown
    assert "The key of the service is [redacted]." in told


def test_a_prompt_with_a_secret_is_improved_all_the_same(run: Run, secretive: Project) -> None:
    assert run.result["changes"], run.everything
    patch = run.patches[0]
    copy = secretive.copy("patched")
    copy.git("init", "-q")
    copy.git("apply", str(patch))

    lines = copy.prompt().splitlines()
    assert lines[0] == f"The key of the service is {IN_PROMPT}."
    assert "- The mark of a animal is ANI." in lines


def test_answers_that_hold_a_secret_are_not_stored(run: Run) -> None:
    """All answers of the task model hold one."""
    rows = [data for name, data in written(run.rootdir).items() if "/cache/" in f"/{name}"]

    assert rows
    assert any(b"chat.completion" in data for data in rows)  # those of the reflection model
    assert not any(b"-FRU | " in data for data in rows)
