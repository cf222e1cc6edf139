from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diskcache
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.trace import cache as cache_module
from pytest_gepa.trace.bytes_disk import BytesDisk
from pytest_gepa.trace.cache import ResponseCache
from pytest_gepa.trace.keys import Identity, identify, split_key, stored_key

URL = "https://api.example.com/v1/chat/completions"
BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0}
LARGE = bytes(range(256)) * 1000


def key_of(method: str = "POST", url: str = URL, headers: dict[str, str] | None = None, body: Any = BODY) -> str:
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
        # Models write the fields of an answer in the order of its schema.
        key_of(body={**BODY, "messages": [{"content": "hi", "role": "user"}]}),
        key_of(body=b"not json"),
        key_of(body=b""),
        key_of(body=[BODY]),
    ],
)
def test_what_changes_an_answer_changes_the_key(other: str) -> None:
    assert other != key_of()


@pytest.mark.parametrize("name", ["user", "metadata", "safety_identifier"])
def test_any_field_may_be_the_question_to_an_endpoint_of_an_unknown_protocol(name: str) -> None:
    def asked(text: str, *, is_known: bool) -> Identity:
        return identify("POST", "http://x.test/ask", {}, json.dumps({name: text}).encode(), is_known=is_known)

    assert asked("2 + 2?", is_known=False) != asked("Capital of France?", is_known=False)
    assert asked("2 + 2?", is_known=True) == asked("Capital of France?", is_known=True)


def test_of_the_query_of_an_unknown_protocol_only_what_must_be_a_secret_is_left_out() -> None:
    def asked(query: str) -> Identity:
        return identify("POST", f"http://x.test/ask?{query}", {}, b"{}", is_known=False)

    assert asked("key=capital") != asked("key=river")
    assert asked("token=one") != asked("token=two")
    assert asked("api_key=one&signature=1") == asked("api_key=two&signature=2")


def test_a_key_is_a_sha_256_in_hex() -> None:
    assert re.fullmatch("[0-9a-f]{64}", key_of())


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


