from __future__ import annotations

import contextlib
import json
import os
import pickle
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diskcache
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.trace.bytes_disk import BytesDisk
from pytest_gepa.trace.cache import ResponseCache
from pytest_gepa.trace.keys import identify, split_key, stored_key

URL = "https://api.example.com/v1/chat/completions"
BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0}
LARGE = bytes(range(256)) * 1000


def key_of(
    method: str = "POST", url: str = URL, headers: dict[str, str] | None = None, body: Any = BODY
) -> str:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return identify(method, url, headers or {}, data).request


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ResponseCache]:
    cache = ResponseCache(tmp_path / "responses")
    yield cache
    cache.close()


# Keys


@pytest.mark.parametrize(
    "other",
    [
        key_of("post"),
        key_of(url="https://API.example.com:443/v1/chat/completions"),
        key_of(url=URL + "?api_key=abc&Token=x&sig=1"),
        key_of(headers={"Authorization": "Bearer x", "X-Stainless-Retry-Count": "1", "cookie": "c"}),
        key_of(
            body={
                **BODY,
                "user": "u",
                "metadata": {"a": 1},
                "safety_identifier": "s",
                "prompt_cache_key": "p",
            }
        ),
        key_of(body=dict(reversed(BODY.items()))),
        key_of(body=json.dumps(BODY, indent=2).encode()),
    ],
)
def test_who_asks_and_how_it_is_written_do_not_change_a_key(other: str) -> None:
    assert other == key_of()


@pytest.mark.parametrize(
    "other",
    [
        key_of("PUT"),
        key_of(url="http://api.example.com/v1/chat/completions"),
        key_of(url="https://api.example.com:8443/v1/chat/completions"),
        key_of(url="https://api.example.org/v1/chat/completions"),
        key_of(url="https://api.example.com/v2/chat/completions"),
        key_of(url=URL + "?api-version=1"),
        key_of(headers={"OpenAI-Beta": "x"}),
        key_of(headers={"anthropic-version": "x"}),
        key_of(body={**BODY, "temperature": 1}),
        key_of(body={**BODY, "messages": [{"role": "user", "content": "hi", "user": "u"}]}),
        key_of(body=b"not json"),
        key_of(body=b""),
        key_of(body=[BODY]),
    ],
)
def test_what_changes_an_answer_changes_the_key(other: str) -> None:
    assert other != key_of()


def test_a_key_is_a_sha_256_in_hex() -> None:
    assert len(key_of()) == 64
    assert int(key_of(), 16) >= 0


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_bodies_that_are_no_json_have_keys_of_their_own(one: bytes, other: bytes) -> None:
    # The byte that comes first keeps them from being JSON.
    assert (key_of(body=b"\x00" + one) == key_of(body=b"\x00" + other)) == (one == other)


def test_trial_and_ordinal_make_answers_independent() -> None:
    keys = {stored_key(key_of(), trial, number) for trial in ("search/1", "search/2") for number in (0, 1)}
    assert len(keys) == 4


# Storing


@pytest.mark.parametrize("value", [b"", b"answer", b"\x80\x04N.", LARGE])
def test_bytes_come_back_as_they_were(cache: ResponseCache, value: bytes) -> None:
    assert cache.get("k") is None
    cache.put("k", value)
    assert cache.get("k") == value
    assert cache.get("K") is None
    cache.put("k", b"other")
    assert cache.get("k") == b"other"
    assert cache.broken == ""


def test_answers_outlive_the_process_that_bought_them(cache: ResponseCache) -> None:
    cache.put("k", b"v")
    cache.close()
    again = ResponseCache(cache.directory)
    assert again.get("k") == b"v"
    again.close()


def test_it_can_be_used_again_after_it_was_closed(cache: ResponseCache) -> None:
    cache.put("k", b"v")
    cache.close()
    assert cache.get("k") == b"v"


@pytest.mark.skipif(sys.platform == "win32", reason="no POSIX modes")
def test_the_directory_is_for_its_owner_only(tmp_path: Path) -> None:
    (tmp_path / "wide").mkdir(mode=0o755)
    for name in ("new/inner", "wide"):
        cache = ResponseCache(tmp_path / name)
        cache.put("k", b"v")
        cache.close()
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o700


def test_nothing_is_opened_before_the_first_use(tmp_path: Path) -> None:
    ResponseCache(tmp_path / "unused").close()
    assert not (tmp_path / "unused").exists()


