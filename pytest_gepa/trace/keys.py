"""The identity of a request by its content, and the keys under which answers are stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pytest_gepa.trace.fields import WHO_ASKS

BEHAVIOUR_HEADERS = ("anthropic-beta", "anthropic-version", "openai-beta")
"""The headers that change an answer. No other header is part of a key."""

SECRET_QUERY = frozenset(
    {"access_token", "api-key", "api_key", "apikey", "password", "secret", "sig", "signature"}
    | {"subscription-key", "x-api-key"}
)
"""Query parameters that are left out of a key, in lower case."""

SECRET_WHERE_KNOWN = SECRET_QUERY | {"auth", "key", "token"}
"""The same for a protocol that is known: elsewhere these names may be those of what is asked."""

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Identity:
    """What a request asks: SHA-256 in hex of its content, and the same with the server that is asked.

    `content` covers method, path, query, behaviour headers and body; `request` scheme, host and port besides. User
    names, keys and tokens, the order of a body's fields and of headers do not count. Neither trial nor case is part.
    """

    content: str
    request: str


def identify(method: str, url: str, headers: Mapping[str, str], body: bytes, *, is_known: bool = True) -> Identity:
    """The identity of a request. `headers` may have names in any case. `is_known` tells whether its protocol is known;
    of another every field of the body counts."""
    parts = urlsplit(url)
    secret = SECRET_WHERE_KNOWN if is_known else SECRET_QUERY
    given = {name.lower(): value for name, value in headers.items()}
    content = _digest(
        {
            "method": method.upper(),
            "path": parts.path,
            "query": [
                (name, value)
                for name, value in parse_qsl(parts.query, True)
                if name.lower() not in secret and not name.lower().startswith("x-amz-")
            ],
            "headers": {name: given[name] for name in BEHAVIOUR_HEADERS if name in given},
            "body": _body_identity(body, WHO_ASKS if is_known else frozenset()),
        }
    )
    scheme = parts.scheme.lower()
    return Identity(
        content,
        _digest([scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(scheme), content]),
    )


def stored_key(identity: str, trial: str, ordinal: int) -> str:
    """The key under which an answer is stored: the request, the trial, and which of the identical requests of
    its case it is, so that repeats and best-of-n sampling stay independent."""
    return f"{identity}:{trial}:{ordinal}"


def split_key(key: str) -> tuple[str, str, int] | None:
    """The parts that `stored_key` joined; None for another text."""
    identity, _, rest = key.partition(":")
    trial, _, ordinal = rest.rpartition(":")
    return (identity, trial, int(ordinal)) if trial and ordinal.isdecimal() else None


def _digest(identity: Any) -> str:
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


def _body_identity(body: bytes, left_out: frozenset[str]) -> Any:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return {"sha256": hashlib.sha256(body).hexdigest()}
    if isinstance(data, dict):
        # Only here does the order not count: models write an answer in the order of its schema.
        return {name: data[name] for name in sorted(data) if name not in left_out}
    return data
