"""Text of models, tests and files inside Markdown: shown as it is, never read as markup, as a link or as a mention."""

from __future__ import annotations

import html
import re

from pytest_gepa.wording import printable

_PLAIN = frozenset(" /-=,()'\"+;%?")
_ESCAPED = frozenset("\\`*_[]<>|~&$#")
# GitHub and GitLab look for mentions, references and links when Markdown is done and its backslashes are gone. A space
# of no width is what they stop at.
_REFERENCE = re.compile(r"([@#!$%~&^])(?=[\w\"'])|(GH|www)(?=[-.])|(:)(?=//)", re.IGNORECASE)
_RUN_OF_BACKTICKS = re.compile(r"`+")


def clip(text: str, most: int) -> str:
    """The text, of a longer one its beginning and how much is missing."""
    return text if len(text) <= most else f"{text[:most]} ... ({len(text) - most:,} more characters)"


def line(text: str, most: int = 1_000) -> str:
    """Inside a sentence, behind words of our own: at the beginning of a line it might open a list."""
    flat = _REFERENCE.sub(lambda found: f"{found.group()}\u200b", clip(_flat(text), most))
    return "".join(f"\\{sign}" if sign in _ESCAPED else sign for sign in flat)


def code(text: str, most: int = 200) -> str:
    """As code inside a sentence or a cell of a table."""
    flat = clip(_flat(text), most)
    if not flat:
        return "*empty*"
    if "`" not in flat and "|" not in flat:
        return f"`{flat}`"
    # A row is split at its pipes before code is looked for, and how `\|` behind a backslash is read differs.
    return "<code>" + "".join(_entity(sign) for sign in flat) + "</code>"


def fence(text: str, most: int, language: str = "text") -> str:
    """As a block of code that no line of it can close, with a line break at the end."""
    shown = printable(clip(text.rstrip("\n"), most))
    longest = max((len(run) for run in _RUN_OF_BACKTICKS.findall(shown)), default=0)
    mark = "`" * max(3, longest + 1)
    return f"{mark}{language}\n{shown}\n{mark}\n"


def markup(text: str, most: int) -> str:
    """As code inside a block of HTML, on one line: an empty line would end the block."""
    shown = printable(clip(text.strip("\n"), most))
    if not shown.strip():
        return "<em>empty</em>"
    return f"<code>{'<br>'.join(html.escape(shown, quote=False).splitlines())}</code>"


def _flat(text: str) -> str:
    return " ".join(printable(text).split())


def _entity(sign: str) -> str:
    return sign if not sign.isascii() or sign.isalnum() or sign in _PLAIN else f"&#{ord(sign)};"
