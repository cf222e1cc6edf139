"""What processes that a case starts write down has no secrets in it, those that they learn as they run included."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pytest_gepa.suite import child_calls
from pytest_gepa.trace import capture
from pytest_gepa.trace.cache import ResponseCache
from pytest_gepa.trace.mailbox import Mailbox
from pytest_gepa.trace.redact import Redactor
from tests.fake_openai import FakeOpenAI

SECRET = "correct-horse-battery"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """The directory of an overlay, for whose calls this process is a child."""
    about = {
        "owner": os.getpid() + 1,
        "cache": str(tmp_path / "cache"),
        "recording": "",
        "trial": "t",
        "replay": "auto",
        "costs": "",
        "redact": [],
        "root": 0,
        "prompts": {},
    }
    (tmp_path / child_calls.ABOUT).write_text(json.dumps(about), encoding="utf-8")
    child_calls.install(tmp_path / child_calls.ABOUT)
    yield tmp_path
    capture.uninstall()


@pytest.mark.parametrize("held_by", ["request", "answer"])
def test_a_key_that_is_set_after_the_capture_is_in_nothing_that_is_written(
    directory: Path, monkeypatch: pytest.MonkeyPatch, held_by: str
) -> None:
    asked, said = (f"log in with {SECRET}", "done") if held_by == "request" else ("hi", f"it is {SECRET}")
    with FakeOpenAI(lambda request: said) as server:
        monkeypatch.setenv("MY_SERVICE_PASSWORD", SECRET)
        body = {"model": "m", "messages": [{"role": "user", "content": asked}]}
        httpx.post(f"{server.base_url}/chat/completions", json=body)
    told = (directory / "calls").read_text(encoding="utf-8")
    assert "[redacted]" in told
    assert SECRET not in told
    cache = ResponseCache(directory / "cache")
    stored = list(cache.items())
    cache.close()
    assert len(stored) == (1 if held_by == "request" else 0)


def test_the_refusals_that_are_told_are_redacted(tmp_path: Path) -> None:
    mailbox = Mailbox(tmp_path / "calls", 0, Redactor({"A_KEY": SECRET}).redact_trajectory)
    mailbox.post_refusal(f"no stored answer: POST /x, last message 'log in with {SECRET}'")
    assert SECRET not in mailbox.path.read_text(encoding="utf-8")
    (told,) = mailbox.collect().refusals
    assert told == "no stored answer: POST /x, last message 'log in with [redacted]'"