def test_what_begins_within_an_operation_leaves_it_its_connection(
    cache: ResponseCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.put("k", b"v")
    closed: list[str] = []
    monkeypatch.setattr(cache, "_leave_thread", lambda: closed.append("closed"))
    within = cache._use(lambda database: (cache.get("k"), list(closed)))
    assert within == (b"v", [])
    assert closed == ["closed"]


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


def test_an_sqlite_that_diskcache_cannot_use_is_no_cache(cache: ResponseCache, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_an_answer_that_a_busy_database_does_not_take_is_tried_again_and_known_to_be_missing_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    store, genuine = ResponseCache(tmp_path / "one", on_drop=told.append), diskcache.Cache.set
    busy = cache_module.TRIES - 1

    def keep(self: Any, *args: Any, **options: Any) -> Any:
        nonlocal busy
        busy -= 1
        if busy >= 0:
            raise diskcache.Timeout
        return genuine(self, *args, **options)

    monkeypatch.setattr(diskcache.Cache, "set", keep)
    assert store.put("late", b"v")
    assert (store.get("late"), store.lack(), told) == (b"v", "", [])
    busy = cache_module.TRIES
    assert not store.put("lost", b"v")
    assert (store.get("lost"), store.broken) == (None, "")
    assert told == [store.lack()] == ["the database was busy for too long"]
    store.close()


def test_a_failure_for_good_is_told_once_and_others_can_know_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **options: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    told: list[str] = []
    cache, other = ResponseCache(tmp_path / "one", told.append), ResponseCache(tmp_path / "one")
    assert other.lack() == ""
    monkeypatch.setattr(diskcache.Cache, "set", full)
    for _ in range(2):
        cache.put("k", b"v")
    assert told == [cache.broken] == [cache.lack()] == ["OperationalError: database or disk is full"]
    assert other.lack() == ""
    cache.note_lack("no room")
    assert other.lack() == "no room"
    cache.close()


def test_a_path_that_diskcache_would_expand_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.parametrize("key", ["_directory", "disk_fetch", "disk__directory", "sqlite_writable_schema", "get"])
def test_a_planted_setting_does_not_become_an_attribute(tmp_path: Path, key: str) -> None:
    def plant_setting(directory: Path) -> None:
        with contextlib.closing(sqlite3.connect(directory / "cache.db")) as connection, connection:
            connection.execute("INSERT INTO Settings VALUES (?, ?)", (key, str(tmp_path / "elsewhere")))

    cache = seeded(tmp_path / "ours")
    cache.close()
    plant_setting(tmp_path / "ours")
    again = ResponseCache(tmp_path / "ours")
    assert again.get("k") is None
    assert "Refused: a setting that is not diskcache's" in again.broken
    again.clear()
    again.put("k", b"new")
    assert again.get("k") == b"new"
    again.close()


def test_a_planted_setting_shows_in_what_diskcache_brings(tmp_path: Path) -> None:
    with diskcache.Cache(str(tmp_path)):
        pass
    with contextlib.closing(sqlite3.connect(tmp_path / "cache.db")) as connection, connection:
        connection.execute("INSERT INTO Settings VALUES ('_planted', 'owned')")
    with diskcache.Cache(str(tmp_path)) as plain:
        assert plain._planted == "owned"


def test_planted_values_of_known_settings_do_not_count(tmp_path: Path) -> None:
    seeded(tmp_path).close()
    with contextlib.closing(sqlite3.connect(tmp_path / "cache.db")) as connection, connection:
        connection.execute("UPDATE Settings SET value = 'least-recently-used' WHERE key = 'eviction_policy'")
        connection.execute("UPDATE Settings SET value = 0 WHERE key = 'disk_min_file_size'")
    cache = ResponseCache(tmp_path)
    assert cache.get("k") == b"v"
    assert cache._database.eviction_policy == "none"
    cache.put("small", b"in its row")
    assert list(tmp_path.rglob("*.val")) == []
    cache.close()


# Bounds


class Clock:
    """Stands in for the time in diskcache and ours."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_800_000_000.0
        monkeypatch.setattr(time, "time", lambda: self.now)
        monkeypatch.setattr(cache_module, "true_time", lambda: self.now)

    def days(self, days: float) -> None:
        self.now += 86_400 * days


def test_the_answers_that_nobody_wanted_for_longest_go_first(
    cache: ResponseCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    for number in range(40):
        cache.put(f"k{number}", bytes([number]) * 30_000)
        clock.days(0.1)
    clock.days(3)
    assert cache.get("k0") == bytes(30_000), "wanted again"
    before = cache.figures()
    assert before is not None
    assert (before.entries, before.size > 1_200_000) == (40, True)
    assert cache.trim(2_000_000) == 0
    removed = cache.trim(600_000)
    after = cache.figures()
    assert after is not None
    assert after.entries == 40 - removed
    assert 400_000 < after.size <= 540_000
    left = {key for key, _ in cache.items()}
    assert left == {"k0", *(f"k{number}" for number in range(removed + 1, 40))}


def test_files_of_large_answers_go_with_them(cache: ResponseCache) -> None:
    for number in range(10):
        cache.put(f"k{number}", LARGE)
    assert cache.trim(4 * len(LARGE)) >= 6
    files = list(cache.directory.rglob("*.val"))
    assert len(files) == sum(1 for _ in cache.items()) <= 4
    assert cache.trim(1) > 0
    assert list(cache.directory.rglob("*.val")) == []


def test_a_cache_is_cut_while_others_write_to_it(cache: ResponseCache) -> None:
    program = (
        "import sys; from pathlib import Path; from pytest_gepa.trace.cache import ResponseCache\n"
        "cache = ResponseCache(Path(sys.argv[1]))\n"
        "for n in range(150):\n"
        "    cache.put(f'{sys.argv[2]}/{n}', b'x' * 20_000)\n"
        "    cache.get(f'{sys.argv[2]}/{n - 5}')\n"
        "cache.close(); sys.exit(cache.broken or 0)"
    )
    command = [sys.executable, "-c", program, str(cache.directory)]
    children = [subprocess.Popen([*command, name]) for name in "abc"]
    while any(child.poll() is None for child in children):
        cache.trim(1_000_000)
    cache.trim(1_000_000)
    assert [child.wait() for child in children] == [0, 0, 0]
    figures = cache.figures()
    assert cache.broken == ""
    assert figures is not None
    assert 0 < figures.size <= 1_000_000


def test_rows_without_a_time_cannot_keep_the_cache_above_its_bound(cache: ResponseCache) -> None:
    for number in range(20):
        cache.put(f"k{number}", b"x" * 30_000)
    with contextlib.closing(sqlite3.connect(cache.directory / "cache.db")) as connection, connection:
        connection.execute("UPDATE Cache SET expire_time = 'never' WHERE rowid > 3")
    cache.trim(200_000)
    figures = cache.figures()
    assert figures is not None
    assert figures.entries == 0


def test_what_another_process_has_trimmed_meanwhile_is_not_made_up_for_by_all_the_rest(
    cache: ResponseCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        cache.put(f"k{number}", b"x" * 30_000)
    genuine, is_first = diskcache.Cache.expire, [True]

    def expire(self: Any, *arguments: Any, **named: Any) -> Any:
        if is_first.pop() if is_first else False:
            other = ResponseCache(cache.directory)
            assert other.trim(300_000) > 0
            other.close()
        return genuine(self, *arguments, **named)

    monkeypatch.setattr(diskcache.Cache, "expire", expire)
    cache.trim(300_000)
    assert cache.get("k19") == b"x" * 30_000


def test_an_answer_is_noted_as_wanted_once_a_day(cache: ResponseCache, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    touched: list[str] = []
    genuine = diskcache.Cache.touch

    def touch(self: Any, key: str, expire: float) -> Any:
        touched.append(key)
        return genuine(self, key, expire)

    monkeypatch.setattr(diskcache.Cache, "touch", touch)
    cache.put("k", b"v")
    for _ in range(3):
        cache.get("k")
    assert touched == []
    clock.days(1.5)
    for _ in range(3):
        assert cache.get("k") == b"v"
    assert touched == ["k"]
    figures = cache.figures()
    assert figures is not None
    assert figures.oldest == pytest.approx(clock.now)


@pytest.mark.parametrize("pinned", [-2_000_000_000.0, 1_326_500_000.0, 250_000_000_000.0])
def test_a_clock_that_a_test_has_set_neither_hides_answers_nor_makes_them_old(
    cache: ResponseCache, pinned: float
) -> None:
    begun = time.time()
    cache.put("before", b"b")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: pinned)
        cache.put("within", b"w")
        found = [cache.get("before"), cache.get("within")]
    assert found == [b"b", b"w"]
    assert dict(cache.items()) == {"before": b"b", "within": b"w"}
    figures = cache.figures()
    assert figures is not None
    assert figures.oldest == pytest.approx(begun, abs=3_600)
    assert figures.newest == pytest.approx(begun, abs=3_600)


def test_keys_can_be_taken_apart_again() -> None:
    assert split_key(stored_key("abc", "2026-11-24-1/confirm/0", 3)) == ("abc", "2026-11-24-1/confirm/0", 3)
    assert split_key("abc") is None
    assert split_key("abc:trial:x") is None


def test_all_that_is_stored_can_be_listed(cache: ResponseCache) -> None:
    assert list(cache.items()) == []
    for number in range(250):
        cache.put(f"k{number:03}", b"%d" % number)
    assert list(cache.items()) == [(f"k{number:03}", b"%d" % number) for number in range(250)]


def test_content_is_told_apart_from_the_server_that_is_asked() -> None:
    one = identify("POST", "http://127.0.0.1:4000/v1/x?api-version=1", {}, b"{}")
    other = identify("POST", "https://api.example.com/v1/x?api-version=1", {}, b"{}")
    assert one.content == other.content
    assert one.request != other.request
    assert identify("POST", "http://127.0.0.1:4000/v2/x", {}, b"{}").content != one.content
