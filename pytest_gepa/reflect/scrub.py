"""Text of a run made the same from run to run: temporary paths, addresses and ids of the moment are replaced.

Only what no check can depend on is touched, so that the evidence keeps its meaning. Secrets are not this
module's; but as they are taken out before, a user's pattern may have matched a part of what is replaced here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pytest_gepa.trace.redact import REDACTED

# Every pattern takes time linear in the text: repeats are bounded, or cannot start anew inside their own
# match.
_PYTEST_TEMPORARY = re.compile(r"pytest-of-[^/\\\s'\"]{1,80}[/\\]{1,2}pytest-\d+")
_BEFORE_A_PATH = frozenset(" \t\n'\"`([{<=,;|")
_TEMPORARY = r"(?:/private)?(?:/tmp|/var/tmp|/var/folders/[^/\s]{1,40}/[^/\s]{1,80}/T)"
_REDACTED = re.escape(REDACTED)
_DIGIT = rf"(?:\d|{_REDACTED})"
_HEX = rf"(?:[0-9a-fA-F]|{_REDACTED})"
_DATE = rf"(?:(?:\d{{4}}|{_REDACTED})-\d\d-\d\d|{_REDACTED})"
_ANYWHERE: Sequence[tuple[re.Pattern[str], str]] = (
    (re.compile(_TEMPORARY + r"/(?:tmp[a-z0-9_]{8}|gepa[-_][^/\s'\"]{1,80})(?![\w-])"), "<tmp>"),
    (re.compile(rf"\.gepa/runs/{_DATE}-\d+"), ".gepa/runs/<run>"),
    (re.compile(rf"\bat 0x[0-9a-fA-F]{{0,16}}{_REDACTED}{_HEX}{{0,16}}(?!\w)"), "at 0x..."),
    (re.compile(r"\bat 0x[0-9a-fA-F]{6,16}\b"), "at 0x..."),
    (re.compile(r"\bid='\d{9,}'"), "id='...'"),
    (re.compile(rf"\bid='\d{{0,16}}{_REDACTED}{_DIGIT}{{0,16}}'"), "id='...'"),
    (
        re.compile(
            r"\b(chatcmpl|cmpl|call|req|resp|msg|toolu|run|fc|rs)([-_])(?=[A-Za-z-]{0,40}\d)[A-Za-z0-9-]{16,80}"
        ),
        r"\1\2<id>",
    ),
    (re.compile(r"(data:[\w./+-]{1,80};base64,)[A-Za-z0-9+/=_-]{100,}"), r"\1<data>"),
    # Longer runs mean nothing more, and would make every fence around them as long.
    (re.compile(r"`{20,}"), "`" * 20),
)
_IN_OUTPUT: Sequence[tuple[re.Pattern[str], str]] = (
    (re.compile(r"^.*HTTP Request: [A-Z]+ .*(?:\n|\Z)", re.MULTILINE), ""),
    (
        re.compile(rf"(?<!\w){_DATE}[T ]\d\d:\d\d:\d\d(?:[.,]{_DIGIT}{{1,9}})?(?:Z\b|[+-]\d\d:?\d\d\b)?"),
        "<time>",
    ),
    (re.compile(rf"\b\d\d:\d\d:\d\d[.,](?:\d{{0,6}}{_REDACTED}{_DIGIT}{{0,6}}|\d{{3,6}}\b)"), "<time>"),
    (re.compile(rf"\b(pid[ =:]{{1,3}}){_DIGIT}+", re.IGNORECASE), r"\1<pid>"),
    (re.compile(rf"\b(127\.0\.0\.1|localhost):(?:\d?{_REDACTED}\d?|\d{{4,5}}\b)"), r"\1:<port>"),
    (
        re.compile(rf"(?<![\w.]){_DIGIT}{{1,12}}(?:\.{_DIGIT}{{1,12}})? ?(?:ms|s|secs?|seconds)\b"),
        "<duration>",
    ),
)


def scrub(text: str) -> str:
    """The text without what changes from run to run, line ends as "\\n", and nothing that UTF-8 cannot
    hold.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
    for pattern, replacement in _ANYWHERE:
        text = pattern.sub(replacement, text)
    return _without_pytest_directories(text)


def scrub_output(text: str) -> str:
    """As `scrub`, for captured output and logs: without times, durations, pids, ports and HTTP request lines."""
    text = scrub(text)
    for pattern, replacement in _IN_OUTPUT:
        text = pattern.sub(replacement, text)
    return text


def _without_pytest_directories(text: str) -> str:
    """`/any/where/pytest-of-me/pytest-3/test_x0/a` as `<tmp>/test_x0/a`."""
    pieces: list[str] = []
    done = 0
    for found in _PYTEST_TEMPORARY.finditer(text):
        start = found.start()
        least = max(done, start - 300)
        while start > least and text[start - 1] not in _BEFORE_A_PATH:
            start -= 1
        pieces += [text[done:start], "<tmp>"]
        done = found.end()
    return "".join([*pieces, text[done:]])