def test_threads_may_use_it_and_leave_no_connection_behind(
    cache: ResponseCache, recwarn: pytest.WarningsRecorder
) -> None:
    found: list[bytes | None] = []

    def use(number: int) -> None:
        cache.put(f"k{number}", b"v%d" % number)
        found.append(cache.get(f"k{number}"))

    cache.put("main", b"m")
    threads = [threading.Thread(target=use, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(filter(None, found)) == [b"v%d" % number for number in range(6)]
    assert cache.get("main") == b"m"
    assert not [warning for warning in recwarn if issubclass(warning.category, ResourceWarning)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_opens_a_database_of_its_own(cache: ResponseCache) -> None:
    cache.put("parent", b"p")
    pid = os.fork()
    if pid == 0:
        inherited = cache._database
        good = cache.get("parent") == b"p" and cache._database is not inherited
        cache.put("child", b"c")
        os._exit(0 if good and cache.broken == "" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert cache.get("child") == b"c"
    assert cache.get("parent") == b"p"


def test_processes_share_it(cache: ResponseCache) -> None:
    program = (
        "import sys; from pathlib import Path; from pytest_gepa.trace.cache import ResponseCache\n"
        "cache = ResponseCache(Path(sys.argv[1]))\n"
        "for n in range(50):\n"
        "    cache.put(f'{sys.argv[2]}/{n}', sys.argv[2].encode() * 9000)\n"
        "    cache.put('same', b'x')\n"
        "cache.close(); sys.exit(cache.broken or 0)"
    )
    command = [sys.executable, "-c", program, str(cache.directory)]
    children = [subprocess.Popen([*command, name]) for name in "abc"]
    assert [child.wait() for child in children] == [0, 0, 0]
    assert all(cache.get(f"{name}/{n}") == name.encode() * 9000 for name in "abc" for n in range(50))


# Failing


def test_a_database_that_cannot_be_opened_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = ResponseCache(tmp_path / "file")
    cache.put("k", b"v")
    assert cache.get("k") is None
    assert "File" in cache.broken


def test_a_file_that_is_no_database_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "cache.db").write_bytes(b"no database at all" * 500)
    cache = ResponseCache(tmp_path)
    cache.put("k", b"v")
    assert cache.get("k") is None
    assert cache.broken.startswith("DatabaseError")
    cache.close()


def test_an_sqlite_that_diskcache_cannot_use_is_no_cache(
    cache: ResponseCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **settings: Any) -> None:
        raise sqlite3.OperationalError('no such column: "count"')

    monkeypatch.setattr(diskcache.Cache, "__init__", refuse)
    cache.put("k", b"v")
    assert cache.get("k") is None
    assert "no such column" in cache.broken


@pytest.mark.parametrize("error", [diskcache.Timeout(), sqlite3.OperationalError("database is locked")])
def test_a_busy_database_is_a_miss_and_may_work_again(
    cache: ResponseCache, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    cache.put("k", b"v")

    def busy(*args: Any, **options: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(diskcache.Cache, "get", busy)
        patch.setattr(diskcache.Cache, "set", busy)
        assert cache.get("k") is None
        cache.put("k", b"lost")
    assert cache.broken == ""
    assert cache.get("k") == b"v"


def test_a_path_that_diskcache_would_expand_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEPA_TEST_ELSEWHERE", str(tmp_path / "elsewhere"))
    cache = ResponseCache(tmp_path / "$GEPA_TEST_ELSEWHERE")
    assert cache.get("k") is None
    assert "expand" in cache.broken
    assert list(tmp_path.iterdir()) == []


# Attacks. Each is first shown to work on what diskcache brings, so that the test cannot pass by accident.


class Payload:
    """Unpickling it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.path),))


def plant(directory: Path, key: str, mode: int, filename: str | None, value: Any) -> None:
    """Overwrite the row of a key, as somebody could who can write to the directory."""
    with contextlib.closing(sqlite3.connect(directory / "cache.db")) as connection, connection:
        changed = connection.execute(
            "UPDATE Cache SET mode = ?, filename = ?, value = ? WHERE key = ?", (mode, filename, value, key)
        )
        assert changed.rowcount == 1


def seeded(directory: Path) -> ResponseCache:
    cache = ResponseCache(directory)
    cache.put("k", b"v")
    return cache


def test_a_planted_pickle_in_a_row_is_not_loaded(tmp_path: Path) -> None:
    value = sqlite3.Binary(pickle.dumps(Payload(tmp_path / "owned")))
    with diskcache.Cache(str(tmp_path / "plain")) as plain:
        plain["k"] = b"v"
        plant(tmp_path / "plain", "k", 4, None, value)
        plain.get("k")
    assert (tmp_path / "owned").exists()
    (tmp_path / "owned").rmdir()

    cache = seeded(tmp_path / "ours")
    plant(tmp_path / "ours", "k", 4, None, value)
    assert cache.get("k") is None
    cache.put("k", b"new")
    assert cache.get("k") == b"new"
    cache.close()
    assert not (tmp_path / "owned").exists()


def test_a_planted_pickle_in_a_file_is_not_loaded_as_json_disk_would(tmp_path: Path) -> None:
    name = "ab/cd/" + "0" * 28 + ".val"
    for directory in ("plain", "ours"):
        path = tmp_path / directory / name
        path.parent.mkdir(parents=True)
        path.write_bytes(pickle.dumps(Payload(tmp_path / "owned")))
    with diskcache.Cache(str(tmp_path / "plain"), disk=diskcache.JSONDisk) as plain:
        plain["k"] = "v"
        with contextlib.closing(sqlite3.connect(tmp_path / "plain" / "cache.db")) as connection, connection:
            connection.execute("UPDATE Cache SET mode = 4, filename = ?, value = NULL", (name,))
        with pytest.raises(TypeError):
            plain.get("k")
    assert (tmp_path / "owned").exists()
    (tmp_path / "owned").rmdir()

    cache = seeded(tmp_path / "ours")
    plant(tmp_path / "ours", "k", 4, name, None)
    assert cache.get("k") is None
    cache.close()
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("mode", [2, 3])
def test_a_planted_file_name_reads_no_other_file(tmp_path: Path, mode: int) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_bytes(b"secret")
    with diskcache.Cache(str(tmp_path / "plain")) as plain:
        plain["k"] = b"v"
        plant(tmp_path / "plain", "k", mode, str(secret), None)
        assert plain.get("k") in (b"secret", "secret")

    cache = seeded(tmp_path / "ours")
    inside = tmp_path / "ours" / "ab" / "cd"
    inside.mkdir(parents=True)
    link = "ab/cd/" + "0" * 28 + ".val"
    (tmp_path / "ours" / link).symlink_to(secret)
    folder = "ab/cd/" + "1" * 28 + ".val"
    (tmp_path / "ours" / folder).mkdir()
    for name in (str(secret), "../secret.txt", "cache.db", "ab/../../secret.txt", link, folder, b"x", 7):
        plant(tmp_path / "ours", "k", mode, name, None)
        assert cache.get("k") is None
    cache.close()
    assert cache.broken == ""


def test_a_planted_file_name_removes_no_other_file(tmp_path: Path) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("precious")
    with diskcache.Cache(str(tmp_path / "plain")) as plain:
        plain["k"] = b"v"
        plant(tmp_path / "plain", "k", 2, str(victim), None)
        plain["k"] = b"new"
    assert not victim.exists()
    victim.write_text("precious")

    cache = seeded(tmp_path / "ours")
    plant(tmp_path / "ours", "k", 2, str(victim), None)
    cache.put("k", b"new")
    assert cache.get("k") == b"new"
    cache.close()
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("value", ["text", 7, 1.5, None])
def test_a_planted_value_that_is_no_bytes_is_a_miss(tmp_path: Path, value: Any) -> None:
    cache = seeded(tmp_path)
    plant(tmp_path, "k", 1, None, value)
    assert cache.get("k") is None
    cache.close()


def test_a_file_of_ours_is_removed_with_its_row(cache: ResponseCache) -> None:
    cache.put("k", LARGE)
    assert len(list(cache.directory.rglob("*.val"))) == 1
    cache.put("k", b"small")
    assert list(cache.directory.rglob("*.val")) == []


@pytest.mark.parametrize("value", ["text", 1, None, bytearray(b"x"), [b"x"]])
def test_only_bytes_can_be_stored(tmp_path: Path, value: Any) -> None:
    disk = BytesDisk(str(tmp_path))
    with pytest.raises(TypeError):
        disk.store(value, False)
    with pytest.raises(TypeError):
        disk.put(value if value != "text" else b"bytes")
