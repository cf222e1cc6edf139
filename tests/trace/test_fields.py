from __future__ import annotations

import base64
import json
import math
from typing import Any

import pytest

from pytest_gepa.trace.fields import (
    DEEPEST,
    Usage,
    count_of,
    dump,
    flatten,
    mean,
    other_texts,
    read_json,
    read_usage,
    schema_text,
    strings,
    tell,
    text_of,
    without_data,
)

PICTURE = base64.b64encode(b"x" * 812).decode()
LONG = "A" * 1_000


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
            "[image, 812 bytes]",
        ),
        ({"type": "input_image", "image_url": "https://h/a.png?sig=s3cret"}, "[image https://h/a.png]"),
        ({"type": "input_image", "file_id": "file-1"}, "[image]"),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}},
            "[image, 812 bytes]",
        ),
        ({"type": "image", "source": {"type": "url", "url": "https://h/b.png"}}, "[image https://h/b.png]"),
        ({"type": "input_audio", "input_audio": {"data": PICTURE, "format": "wav"}}, "[audio, 812 bytes]"),
        (
            {
                "type": "file",
                "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PICTURE}"},
            },
            "[file a.pdf, 812 bytes]",
        ),
        ({"type": "input_file", "filename": "b.pdf", "file_url": "https://h/b"}, "[file b.pdf https://h/b]"),
        (
            {"type": "document", "title": "T", "source": {"type": "base64", "data": PICTURE}},
            "[file T, 812 bytes]",
        ),
        ({"type": "document", "source": {"type": "text", "data": "the text"}}, "the text"),
        (
            {"type": "document", "source": {"type": "content", "content": [{"text": "a"}, {"text": "b"}]}},
            "a\nb",
        ),
        ({"type": "search_result", "title": "T", "content": [{"type": "text", "text": "found"}]}, "found"),
        ({"type": "video_url", "video_url": {"url": "gs://b/v.mp4"}}, "[video gs://b/v.mp4]"),
        ({"type": "output_audio", "transcript": "spoken"}, "spoken"),
        ({"type": "refusal", "refusal": "No."}, "[refusal] No."),
        ({"type": "thinking", "thinking": "hm"}, ""),
        ({"type": "text", "text": ""}, ""),
        ({"type": "strange"}, "[strange]"),
        ({}, "[part]"),
        (7, "7"),
        (None, ""),
    ],
)
def test_a_part_is_its_text_or_a_note_of_what_it_is(part: Any, expected: str) -> None:
    assert flatten([part]) == expected


def test_parts_are_joined_by_line_ends() -> None:
    assert flatten(["a", {"type": "text", "text": "b"}, None]) == "a\nb"


def test_what_is_nested_too_deep_is_not_looked_into() -> None:
    deep: Any = "x"
    for _ in range(3 * DEEPEST):
        deep = {"type": "tool_result", "description": "d", "content": [deep]}
    assert flatten(deep) == "[tool_result]"
    assert len(list(strings(deep))) <= 2 * DEEPEST
    assert "[nested too deep]" in dump(without_data(deep))
    assert tell(deep)
    for _ in range(50_000):
        deep = [deep]
    assert dump(deep) == "[nested too deep]"
    assert read_json("[" * 200_000) is None


def test_numbers_of_any_kind_are_read() -> None:
    assert [count_of(value) for value in (3, 2.9, -1, 0, math.inf, math.nan, "5", None, [1])] == [
        *(3, 2, 0, 0, 0, 0, 0, 0, 0)
    ]
    assert mean([1, None, "x", math.nan, 3.0, math.inf]) == 2.0
    assert mean([]) is None


