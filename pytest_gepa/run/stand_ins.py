"""Variables by which the SDKs of models find their servers, as a recording has them: without keys and servers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

NO_KEY = "replayed"
"""What stands for a key."""

_NO_SERVER = "http://replay.invalid"
_PROVIDERS = (
    "OPENAI|AZURE|AZURE_OPENAI|AZURE_AI|ANTHROPIC|MISTRAL|COHERE|CO|GROQ|TOGETHER|TOGETHERAI|FIREWORKS|DEEPSEEK|XAI"
    "|GEMINI|GOOGLE|OPENROUTER|PERPLEXITY|PERPLEXITYAI|CEREBRAS|OLLAMA|LITELLM|VOYAGE|GEPA_REFLECTION"
)
_KEY = re.compile(rf"(?:{_PROVIDERS})_API_KEY")
_SERVER = re.compile(rf"(?:{_PROVIDERS})_(?:BASE_URL|API_BASE|API_BASE_URL|ENDPOINT)")
_VERSION = re.compile(rf"(?:{_PROVIDERS})_API_VERSION")
_VERSIONS = re.compile(r"[\w.-]{1,40}")
_PATHS = re.compile(r"(?:/[^?#\x00-\x1f\x7f\ud800-\udfff]*)?")


def stand_ins(environ: Mapping[str, str], redact: Callable[[str], str]) -> dict[str, str]:
    """The variables by which this run found its models, with neither keys nor servers, and none whose path holds a
    secret."""
    found = {}
    for name in sorted(environ):
        if _KEY.fullmatch(name):
            found[name] = NO_KEY
        elif _SERVER.fullmatch(name):
            path = urlsplit(environ[name]).path
            # Without a scheme the server stands in the path.
            if _PATHS.fullmatch(path) and redact(path) == path:
                found[name] = _NO_SERVER + path
        elif _VERSION.fullmatch(name) and _VERSIONS.fullmatch(environ[name]):
            found[name] = environ[name]
    return found


def left_out(environ: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """The names of those variables of servers that have no stand-in among the `found` ones."""
    return [name for name in sorted(environ) if _SERVER.fullmatch(name) and name not in found]


def is_stand_in(name: str, value: object) -> bool:
    """Whether `stand_ins` could have given a variable this value. A recording comes from elsewhere, and other variables
    can have a process run anything (`PYTHONWARNINGS`, `BROWSER`)."""
    if not isinstance(value, str):
        return False
    if _KEY.fullmatch(name):
        return value == NO_KEY
    if _SERVER.fullmatch(name):
        return value.startswith(_NO_SERVER) and _PATHS.fullmatch(value, len(_NO_SERVER)) is not None
    return _VERSION.fullmatch(name) is not None and _VERSIONS.fullmatch(value) is not None
