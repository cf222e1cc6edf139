"""Which texts of a data file or a program look like prompts: the rule for files whose texts nobody has named."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pytest_gepa.prompts.addresses import CONTENT_KEYS, FieldPath

PROMPT_WORDS = frozenset(
    [
        "prompt",
        "prompts",
        "system",
        "instruction",
        "instructions",
        "template",
        "templates",
        "persona",
        "preamble",
    ]
)
"""A key with one of these words in it says that its text is a prompt."""

# In `template_name`, `prompt_version` and the like the last word says that it is something else.
_OTHER_LAST_WORDS = frozenset(
    {"id", "name", "title", "path", "file", "filename", "dir", "suffix", "url", "version", "hash", "date"}
    | {"author", "type", "format", "engine", "model", "key", "role", "language", "lang", "tag", "tags"}
    | {"description"}
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
    names = [_words(key) for key in path if isinstance(key, str)]  # a list is called what its key says
    if not names or _last(names[-1]) in _OTHER_LAST_WORDS:
        return False
    return not PROMPT_WORDS.isdisjoint(names[-1]) or (len(names) > 1 and _last(names[-2]) in _CONTAINERS)


def looks_like_a_prompt(path: FieldPath, text: str, roles: Mapping[FieldPath, str]) -> bool:
    """Whether a text is called a prompt, or has several lines. What documents a program is none."""
    if path and path[-1] == "__doc__":
        return False
    return is_called_a_prompt(path, text, roles) or "\n" in text.strip()


def _words(key: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(key)]


def _last(words: list[str]) -> str:
    return words[-1] if words else ""
