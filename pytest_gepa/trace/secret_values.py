"""The secrets that the environment holds, in the forms in which they turn up in text."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from urllib.parse import quote, quote_plus

from pytest_gepa.prompts.summary import agreement

SHORTEST_SECRET = 8
"""Values of environment variables below this many characters are left: `1`, `true`, `test` are everywhere."""

WELL_KNOWN = frozenset(
    {
        "changeit",
        "changeme",
        "development",
        "minioadmin",
        "password",
        "placeholder",
        "postgres",
        "postgresql",
        "rabbitmq",
        "replayed",  # stands for a key in a replay, see `run.stand_ins`
        "username",
    }
)
"""Passwords that no one keeps secret, of databases and brokers in development (`root` and its like are too short).
They are words that prompts and answers are made of: there they would be masked, and no answer with one be stored."""

PIECE = 12
"""So many characters of a longer value, its first or its last, give it away: pytest cuts long texts in the middle."""

_LONG = 2 * PIECE
_SECRET_NAME = re.compile(
    r"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|PWD|COOKIE|WEBHOOK)S?(?:$|_)"
    r"|_(?:PAT|PASS|AUTH|DSN|SAS)$|CONN(?:ECTION)?_STR",
    re.IGNORECASE,
)
_NO_SECRET = frozenset({"PWD", "OLDPWD"})
_RUN = re.compile(rf"[\w.~+/=%-]{{{PIECE},}}", re.ASCII)
_SEPARATOR = re.compile(r"\s*[,;]\s*")
_URL_PASSWORD = re.compile(r"://[^\s/:@]*:([^\s/@]+)@")


@lru_cache(maxsize=2048)
def looks_secret(name: str) -> bool:
    """Whether an environment variable of this name may hold a secret (`OPENAI_API_KEY`, `PGPASSWORD`)."""
    return name.upper() not in _NO_SECRET and _SECRET_NAME.search(name) is not None


def may_hold_secret(name: str, value: str) -> bool:
    """Whether a variable is worth a look: by its name, or because an address with a password may be in it."""
    return looks_secret(name) or "://" in value


class SecretValues:
    """Finds the values of secret variables: as they are, quoted for JSON, URLs, HTML and Python, in base64 and hex.

    Also each line of several by itself, and as much as is left of a long value that was cut.
    """

    def __init__(self, environ: Iterable[tuple[str, str]], unsearchable: str) -> None:
        """A value that is part of the text `unsearchable` is not looked for."""
        values = {value for value in _values(environ) if value not in unsearchable and value not in WELL_KNOWN}
        self._long = sorted(value for value in values if len(value) >= _LONG and _is_telling(value))
        whole = {value for value in values if value not in self._long}
        whole.update(form for value in values for form in _forms(value) if form not in unsearchable)
        whole -= set(self._long)
        self._runs = sorted(value for value in whole if _RUN.fullmatch(value))
        self._others = sorted(whole.difference(self._runs))

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Where they begin and end."""
        # Nearly all are runs of such signs, and prose has few: a look at those costs less than many at the whole.
        runs = "\n".join(_RUN.findall(text))
        for value in (*self._others, *(value for value in self._runs if value in runs)):
            for at in _places(value, text):
                yield at, at + len(value)
        for value in self._long:
            if not (value[:PIECE] in runs or value[-PIECE:] in runs or not _RUN.fullmatch(value)):
                continue
            for at in _places(value[:PIECE], text):
                yield at, at + agreement(value, text[at : at + len(value)])
            for at in _places(value[-PIECE:], text):
                end = at + PIECE
                before = text[max(0, end - len(value)) : end]
                yield end - agreement(value[::-1], before[::-1]), end


def _places(piece: str, text: str) -> Iterator[int]:
    at = text.find(piece)
    while at >= 0:
        yield at
        at = text.find(piece, at + len(piece))


def _values(environ: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, given in environ:
        value = given.strip()
        if looks_secret(name) and len(value) >= SHORTEST_SECRET:
            yield value
            yield from _inside(value)
        yield from (part for part in _URL_PASSWORD.findall(value) if len(part) >= SHORTEST_SECRET)


def _inside(value: str) -> Iterator[str]:
    """The secrets of which a value consists: lines, items between commas, and what JSON holds under a secret's name."""
    items = _SEPARATOR.split(value)
    # A comma in a password makes no list of it, unless every piece could be one.
    if len(items) > 1 and all(len(item) >= SHORTEST_SECRET and " " not in item for item in items):
        yield from items
    lines = [line.strip() for line in value.splitlines()]
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= 2 * SHORTEST_SECRET and "-----" not in line)
    if value.startswith(("{", "[")):
        try:
            waiting = [("", json.loads(value))]
        except (ValueError, RecursionError):
            return
        while waiting:
            name, item = waiting.pop()
            if isinstance(item, dict):
                waiting += item.items()
            elif isinstance(item, list):
                waiting += [(name, one) for one in item]
            elif isinstance(item, str) and looks_secret(name) and len(item) >= SHORTEST_SECRET:
                yield item
                yield from _inside(item)


def _is_telling(value: str) -> bool:
    """Whether the ends of a value say more than of what kind it is."""
    return "://" not in value[:PIECE] and not value.startswith(("-----", "{", "[")) and "\n" not in value


def _forms(value: str) -> Iterator[str]:
    """How a value is spelled in JSON, URLs, HTML, Python and shell, in base64 at any place of a longer text, in hex."""
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield json.dumps(json.dumps(value)[1:-1])[1:-1]
    yield repr(value)[1:-1]
    yield html.escape(value)
    data = value.encode("utf-8", "surrogateescape")
    for quoted in (quote(data, safe=""), quote(data), quote_plus(data)):
        yield quoted
        yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), quoted)
    yield data.hex()
    yield data.hex().upper()
    for before in range(3):
        # Only the signs that the value alone decides, whatever stands before and after it.
        encoded = base64.b64encode(b"\0" * before + data).decode("ascii")
        core = encoded[(0, 2, 3)[before] : 8 * (before + len(data)) // 6]
        yield core
        yield core.replace("+", "-").replace("/", "_")
