"""Tolerant reading of the JSON that model APIs send: fields as text whatever their type, contents with notes in place
of what is no text, usage, schemas. Which field means what in which API is in that API's own module."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pytest_gepa.trace.cut import beginning

DEEPEST = 50
"""Levels of nesting that are looked into. No API comes near, and a body may be built to exhaust the stack."""

LONGEST_SCHEMA = 4_000
"""Characters that are kept of the schema that an answer is asked to follow."""

SO_FAR = "so far: "
"""What stands behind it in an error is the beginning of an answer, a model's own words."""

WHO_ASKS = frozenset({"metadata", "prompt_cache_key", "safety_identifier", "user"})
"""Fields of a body that say who asks, not what, in the protocols that are known."""

THOUGHTS = ("thinking", "redacted_thinking", "reasoning")
"""Kinds of content parts that are no words of the answer."""

_SECRET_FIELD = re.compile(
    r"secret|password|passwd|passphrase|credential|authorization"
    r"|(?:api|access|private|signing|subscription)[_-]?key|(?:^|[_-]|(?-i:(?<=[a-z])(?=T)))token$",
    re.IGNORECASE,
)
_LONGER_THAN_A_NAME = 16
_ENCODED = re.compile(r"[\w+/-]{1000,}=*", re.ASCII)
_NO_TEXT = {
    "image": "image",
    "screenshot": "image",
    "audio": "audio",
    "video": "video",
    "file": "file",
    "document": "file",
}
_SOURCES = ("url", "image_url", "file_url", "data", "file_data", "fileUri", "uri")
_NAMES = ("filename", "title", "displayName")


class Usage(NamedTuple):
    """Tokens by a server's own count, 0 where it sent none. Those read from its cache, or written to it, are among the
    input, those of reasoning among the output. Of the input, of the output and of what was read from the cache some are
    audio."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    cache_audio_tokens: int = 0


# Values


def read_json(body: bytes | str) -> Any:
    """Parse JSON, None for what is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def read_object(body: bytes | str) -> dict[str, Any] | None:
    """Parse a JSON object, None for anything else."""
    data = read_json(body)
    return data if isinstance(data, dict) else None


