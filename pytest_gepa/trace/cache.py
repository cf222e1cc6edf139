"""The response cache: answers on disk by the content of their request, so that each is paid for once.

Also the content keys themselves. What may be stored, and when a stored answer is used, is decided in
`capture`.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

BEHAVIOUR_HEADERS = ("anthropic-beta", "anthropic-version", "openai-beta")
"""The headers that change an answer. No other header is part of a key."""

NO_CONTENT = frozenset({"metadata", "prompt_cache_key", "safety_identifier", "user"})
"""Fields of a body that say who asks, not what."""

SECRET_QUERY = frozenset(
    {"access_token", "api-key", "api_key", "apikey", "auth", "key", "password", "secret", "sig", "signature"}
    | {"subscription-key", "token", "x-api-key"}
)
"""Query parameters that are left out of a key, in lower case."""

_PORTS = {"http": 80, "https": 443}
_TIMEOUT = 10.0

# By default diskcache drops rows at 1 GiB. All that change its ways are given, lest a planted row sets them.
_SETTINGS = {
    "eviction_policy": "none",
    "cull_limit": 0,
    "statistics": 0,
    "tag_index": 0,
    "disk_min_file_size": 2**15,
}


def request_key(method: str, url: str, headers: Mapping[str, str], body: bytes) -> str:
    """The identity of a request by content: SHA-256, in hex, of method, URL, behaviour headers and body.

    Equal keys mean that a server is asked the same: user names, keys and tokens, the order of JSON fields and
    of headers do not count. `headers` may have names in any case. Neither trial nor case is part of it.
    """
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query, True) if not _is_secret(name)]
    given = {name.lower(): value for name, value in headers.items()}
    identity = {
        "method": method.upper(),
        "scheme": parts.scheme.lower(),
        "host": (parts.hostname or "").lower(),
        "port": parts.port or _PORTS.get(parts.scheme.lower()),
        "path": parts.path,
        "query": query,
        "headers": {name: given[name] for name in BEHAVIOUR_HEADERS if name in given},
        "body": _body_identity(body),
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def stored_key(request_key: str, trial: str, ordinal: int) -> str:
    """The key under which an answer is stored: the request, the trial, and which of the identical requests of
    its case it is, so that repeats and best-of-n sampling stay independent."""
    return f"{request_key}:{trial}:{ordinal}"


class ResponseCache:
    """Bytes by string keys in a directory of its own, shared by processes; a failure is a miss, never raised.

    The database is opened at the first use, so that a process may fork before; a child that inherits an open
    one opens its own. When it cannot be opened, or fails for good, `broken` says why and nothing is stored or
    found any more.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.broken = ""
        self._lock = threading.Lock()
        self._database: Any = None
        self._pid = 0
        self._inherited: list[Any] = []

    def get(self, key: str) -> bytes | None:
        """The bytes stored under a key; None when there are none, or when the row is not of our making."""
        value = self._use(lambda database: database.get(key))
        return value if isinstance(value, bytes) else None

    def put(self, key: str, value: bytes) -> None:
        """Store bytes under a key, in place of any before; dropped when the database is busy for too long."""
        self._use(lambda database: database.set(key, value))

    def close(self) -> None:
        """Close the database; the next use opens it again."""
        with self._lock:
            atexit.unregister(self.close)
            database, self._database = self._database, None
            if database is not None and self._pid == os.getpid():
                with contextlib.suppress(Exception):
                    database.close()

    def _use(self, operation: Callable[[Any], Any]) -> Any:
        """The result of an operation on the database, None when it fails or there is none."""
        with self._lock:
            try:
                database = self._open()
                return None if database is None else operation(database)
            except Exception as error:
                self._judge(error)
                return None
            finally:
                self._leave_thread()

    def _open(self) -> Any:
        """The database of this process, None when broken. The caller holds the lock."""
        if self.broken:
            return None
        if self._database is not None and self._pid != os.getpid():
            # SQLite forbids to touch a connection that came through a fork, be it to close it: keep it and
            # forget it.
            self._inherited.append(self._database)
            self._database = None
        if self._database is None:
            # Imported here: SQLite and diskcache cost some 20 ms, and most processes have no use for them.
            from pytest_gepa.trace.bytes_disk import Database

            path = str(self.directory.absolute())
            if os.path.expandvars(path) != path:
                raise ValueError(f"diskcache would expand a variable in the path {path}")
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(OSError):
                self.directory.chmod(0o700)
            self._database = Database(path, _TIMEOUT, **_SETTINGS)
            self._pid = os.getpid()
            atexit.register(self.close)
        return self._database

    def _judge(self, error: Exception) -> None:
        """Tell a database that is busy, which is a miss, from one that will not work, which is given up.

        By name and text: the classes are those of modules that this one does not import.
        """
        name = type(error).__name__
        if name != "Timeout" and not (name == "OperationalError" and "locked" in str(error)):
            self.broken = f"{name}: {error}"

    def _leave_thread(self) -> None:
        """Close what a thread other than the main one has opened: a connection of diskcache's belongs to its
        thread, and one that dies with it raises a `ResourceWarning`, in the middle of somebody's test."""
        if self._database is not None and threading.current_thread() is not threading.main_thread():
            with contextlib.suppress(Exception):
                self._database.close()


def _is_secret(name: str) -> bool:
    return name.lower() in SECRET_QUERY or name.lower().startswith("x-amz-")


def _body_identity(body: bytes) -> Any:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return {"sha256": hashlib.sha256(body).hexdigest()}
    if isinstance(data, dict):
        return {name: value for name, value in data.items() if name not in NO_CONTENT}
    return data