def test_usage_is_read_under_the_names_of_several_servers() -> None:
    chat = {
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    response = {
        "input_tokens": 9,
        "output_tokens": 5,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens_details": {"reasoning_tokens": 3},
    }
    assert read_usage(chat) == read_usage(response) == Usage(9, 5, 4, 3)
    assert read_usage({"prompt_tokens": 9, "prompt_cache_hit_tokens": 4}) == Usage(9, 0, 4, 0)
    both = {"cached_tokens": 4, "cache_write_tokens": 2}
    assert read_usage({"prompt_tokens": 9, "prompt_tokens_details": both}) == Usage(9, 0, 4, 0, 2)
    assert read_usage({"input_tokens": 9, "input_tokens_details": both}) == Usage(9, 0, 4, 0, 2)
    apart = {"cache_read_input_tokens": 4, "cache_creation_input_tokens": 2}
    assert read_usage({"input_tokens": 3, **apart}) == Usage(9, 0, 4, 0, 2)
    assert read_usage({"prompt_tokens": 9, **apart}) == Usage(9, 0, 4, 0, 2)
    converse = {"inputTokens": 3, "cacheReadInputTokens": 4, "cacheWriteInputTokens": 2}
    assert read_usage(converse) == Usage(9, 0, 4, 0, 2)
    assert read_usage(None) == read_usage({"prompt_tokens": math.inf}) == Usage()


def test_tokens_of_audio_are_among_the_others() -> None:
    chat = {
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "prompt_tokens_details": {
            "audio_tokens": 6,
            "cached_tokens": 4,
            "cached_tokens_details": {"audio_tokens": 2, "text_tokens": 2},
        },
        "completion_tokens_details": {"audio_tokens": 3},
    }
    assert read_usage(chat) == Usage(9, 5, 4, input_audio_tokens=6, output_audio_tokens=3, cache_audio_tokens=2)


@pytest.mark.parametrize(
    ("sent", "got", "details"),
    [
        ("prompt_tokens", "completion_tokens", "completion_tokens_details"),
        ("input_tokens", "output_tokens", "output_tokens_details"),
    ],
)
def test_reasoning_that_a_server_counts_apart_from_the_output_is_paid_for(sent: str, got: str, details: str) -> None:
    apart = {sent: 12, got: 2, "total_tokens": 331, details: {"reasoning_tokens": 317}}
    assert read_usage(apart) == Usage(12, 319, 0, 317)
    # OpenAI's rule: the total is that of input and output.
    among = {sent: 12, got: 319, "total_tokens": 331, details: {"reasoning_tokens": 317}}
    assert read_usage(among) == Usage(12, 319, 0, 317)
    del among["total_tokens"]
    assert read_usage(among) == Usage(12, 319, 0, 317)
    assert read_usage({sent: 12, got: 2, "total_tokens": 14}) == Usage(12, 2)


def test_any_value_is_told_without_the_data_in_it() -> None:
    assert tell([{"type": "text", "text": "a"}, "b", {"score": 0, "none": None, "image": LONG}]) == (
        'a\nb\n{"score": 0, "image": "[1000 characters of data]"}'
    )
    assert tell({"type": "odd", "why": "é"}) == '{"type": "odd", "why": "é"}'
    assert text_of({"a": [1, True]}) == '{"a": [1, true]}'


def test_the_texts_beside_the_messages_are_descriptions_and_what_is_longer_than_a_name() -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "look_it_up_in_the_long_book",
            "description": "Looks.",
            "parameters": {"properties": {"where": {"enum": ["a", "the city of Paris"], "description": "Place."}}},
        },
    }
    server = {
        "type": "mcp",
        "server_description": "Wiki.",
        "headers": {"x": "a" * 20},
        "authorization": "b" * 20,
    }
    body = {
        "model": "a model with a long name",
        "messages": ["the messages are read"],
        "user": "whoever asks is no content",
        "tools": [tool, tool, server],
        "prediction": {"type": "content", "content": "the whole text as it was"},
        "stop": ["END"],
        "image": LONG,
    }
    assert other_texts(body, "messages") == (
        "look_it_up_in_the_long_book",
        "Looks.",
        "the city of Paris",
        "Place.",
        "Wiki.",
        "the whole text as it was",
        "[1000 characters of data]",
    )


def test_a_schema_is_one_line_and_cut() -> None:
    assert schema_text({"type": "object"}) == json.dumps({"type": "object"})
    assert schema_text(None) == ""
    assert len(schema_text({"enum": ["x" * 90_000]})) == 4_000


def test_strings_under_the_names_of_secrets_are_left_out_however_the_names_are_spelled() -> None:
    secret = (
        *("password", "dbPassword", "client_secret", "clientSecret", "SecretAccessKey", "AccessKeyId"),
        *("api-key", "privateKey", "access_token", "accessToken", "SessionToken", "token", "x-auth-token"),
        *("Authorization", "passphrase", "apiKey", "ocp-apim-subscription-key"),
    )
    other = ("maxTokens", "tokenCount", "tokens", "tokenType", "key", "author", "keyId", "text")
    told = list(strings({name: f"of {name}" for name in (*secret, *other)}))

    assert told == [(name, f"of {name}") for name in other]
