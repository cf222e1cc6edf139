"""Recordings as files: what is written is read again, and holds neither secrets nor servers."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa import __version__
from pytest_gepa.errors import RecordingError, ReplayError
from pytest_gepa.run.journal import Journal
from pytest_gepa.run.recording import _answer as read_answer
from pytest_gepa.run.recording import _written as written
from pytest_gepa.run.recording import (
    find_recording,
    load_answers,
    read_recording,
    stand_in,
    write_recording,
)
from pytest_gepa.run.stand_ins import stand_ins
from pytest_gepa.suite.charges import Charge
from pytest_gepa.trace.cache import ResponseCache
from pytest_gepa.trace.redact import Redactor
from pytest_gepa.trace.replay import WITHHELD
from pytest_gepa.trace.stored import StoredAnswer, decode

RUN = "2026-11-24-1"
Write = Callable[..., Path]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    store = ResponseCache(tmp_path / "store")

    def make(
        answers: dict[str, bytes],
        run: str = RUN,
        redact: Callable[[str], str] = str,
        cut: int | None = None,
        version: str = "",
    ) -> Path:
        directory = tmp_path / "project/.gepa/runs" / run
        directory.mkdir(parents=True)
        journal = Journal(directory / "journal.jsonl", str)
        told = {"pytest_gepa": version} if version else {}
        journal.write("run", run=run, reflection_model="reflector", **told)
        journal.write("event", type="Evaluated", event={"candidate": "c1", "results": {}})
        journal.write("event", type="Retrying", event={"rollouts": 1})
        about = {"case": "t.py::a", "trial": "search/0"}
        journal.write("rollout", **about, candidate="c1", charged=True, in_vain=1, model_seconds=0.25)
        journal.write("rollout", **about, candidate="c2", charged=False, outcome="stopped")
        journal.write("event", type="Reflected", event={"proposal": "p1"})
        journal.write("event", type="Stopped", event={"reason": "enough"})
        if cut is not None:
            journal.write("confirm cut", trials=cut, reason="the 5 minutes are over")
        journal.close()
        for key, data in answers.items():
            store.put(key, data)
        environ = {"OPENAI_API_KEY": "sk-secret", "OPENAI_BASE_URL": "https://gw.corp/team/v1", "HOME": "/h"}
        write_recording(directory / "recording", directory / "journal.jsonl", store, {"seed": 7}, environ, redact)
        return directory / "recording"

    yield make
    store.close()


def test_how_much_the_time_has_left_of_a_confirm_run_is_recorded(write: Write) -> None:
    assert read_recording(write({})).confirm_cut is None
    assert read_recording(write({}, "2026-11-24-2", cut=1)).confirm_cut == (1, "the 5 minutes are over")


def test_a_run_whose_answers_could_not_be_stored_is_not_recorded(write: Write, tmp_path: Path) -> None:
    ResponseCache(tmp_path / "store").note_lack("OperationalError: database or disk is full")
    with pytest.raises(RecordingError, match="disk is full"):
        write({"aa:search/0:0": WITHHELD})
    assert not list(tmp_path.rglob("recording*"))


def test_a_recording_is_read_as_it_was_written(write: Write, tmp_path: Path) -> None:
    answers = {
        "aa:search/0:0": StoredAnswer(200, "application/json", b'{"a": [1, "\\u00fc"]}').encode(),
        "aa:search/0:1": StoredAnswer(200, "text/event-stream", b"data: 1\n\ndata: [DONE]\n\n").encode(),
        f"bb:{RUN}/confirm/0:0": StoredAnswer(400, "text/plain", b"no").encode(),
        "cc:reflect/7:0": WITHHELD,
    }
    directory = write(answers)
    recording = read_recording(directory)
    assert (recording.run, recording.reflection_model, recording.settings) == (RUN, "reflector", {"seed": 7})
    assert recording.order == ("Evaluated c1", "Reflected p1", "Stopped enough")
    assert recording.charges == {
        ("c1", "t.py::a", "search/0"): Charge(charged=True, seconds=0.25, in_vain=1),
        ("c2", "t.py::a", "search/0"): Charge(charged=False, stopped=True),
    }
    names = {path.name for path in (directory / "answers").iterdir()}
    assert names == {"search-0.jsonl", "confirm-0.jsonl", "reflect-7.jsonl"}
    store = ResponseCache(tmp_path / "again")
    assert load_answers(directory, store) == 4
    for key, data in answers.items():
        found = store.get(key)
        assert found is not None
        before, after = decode(data), decode(found)
        if before is None or after is None:
            assert (found, after) == (WITHHELD, before)
        elif before.content_type == "application/json":
            assert json.loads(after.body) == json.loads(before.body)
        else:
            assert after == before
    store.close()


def test_a_journal_need_not_fit_into_memory(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl", str)
    journal.write("run", run=RUN, reflection_model="reflector")
    for number in range(50):
        said = f"{number} " + 200_000 * "x"
        journal.write("rollout", candidate="c", case=str(number), trial="search/0", charged=True, trajectory=said)
    journal.close()
    store = ResponseCache(tmp_path / "store")

    tracemalloc.start()
    write_recording(tmp_path / "recording", tmp_path / "journal.jsonl", store, {}, {}, str)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    store.close()

    assert len(read_recording(tmp_path / "recording").charges) == 50
    assert most < 2_000_000


def test_the_same_answers_give_the_same_files(write: Write) -> None:
    answers = {f"{number:02}:search/0:0": StoredAnswer(200, "", b"x").encode() for number in range(9)}
    one = write(answers)
    other = write(dict(reversed(answers.items())), run="2026-11-24-2")
    assert (one / "answers/search-0.jsonl").read_bytes() == (other / "answers/search-0.jsonl").read_bytes()
    assert len((one / "answers/search-0.jsonl").read_text().splitlines()) == 9


@given(st.one_of(JSON.map(lambda data: json.dumps(data).encode()), st.binary(), st.text().map(str.encode)))
def test_bodies_of_any_kind_survive_as_text(body: bytes) -> None:
    answer = StoredAnswer(200, "application/json", body)
    line = json.dumps(written(answer), ensure_ascii=False).encode("utf-8", "backslashreplace")
    again = read_answer(json.loads(line))
    if "json" in written(answer):
        assert json.loads(again.body) == json.loads(body)
    else:
        assert again == answer


def test_what_holds_a_secret_is_named_and_left_out(write: Write) -> None:
    answers = {
        "aa:t:0": StoredAnswer(200, "", b"sk-secret").encode(),
        "bb:t:0": StoredAnswer(200, "", b"fine").encode(),
    }
    directory = write(answers, redact=lambda text: text.replace("sk-secret", "[redacted]"))
    lines = [json.loads(line) for line in (directory / "answers/t.jsonl").read_text().splitlines()]
    assert lines[0] == {"key": "aa", "number": 0, "trial": "t", "withheld": True}
    assert lines[1]["text"] == "fine"
    everything = b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())
    assert b"sk-secret" not in everything
    assert b"gw.corp" not in everything


@pytest.mark.parametrize("pattern", [r"\d", "[0-9a-f]{2,}", r"\d{4}-\d{2}-\d{2}", "confirm|key|trial|text|status"])
def test_a_pattern_that_matches_names_of_ours_withholds_no_answer(write: Write, pattern: str) -> None:
    key = "64bbd7296122" * 5
    answer = StoredAnswer(200, "", b"!").encode()
    directory = write({f"{key}:{RUN}/confirm/0:7": answer}, redact=Redactor({}, [pattern]).redact)
    (line,) = (directory / "answers/confirm-0.jsonl").read_text().splitlines()
    record = json.loads(line)

    assert (record["key"], record["trial"], record["number"]) == (key, f"{RUN}/confirm/0", 7)
    assert (record["status"], record["text"]) == (200, "!")


@pytest.mark.parametrize(
    ("kind", "form"), [("application/json", "%s"), ("text/event-stream", "data: %s\n\ndata: [DONE]\n\n")]
)
def test_stamps_of_a_server_withhold_no_answer(write: Write, kind: str, form: str) -> None:
    stamped = json.dumps({"id": "chatcmpl-AbC123456xyz0", "created": 1731000000, "say": "hello"})
    saying = stamped.replace("hello", "123456")
    answers = {
        f"aa:t:{number}": StoredAnswer(200, kind, (form % text).encode()).encode()
        for number, text in enumerate((stamped, saying))
    }
    directory = write(answers, redact=Redactor({}, [r"\d{6}"]).redact)
    lines = [json.loads(line) for line in (directory / "answers/t.jsonl").read_text().splitlines()]

    assert ["withheld" in line for line in lines] == [False, True]


def test_neither_keys_nor_servers_are_kept_of_the_environment() -> None:
    environ = {
        "OPENAI_API_KEY": "sk-1",
        "ANTHROPIC_API_KEY": "sk-2",
        "GEPA_REFLECTION_API_KEY": "sk-3",
        "STRIPE_API_KEY": "sk-4",
        "AZURE_OPENAI_ENDPOINT": "https://corp.openai.azure.com/",
        "OPENAI_API_VERSION": "2024-06-01",
        "MISTRAL_API_VERSION": "a b",
        "OPENAI_BASE_URL": "https://me:pass@gw.corp/v1?token=1",
        "MISTRAL_BASE_URL": "gw.corp/v1",
        "OPENAI_ORG_ID": "org",
    }
    assert stand_ins(environ, str) == {
        "OPENAI_API_KEY": "replayed",
        "ANTHROPIC_API_KEY": "replayed",
        "GEPA_REFLECTION_API_KEY": "replayed",
        "AZURE_OPENAI_ENDPOINT": "http://replay.invalid/",
        "OPENAI_API_VERSION": "2024-06-01",
        "OPENAI_BASE_URL": "http://replay.invalid/v1",
    }


def test_an_address_with_a_secret_in_its_path_is_left_out_and_named(write: Write) -> None:
    directory = write({}, redact=lambda text: text.replace("/team", "/[redacted]"))
    recording = read_recording(directory)
    assert recording.environment == {"OPENAI_API_KEY": "replayed"}
    assert recording.left_out == ("OPENAI_BASE_URL",)
    assert "/team" not in (directory / "recording.json").read_text()


def test_a_replay_sets_what_the_environment_lacks_and_nothing_else(write: Write, tmp_path: Path) -> None:
    write({})
    environ = {"OPENAI_BASE_URL": "http://mine/v1", "OPENAI_API_KEY": ""}
    stand_in(tmp_path / "project", environ)
    assert environ == {"OPENAI_BASE_URL": "http://mine/v1", "OPENAI_API_KEY": "replayed"}
    bare: dict[str, str] = {}
    stand_in(tmp_path, bare)
    assert bare == {"OPENAI_API_KEY": "replayed"}


DEEP = "[" * 100_000 + "]" * 100_000
LINE = {"key": "aa", "trial": "search/0", "number": 0, "status": 200, "content_type": "", "text": "fine"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("recording.json", text) for text in ("", "7", DEEP, '{"form": 2}')),
        *(("order.json", text) for text in (DEEP, "{}", '{"order": 7}')),
        *(("order.json", json.dumps({"order": [], "confirm_cut": cut})) for cut in ([], [1], {}, "no", 7)),
        ("order.json", '{"order": [], "confirm_cut": [1e999, ""]}'),
        *(("charged.jsonl", text) for text in (DEEP, "7", "{}", '{"candidate": [], "case": 1, "trial": 2}')),
        ("charged.jsonl", '{"candidate": "c", "case": "a", "trial": "t", "charged": 1, "seconds": "long"}'),
    ],
)
def test_a_malformed_recording_is_refused(write: Write, name: str, text: str) -> None:
    directory = write({})
    (directory / name).write_text(text, encoding="utf-8")
    with pytest.raises(ReplayError, match=r"recording|cannot be read|line 1"):
        read_recording(directory)


@pytest.mark.parametrize(
    "line",
    [
        DEEP,
        "7",
        "{}",
        *(json.dumps({**LINE, **wrong}) for wrong in ({"text": 5}, {"text": None}, {"number": []})),
        *(json.dumps({**LINE, **wrong}) for wrong in ({"events": [5]}, {"events": 5}, {"status": "fine"})),
        *(json.dumps({**LINE, "status": wrong}) for wrong in (float("inf"), float("nan"), None)),
        json.dumps({**LINE, "text": "\ud800"}),
        json.dumps({name: value for name, value in LINE.items() if name != "text"} | {"base64": 5}),
    ],
)
def test_a_malformed_answer_is_refused_with_its_place(write: Write, tmp_path: Path, line: str) -> None:
    directory = write({"aa:search/0:0": StoredAnswer(200, "", b"fine").encode()})
    (directory / "answers/search-0.jsonl").write_text(line, encoding="utf-8")
    store = ResponseCache(tmp_path / "again")
    with pytest.raises(ReplayError, match=r"search-0\.jsonl, line 1"):
        load_answers(directory, store)
    store.close()


def test_a_replay_takes_from_a_recording_what_a_recording_could_have_been_given(write: Write, tmp_path: Path) -> None:
    """One from elsewhere must not run code here, nor send a request anywhere."""
    honest = {
        "ANTHROPIC_API_KEY": "replayed",
        "AZURE_OPENAI_ENDPOINT": "http://replay.invalid",
        "OPENAI_API_VERSION": "2024-06-01",
        "OPENAI_BASE_URL": "http://replay.invalid/team one/v1",
    }
    path = write({}) / "recording.json"
    planted = {
        "PYTHONWARNINGS": "error::evil.Warning",
        "BROWSER": "sh -c evil",
        "PATH": "/tmp/evil",
        "GROQ_API_KEY": "of somebody else",
        "MISTRAL_BASE_URL": "https://evil.test/v1",
        "XAI_BASE_URL": "http://replay.invalid.evil.test/v1",
        "CO_BASE_URL": "http://replay.invalid@evil.test/v1",
        "GOOGLE_BASE_URL": "http://replay.invalid:80/v1",
        "GEMINI_BASE_URL": "http://replay.invalid/v1?to=evil.test",
        "OLLAMA_BASE_URL": "http://replay.invalid/v1\0",
        "LITELLM_BASE_URL": ["http://replay.invalid/v1"],
        "AZURE_API_VERSION": "2024 or later",
        "GROQ_API_KEY\n": "replayed",
    }
    head = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**head, "environment": {**planted, **honest}}), encoding="utf-8")
    environ: dict[str, str] = {}
    stand_in(tmp_path / "project", environ)
    assert environ == {"OPENAI_API_KEY": "replayed", **honest}


def test_the_committed_recording_comes_first_then_that_of_the_newest_run(write: Write, tmp_path: Path) -> None:
    root = tmp_path / "project"
    with pytest.raises(ReplayError, match="needs a recorded run"):
        find_recording(root)
    write({}, run="2026-11-24-9")
    newest = write({}, run="2026-11-24-10")
    (root / ".gepa/runs/2026-11-25-1").mkdir()
    assert find_recording(root) == newest
    (root / "gepa_recording").mkdir()
    assert find_recording(root) == newest
    (root / "gepa_recording/recording.json").write_text("{}")
    assert find_recording(root) == root / "gepa_recording"


def test_settings_that_are_not_as_they_were_are_named(write: Write) -> None:
    recording = read_recording(write({}))
    assert recording.differences({"seed": 7, "budget": 3}) == []
    assert recording.differences({"seed": 8}) == ["seed was 7, is 8"]
    assert recording.differences({"seed": None}) == ["seed was 7, is not set"]


def test_another_version_of_the_package_is_a_difference(write: Write) -> None:
    now = read_recording(write({}, version=__version__))
    assert now.differences({}) == []
    then = read_recording(write({}, "2026-11-24-2", version="0.0.9"))
    assert then.differences({"seed": 8}) == [f"pytest-gepa was 0.0.9, is {__version__}", "seed was 7, is 8"]
    untold = read_recording(write({}, "2026-11-24-3"))
    assert untold.differences({}) == []
