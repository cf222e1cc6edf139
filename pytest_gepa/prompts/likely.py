"""Which texts of a data file or a program look like prompts: the rule for files whose texts nobody has named."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pytest_gepa.prompts.addresses import CONTENT_KEYS, FieldPath

PROMPT_WORDS = frozenset(
    {
        "prompt",
        "prompts",
        "system",
        "instruction",
        "instructions",
        "template",
        "templates",
        "persona",
        "preamble",
    }
)
"""A key with one of these words in it says that its text is a prompt."""

# In `template_name`, `prompt_version` and the like the last word says that it is something else.
_OTHER_LAST_WORDS = frozenset(
    {
        "id",
        "name",
        "path",
        "file",
        "filename",
        "dir",
        "version",
        "type",
        "url",
        "key",
        "format",
        "engine",
        "model",
    }
    | {"suffix", "hash", "language", "lang", "author", "date", "tag", "tags", "description", "title", "role"}
)
_CONTAINERS = frozenset({"prompts", "instructions", "templates"})
_PROMPT_ROLES = frozenset({"system", "developer", "user", "human"})
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def is_called_a_prompt(path: FieldPath, text: str, roles: Mapping[FieldPath, str]) -> bool:
    """Whether the keys that lead to a text say that it is a prompt.

    The last key does if it has a word of `PROMPT_WORDS` and does not end in one such as `name` or `version`; so
    does a key `prompts`, `instructions` or `templates` for the texts right below it; so does a chat message for
    its content, unless the assistant says it. A text of a single word is none.
    """
    if len(text.split()) < 2:
        return False
    message = path[:-1]
    if message in roles:
        return path[-1] in CONTENT_KEYS and roles[message] in _PROMPT_ROLES
    if len(path) > 2 and path[-1] == "text" and path[-3] == "content" and path[:-3] in roles:
        return roles[path[:-3]] in _PROMPT_ROLES
    if _says_prompt(path[-1]):
        return True
    above = next((key for key in reversed(message) if isinstance(key, str)), "")
    is_right_below = (
        len(path) > 1 and above in path[-3:-1] and (path[-2] == above or isinstance(path[-1], int))
    )
    return (
        is_right_below
        and _words(above)[-1:] in [[word] for word in _CONTAINERS]
        and not _says_other(path[-1])
    )


def looks_like_a_prompt(path: FieldPath, text: str, roles: Mapping[FieldPath, str]) -> bool:
    """Whether a text is called a prompt, or has several lines. What documents a program is none."""
    if path and path[-1] == "__doc__":
        return False
    return is_called_a_prompt(path, text, roles) or "\n" in text.strip()


def _says_prompt(key: str | int) -> bool:
    words = _words(key)
    return not PROMPT_WORDS.isdisjoint(words) and not _says_other(key)


def _says_other(key: str | int) -> bool:
    return not _OTHER_LAST_WORDS.isdisjoint(_words(key)[-1:])


def _words(key: str | int) -> list[str]:
    return [word.lower() for word in _WORD.findall(key)] if isinstance(key, str) else []
