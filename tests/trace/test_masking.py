"""What is recorded of services that are no models: their answers, without secrets."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from pytest_gepa.trace.cache import ResponseCache
from pytest_gepa.trace.masking import masked
from pytest_gepa.trace.recorder import Recorder
from pytest_gepa.trace.redact import Redactor
from pytest_gepa.trace.replay import WITHHELD
from pytest_gepa.trace.stored import StoredAnswer, decode
from tests.fake_openai import Body, FakeOpenAI
from tests.trace.conftest import capturing

TOKEN = "2YotnFZFEjr1zCsicMWpAA"
"""Nothing in it tells that it is one."""

PROMPT = "You are a kind clerk."
redact = Redactor({}, [r"\d{8}"]).redact


def answer(body: bytes, kind: str = "application/json") -> StoredAnswer:
    return StoredAnswer(200, kind, body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"found": ["a", "b"], "maxTokens": 12}',
        b'{"created": 1731000000, "id": "chatcmpl-AbC12345678xyz0"}',
        b"[1, 2]",
        b"plain words, and no JSON",
        b"\xff\xfe\x00 bytes",
        b"",
    ],
)
def test_an_answer_without_secrets_is_recorded_as_it_is(body: bytes) -> None:
    assert masked(answer(body), redact) == answer(body)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"access_token": TOKEN, "expires_in": 60}, {"access_token": "[redacted]", "expires_in": 60}),
        ({"accessToken": TOKEN}, {"accessToken": "[redacted]"}),
        ([{"password": 'quo"ted \\ übel'}], [{"password": "[redacted]"}]),
        ({"data": json.dumps({"access_token": TOKEN})}, {"data": '{"access_token": "[redacted]"}'}),
        ({"note": "born 19610228 there"}, {"note": "born [redacted] there"}),
        ("password=hunter2", "password=[redacted]"),
    ],
)
def test_of_one_with_secrets_the_rest_is_recorded(body: Any, expected: Any) -> None:
    clean = masked(answer(json.dumps(body).encode()), redact)

    assert clean is not None
    assert json.loads(clean.body) == expected
    assert (clean.status, clean.content_type) == (200, "application/json")


@pytest.mark.parametrize("body", [b'{"access\\u005ftoken": "%s"}', b'{"access_token": "%s", "access_token": ""}'])
def test_whichever_way_a_name_is_spelled(body: bytes) -> None:
    clean = masked(answer(body % TOKEN.encode()), redact)

    assert clean is not None
    assert TOKEN.encode() not in clean.body


def test_in_another_encoding_too() -> None:
    clean = masked(answer(json.dumps({"access_token": TOKEN}).encode("utf-16")), redact)

    assert clean is not None
    assert json.loads(clean.body) == {"access_token": "[redacted]"}


@pytest.mark.parametrize(
    "body",
    [
        b"access_token='%s'",
        b"<access_token>%s</access_token>",
        b'data: {"access_token": "%s"}\n\n',
        b'{"pin": 12345678, "x": "%s"}',
        b'{"cookies": {"sid": "%s"}}',
    ],
)
def test_what_cannot_be_had_without_its_secrets_is_not_recorded(body: bytes) -> None:
    assert masked(answer(body % TOKEN.encode()), redact) is None


# Through the capture


def captured(recording: ResponseCache, replay: str) -> AbstractContextManager[Recorder]:
    redactor = Redactor({})
    return capturing(
        None,
        "t",
        replay,
        recording,
        redactor.redact_certain,
        holds_prompt=lambda asked: any(PROMPT in text for text in asked.texts),
        mask=redactor.redact,
    )


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[ResponseCache]:
    recording = ResponseCache(tmp_path / "recording")
    yield recording
    recording.close()


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of another machine, which is this one."""
    look_up = socket.getaddrinfo

    def find(name: Any, *args: Any, **options: Any) -> Any:
        return look_up("127.0.0.1" if name in ("auth.test", b"auth.test") else name, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", find)
    return "auth.test"


def said(request: Body) -> Body:
    return {"access_token": TOKEN, "token_type": "bearer", "expires_in": 3600}


def test_a_token_of_a_service_is_in_no_recording_and_a_replay_gets_an_answer(
    recording: ResponseCache, host: str, library: Any
) -> None:
    asked = {"grant_type": "client_credentials", "client_id": "desk"}
    with FakeOpenAI(said) as server:
        url = server.base_url.replace("127.0.0.1", host).replace("/v1", "/oauth/token")
        for replay, expected in (("auto", TOKEN), ("only", "[redacted]")):
            with captured(recording, replay), library.Client(trust_env=False) as client:
                got = client.post(url, json=asked).json()
            assert got == {**said({}), "access_token": expected}
        assert len(server.requests) == 1
    assert TOKEN not in str(list(recording.items()))


@pytest.mark.parametrize("asked", [{"model": "m", "text": "hi"}, {"input": PROMPT}])
def test_what_a_model_says_is_left_out_or_recorded_as_it_is(
    recording: ResponseCache, host: str, library: Any, asked: Body
) -> None:
    """A case goes by its words, of which nothing but the shape of a known key is certain to be a secret."""
    for body, is_kept in (({"say": "password='tulips'"}, True), ({"say": "sk-" + 3 * TOKEN}, False)):
        with FakeOpenAI(lambda request, body=body: body) as server:  # type: ignore[misc]
            url = server.base_url.replace("127.0.0.1", host).replace("/v1", "/ask")
            with captured(recording, "auto"), library.Client(trust_env=False) as client:
                client.post(url, json={**asked, "kept": is_kept})
    kept = [data for _, data in recording.items()]
    found = [json.loads(known.body) for data in kept if (known := decode(data)) is not None]

    assert found == [{"say": "password='tulips'"}]
    assert kept.count(WITHHELD) == 1