def object_of(value: Any) -> dict[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items_of(value: Any) -> Sequence[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def objects_of(value: Any) -> list[dict[str, Any]]:
    """The objects in a list; none if it is no list."""
    return [item for item in items_of(value) if isinstance(item, dict)]


def text_of(value: Any) -> str:
    """The value if it is a string, "" for None, else its JSON."""
    return "" if value is None else dump(value)


def dump(value: Any) -> str:
    """The value if it is a string, else its JSON on one line, for people to read."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return "[nested too deep]"


def first_text(data: Mapping[str, Any], *names: str) -> str:
    """The first of several fields that holds a text."""
    return next((value for name in names if isinstance(value := data.get(name), str) and value), "")


def count_of(value: Any) -> int:
    """The value if it is a number above 0, else 0."""
    is_count = isinstance(value, (int, float)) and math.isfinite(value) and value > 0
    return int(value) if is_count else 0


def mean(values: Iterable[Any]) -> float | None:
    """The mean of those values that are finite numbers, None when none is."""
    numbers = [value for value in values if isinstance(value, (int, float)) and math.isfinite(value)]
    return math.fsum(numbers) / len(numbers) if numbers else None


def read_error(data: Any) -> str:
    """The text of an `error` field, an object or a string, with its code if that is a number; "" if there is none."""
    if not isinstance(data, dict):
        return text_of(data)
    message, code = text_of(data.get("message")), data.get("code")
    has_code = isinstance(code, int) and not isinstance(code, bool)
    return f"{message} (code {code})" if message and has_code else message or dump(data)


def _first_count(data: Mapping[str, Any], *names: str) -> int:
    return next((count for name in names if (count := count_of(data.get(name)))), 0)


def read_usage(data: Any) -> Usage:
    """Tokens under the names that OpenAI's protocols and their imitators give them, and Bedrock.

    Those of reasoning are among the output, also where a server counts them apart from it (xAI), as its total shows.
    """
    usage = object_of(data)
    sent = object_of(usage.get("prompt_tokens_details") or usage.get("input_tokens_details"))
    got = object_of(usage.get("completion_tokens_details") or usage.get("output_tokens_details"))
    read = _first_count(usage, "cache_read_input_tokens", "cacheReadInputTokens", "cacheReadInputTokenCount")
    written = _first_count(usage, "cache_creation_input_tokens", "cacheWriteInputTokens", "cacheWriteInputTokenCount")
    # Bedrock counts these apart from the input, as Anthropic does; gateways that speak OpenAI's protocol do not.
    is_apart = "prompt_tokens" not in usage and not sent
    apart = read + written if is_apart else 0
    entered = _first_count(usage, "prompt_tokens", "input_tokens", "inputTokens") + apart
    answered = _first_count(usage, "completion_tokens", "output_tokens", "outputTokens")
    reasoning = count_of(got.get("reasoning_tokens"))
    if _first_count(usage, "total_tokens", "totalTokens") == entered + answered + reasoning:
        answered += reasoning  # where they are among the output the total is less, or there are none
    return Usage(
        input_tokens=entered,
        output_tokens=answered,
        cache_read_tokens=count_of(sent.get("cached_tokens")) or count_of(usage.get("prompt_cache_hit_tokens")) or read,
        cache_write_tokens=count_of(sent.get("cache_write_tokens")) or written,
        reasoning_tokens=reasoning,
        input_audio_tokens=count_of(sent.get("audio_tokens")),
        output_audio_tokens=count_of(got.get("audio_tokens")),
        cache_audio_tokens=count_of(object_of(sent.get("cached_tokens_details")).get("audio_tokens")),
    )


# Contents


def flatten(content: Any, depth: int = 0) -> str:
    """The text of a message's content: a string, a list of parts, or nothing.

    Parts are joined by line ends. What is no text is noted in brackets with its size or address.
    """
    if isinstance(content, (list, tuple)):
        return "\n".join(filter(None, (_part(part, depth + 1) for part in content)))
    return _part(content, depth + 1)


def refusal(text: str) -> str:
    """A refusal as the content of a message."""
    return f"[refusal] {text}"


def _part(part: Any, depth: int) -> str:
    if not isinstance(part, dict):
        return text_of(part)
    kind = text_of(part.get("type"))
    if isinstance(part.get("refusal"), str):
        return refusal(part["refusal"])
    if kind in THOUGHTS:
        return ""
    if text := first_text(part, "text", "transcript", "content"):
        return text
    source = object_of(part.get("source"))
    if source.get("type") == "text":
        return text_of(source.get("data"))
    nested = part.get("content", source.get("content"))
    if isinstance(nested, (list, dict)) and depth < DEEPEST:
        return flatten(nested, depth)
    return media_note(part) or ("" if kind.endswith("text") else f"[{kind or 'part'}]")


def media_note(part: Mapping[str, Any]) -> str:
    """A note on a part that is an image, a sound or a file: its name, and its size or address; "" for others."""
    kind = text_of(part.get("type"))
    word = next((_NO_TEXT[name] for name in _NO_TEXT if name in kind), "")
    return media(word, part) if word else ""


def media(word: str, holder: Mapping[str, Any]) -> str:
    """A note on a medium by the object that holds it: `[image, 812 bytes]`, `[file a.pdf]`, `[image https://...]`."""
    # Some keep it in an object of their own, and that in another.
    inner = [object_of(value) for value in holder.values() if isinstance(value, dict)]
    holders = [holder, *inner, *(value for one in inner for value in one.values() if isinstance(value, dict))]
    name = next(filter(None, (first_text(one, *_NAMES) for one in holders)), "")
    source = next(filter(None, (first_text(one, *_SOURCES) for one in holders)), "")
    named = f"{word} {name}" if name else word
    if source.startswith(("http://", "https://", "gs://", "s3://")):
        # What follows may be a signature.
        return f"[{named} {source.partition('?')[0][:300]}]"
    encoded = source.partition(",")[2] if source.startswith("data:") else source
    return f"[{named}, {encoded_size(encoded):,} bytes]" if encoded else f"[{named}]"


def encoded_size(text: str) -> int:
    """Bytes that a text in base64 stands for."""
    return len(text.rstrip("=")) * 3 // 4


def is_data(text: str) -> bool:
    """Whether a text is data in disguise: a data URL, or a long run without a break."""
    return text.startswith("data:") or _ENCODED.fullmatch(text) is not None


def tell(value: Any) -> str:
    """Any value for a reader: the text of contents that are known, the JSON of others, without encoded data."""
    if isinstance(value, list):
        return "\n".join(filter(None, map(tell_one, value)))
    return tell_one(value)


def tell_one(value: Any) -> str:
    """As `tell`, for a single value."""
    if isinstance(value, dict) and ("type" in value or "text" in value):
        said = flatten([value])
        if said and said != f"[{value.get('type')}]":
            return said
    return dump(without_data(value))


def without_data(value: Any, depth: int = 0) -> Any:
    """The value with its size in place of each text that is encoded data; what is None or empty is dropped."""
    if isinstance(value, str):
        return f"[{len(value)} characters of data]" if is_data(value) else value
    if depth >= DEEPEST:
        return "[nested too deep]" if isinstance(value, (dict, list)) else value
    if isinstance(value, dict):
        kept = {name: without_data(item, depth + 1) for name, item in value.items()}
        return {name: item for name, item in kept.items() if item not in (None, "", [], {})}
    if isinstance(value, list):
        return [without_data(item, depth + 1) for item in value]
    return value


# Other texts and schemas


def strings(value: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """All strings inside a value, in order, each with the name of the field that it stands in.

    Encoded data is noted by its size; what is named like a secret, and headers, are left out.
    """
    if isinstance(value, str):
        if is_data(value):
            yield name, f"[{len(value)} characters of data]"
        elif not _SECRET_FIELD.search(name):
            yield name, value
    elif depth >= DEEPEST or name == "headers":
        return
    elif isinstance(value, dict):
        for inner, item in value.items():
            yield from strings(item, inner, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item, name, depth + 1)


def other_texts(data: Mapping[str, Any], *read: str) -> tuple[str, ...]:
    """The texts of a request beside those in the fields that are read as messages, each once: the descriptions of
    tools, of their parameters and of the answer's fields, and whatever else is longer than a name."""
    skipped = {"model", *WHO_ASKS, *read}
    rest = {name: value for name, value in data.items() if name not in skipped}
    told = (text for name, text in strings(rest) if name.endswith("description") or len(text) >= _LONGER_THAN_A_NAME)
    return tuple(dict.fromkeys(text for text in told if text.strip()))


def schema_of(form: Mapping[str, Any]) -> Any:
    """The schema that the format of an answer names, in either of OpenAI's protocols; the kind of the format where it
    has none, as of any JSON object; "" for plain text."""
    kind = text_of(form.get("type"))
    if kind == "json_schema":
        return form.get("schema") or object_of(form.get("json_schema")).get("schema")
    return "" if kind == "text" else kind


def schema_text(schema: Any) -> str:
    """A schema as one line of JSON, cut; "" for none."""
    return beginning(dump(schema), LONGEST_SCHEMA) if schema else ""
