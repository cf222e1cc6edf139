from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_gepa.run.journal import Journal, read_journal
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.trace.redact import Redactor

texts = st.text(st.characters(codec=None), max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(values, max_size=5))
def test_what_is_written_is_read(path: Path, written: list[Any]) -> None:
    path.unlink(missing_ok=True)
    journal = Journal(path, str)
    for value in written:
        journal.write("kind", value=value)
    journal.close()

    assert list(read_journal(path)) == [
        {"n": number, "record": "kind", "value": value} for number, value in enumerate(written, 1)
    ]


def test_records_of_ours_are_written_as_plain_values(path: Path) -> None:
    journal = Journal(path, str)
    journal.write("rollout", rollout=Rollout("c", "i", "t", Outcome.failed, 0.0), cases=(Case("a", "b"),))
    journal.close()

    (record,) = read_journal(path)
    assert record["rollout"]["outcome"] == "failed"
    assert record["cases"][0]["id"] == "a"


def test_a_record_is_on_disk_as_soon_as_it_is_written(path: Path) -> None:
    journal = Journal(path, str)
    journal.write("first")

    assert [record["record"] for record in read_journal(path)] == ["first"]
    journal.close()


@pytest.fixture
def room() -> Iterator[Callable[[int], None]]:
    """Leaves room for so many bytes in a file, as on a disk that is full."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    heard = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, heard)


@pytest.mark.parametrize("is_torn", [False, True])
def test_a_record_that_a_full_disk_cuts_off_costs_no_other(
    path: Path, room: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, is_torn: bool
) -> None:
    cuts = os.ftruncate

    def cut(descriptor: int, size: int) -> None:
        if is_torn:
            raise OSError("not here")
        cuts(descriptor, size)

    monkeypatch.setattr(os, "ftruncate", cut)
    journal = Journal(path, str)
    journal.write("before")
    room(300)
    with pytest.raises(OSError, match="too large"):
        journal.write("lost", text="x" * 1_000)
    assert (path.stat().st_size == 300) == is_torn
    room(10_000)
    journal.write("after")
    journal.write("last")
    journal.close()
    assert [record["record"] for record in read_journal(path)] == ["before", "after", "last"]


def test_a_line_that_is_no_record_hides_none_behind_it(path: Path) -> None:
    path.write_bytes(b'{"n": 1}\n{"n": 2, "te{"n": 3}\n\0\0\0\n7\n\n{"n": 4}\n')
    assert list(read_journal(path)) == [{"n": 1}, {"n": 4}]


@pytest.mark.skipif(os.name != "posix", reason="POSIX modes")
def test_nobody_else_may_read_it(path: Path) -> None:
    Journal(path, str).close()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@given(cut=st.integers(0, 200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_journal_that_was_cut_off_is_read_up_to_its_last_whole_record(path: Path, cut: int) -> None:
    path.unlink(missing_ok=True)
    journal = Journal(path, str)
    for number in range(5):
        journal.write("kind", text="ä" * number)
    journal.close()
    data = path.read_bytes()
    kept = data[: max(0, len(data) - cut)]
    path.write_bytes(kept)

    numbers = [record["n"] for record in read_journal(path)]

    # A last line that lacks nothing but its line end is whole as well.
    assert numbers == list(range(1, len(numbers) + 1))
    assert kept.count(b"\n") <= len(numbers) <= kept.count(b"\n") + 1


@pytest.mark.parametrize("secret", ["sk-0123456789abcdef", 'with"quote\\and-backslash', "ümläut-password", "12345678"])
def test_no_secret_reaches_the_disk_and_every_line_stays_json(path: Path, secret: str) -> None:
    journal = Journal(path, Redactor({"API_KEY": secret}).redact)
    journal.write("rollout", text=f"Authorization: Bearer {secret}", nested={"a": [secret, f'"{secret}"']})
    journal.close()

    (line,) = path.read_text(encoding="utf-8").splitlines()
    assert secret not in json.dumps(json.loads(line), ensure_ascii=False)
    assert json.loads(line)["nested"]["a"] == ["[redacted]", '"[redacted]"']
    assert secret not in line


@pytest.mark.parametrize(
    "text", ["-----BEGIN PRIVATE KEY----- that never ends", "half a pair: \ud83d", '{"api_key": "', "bearer "]
)
def test_a_redaction_cannot_reach_beyond_the_text_that_called_for_it(path: Path, text: str) -> None:
    journal = Journal(path, Redactor({}).redact)
    journal.write("rollout", text=text, after="kept")
    journal.close()

    (record,) = read_journal(path)
    assert record["after"] == "kept"
