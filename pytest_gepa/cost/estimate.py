"""The most that a request can come to, known before it is sent."""

from __future__ import annotations

import json
import re
from typing import Any

from pytest_gepa.cost.prices import Tariff, Tokens

OVERHEAD = 1_000
"""Tokens of input that a server may add of its own: how a chat is framed, what tells a model of its tools."""

OUTPUT_LIMITS = (
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "maxOutputTokens",
    "maxTokens",
    "max_tokens_to_sample",
    "max_new_tokens",
    "num_predict",
)
ANSWERS = ("n", "best_of", "candidateCount")
HOLDERS = ("generationConfig", "generation_config", "inferenceConfig", "options", "parameters")
"""Objects in which some protocols keep the like."""

BATCHED = ("params", "body", "request")
"""Objects in which a batch keeps what each of its `requests` asks: Anthropic's, Mistral's, Gemini's."""

_ELSEWHERE = re.compile(
    rb'"(?:previous_response_id|conversation|file_ids?|file_url|file_uri|fileUri|fileData|file_data|image_url'
    rb"|audio_url|video_url|input_audio|inline_?[dD]ata|cached_?[cC]ontent|container|vector_store_ids|server_url"
    rb"|document_url)"
    rb'"\s*:(?!\s*(?:null|""|\[\]|\{\}|\{\s*"(?:type|description|title|anyOf|allOf|oneOf|\$ref|enum|const)"))|'
    rb'"type"\s*:\s*"(?:image|document|audio|video|file|(?:input_|web_|file_|code_|computer|mcp)[a-z_0-9]*)"|'
    # What a model has spoken before, by its number.
    rb'"audio"\s*:\s*\{\s*"id"\s*:|'
    # A prompt that the server keeps.
    rb'"prompt"\s*:\s*\{\s*"(?:id|version|variables)"\s*:|'
    # Gemini declares its tools by a key, whose value may be empty; so does OpenAI's search in a chat completion.
    rb'"(?i:google_?search(?:_?retrieval)?|url_?context|code_?execution|google_?maps|(?:enterprise_?)?web_?search|'
    rb"web_search_options|file_?search|computer_?use|vertex_?ai_?search|vertex_?rag_?store|external_?api|mcp_?servers)"
    rb'"\s*:(?!\s*(?:null|false|"|\[\]|\{\s*"(?:type|description|title|anyOf|allOf|oneOf|\$ref|enum|const)"))'
)
"""What makes a request's input larger than its body: media, which are counted by their size in pixels or seconds, what
stands on the server, and tools that the server runs and reads. A property of that name in a schema is none of these."""

_WORDS = b'"input_text"'

_SOUND = re.compile(
    rb'"(?:data:)?[a-z_]{0,20}(?:audio|video|file)|"(?:previous_response_id|conversation|cached_?content)"',
    re.IGNORECASE,
)
"""How a string or a name begins without which nothing is heard: what is larger than its body has images or pages in it
then. Not anywhere, as encoded images hold any letters."""


class Unbounded(Exception):
    """A request whose price has no bound that is known; the message names the mend."""


def requests_in(model: str, body: bytes) -> list[tuple[str, bytes]]:
    """The requests that a body makes, each with its model: those of a batch, else the body itself, of `model`."""
    listed = None
    if b'"requests"' in body:  # few bodies are worth a second parser
        listed = _read(body).get("requests")
    held = [_held(one) for one in listed] if isinstance(listed, list) else []
    if not any(one is not None for one in held):
        return [(model, body)]
    parts = [one or {} for one in held]
    # As JSON escapes them, letters have no fewer bytes than they came in.
    return [(str(part.get("model") or model), json.dumps(part).encode()) for part in parts]


def _held(request: Any) -> dict[str, Any] | None:
    holders = (request.get(name) for name in BATCHED) if isinstance(request, dict) else ()
    return next((held for held in holders if isinstance(held, dict)), None)


def most(model: str, tariff: Tariff, body: bytes, *, answers: bool = True) -> int:
    """The most that a request can cost, in billionths of a dollar. `answers` is False where none is written
    (embeddings).

    A token is at least a byte, so the input has no more tokens than the body has bytes, unless it refers to more.
    Raises `Unbounded`.
    """
    entered, heard = len(body) + OVERHEAD, 0
    if _ELSEWHERE.search(body.replace(_WORDS, b"")):
        if tariff.context is None and _has_price(tariff, Tokens(input=1)):
            raise Unbounded(
                f"a request to {model!r} holds media or refers to what stands elsewhere, so its cost has no bound that "
                "is known; give the model's context= in gepa_prices"
            )
        entered = max(entered, tariff.context or 0)
        heard = entered if _SOUND.search(body) else 0
    output = _most_output(model, tariff, body) if answers else 0
    # Whichever way the server's cache is used, and whatever is heard or spoken, it is no more than this.
    asked = [
        Tokens(entered, cached=cached, written=written, input_audio=audio, cached_audio=min(audio, cached))
        for cached, written in ((0, 0), (entered, 0), (0, entered))
        for audio in {0, heard}
    ]
    kinds = (tokens._replace(output=output, output_audio=spoken) for tokens in asked for spoken in {0, output})
    return max(map(tariff.price, kinds))


def _most_output(model: str, tariff: Tariff, body: bytes) -> int:
    asked = _read(body)
    settings = [asked, *(asked[name] for name in HOLDERS if isinstance(asked.get(name), dict))]
    limits = [count for one in settings for name in OUTPUT_LIMITS if (count := _count(one.get(name)))]
    limit = max(limits, default=0) or tariff.max_output
    if limit is None:
        if not _has_price(tariff, Tokens(output=1)):
            return 0
        raise Unbounded(
            f"a request to {model!r} sets no max_tokens, and its longest answer is not known; set max_tokens (or "
            "max_completion_tokens, max_output_tokens), or give the model's max_output= in gepa_prices"
        )
    several = max((count for one in settings for name in ANSWERS if (count := _count(one.get(name)))), default=1)
    prompts = asked.get("prompt")
    if isinstance(prompts, list) and prompts and isinstance(prompts[0], (str, list)):
        several *= len(prompts)  # a legacy completion for each
    return limit * several


def _read(body: bytes) -> dict[str, Any]:
    """The object that a body is; an empty one for anything else."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _count(value: Any) -> int:
    """A number of 1 or more; 0 for anything else, also for -1, by which some servers mean no limit."""
    return int(value) if isinstance(value, (int, float)) and 1 <= value < 10**12 else 0


def _has_price(tariff: Tariff, tokens: Tokens) -> bool:
    return tariff.price(tokens) > 0
