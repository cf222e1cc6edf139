"""The journal: every line parses, whatever the texts in it, and holds no secret."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_gepa.journal import Journal, read_journal
from pytest_gepa.suite.rollout import Outcome
from pytest_gepa.trace.redact import Redactor

SECRET = 'pa"ss\\word\n1'
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters()) | st.just(SECRET),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def no_redaction(text: str) -> str:
    return text


def test_records_are_numbered_and_come_back(tmp_path: Path):
    journal = Journal(tmp_path / "journal.jsonl", no_redaction)
    journal.write("run", cases=("a", "b"), outcome=Outcome.passed)
    journal.write("rollout", seconds=0.5)
    journal.close()
    assert list(read_journal(tmp_path / "journal.jsonl")) == [
        {"n": 1, "record": "run", "cases": ["a", "b"], "outcome": "passed"},
        {"n": 2, "record": "rollout", "seconds": 0.5},
    ]


def test_a_record_is_on_disk_before_the_journal_is_closed(tmp_path: Path):
    journal = Journal(tmp_path / "journal.jsonl", no_redaction)
    journal.write("run")
    assert len(list(read_journal(tmp_path / "journal.jsonl"))) == 1
    journal.close()


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"n": 1}\n{"n": 2, "rec', encoding="utf-8")
    assert list(read_journal(path)) == [{"n": 1}]


def test_only_the_user_may_read_it(tmp_path: Path):
    Journal(tmp_path / "journal.jsonl", no_redaction).close()
    assert (tmp_path / "journal.jsonl").stat().st_mode & 0o777 == 0o600


@given(VALUES)
@example("-----BEGIN PRIVATE KEY----- that never ends")
@example("half a pair: \ud83d, a line separator: \u2028")
@example({"api_key": "\\", "x": '"'})
def test_every_line_parses_and_holds_no_secret(value: object):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "journal.jsonl"
        journal = Journal(path, Redactor({"DESK_PASSWORD": SECRET}).redact)
        journal.write("first", value=value)
        journal.write("second")
        journal.close()
        records = list(read_journal(path))
    assert [(record["n"], record["record"]) for record in records] == [(1, "first"), (2, "second")]
    assert SECRET not in json.dumps(records, ensure_ascii=False)
    assert SECRET not in str(records)


def test_a_secret_is_redacted_wherever_it_stands(tmp_path: Path):
    journal = Journal(tmp_path / "journal.jsonl", Redactor({"DESK_PASSWORD": SECRET}).redact)
    journal.write("rollout", steps=[{"value": f"with {SECRET}!"}], plain=SECRET)
    journal.close()
    (record,) = read_journal(tmp_path / "journal.jsonl")
    assert record["steps"] == [{"value": "with [redacted]!"}]
    assert record["plain"] == "[redacted]"


def test_a_text_without_secrets_is_kept_as_it_is(tmp_path: Path):
    text = "Grüße \u2028 \x00 \\ \" 'quoted' \ud83d"
    journal = Journal(tmp_path / "journal.jsonl", Redactor({}).redact)
    journal.write("rollout", text=text)
    journal.close()
    (record,) = read_journal(tmp_path / "journal.jsonl")
    assert record["text"] == text


def test_the_directory_must_be_there(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        Journal(tmp_path / "nowhere/journal.jsonl", no_redaction)
