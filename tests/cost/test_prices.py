"""The user's table of prices, what is published, and the most that a request can come to."""

from __future__ import annotations

import importlib.util
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.cost.estimate import OVERHEAD, Unbounded, most, requests_in
from pytest_gepa.cost.prices import Price, PriceList, Tokens, published
from pytest_gepa.errors import SettingsError

GPT = "gpt-5 input=1.25 output=10 cached=0.125 max_output=128000"
ONE = Price(Decimal(1), Decimal(2))
"""A billionth of a dollar is a thousandth of the price of a token of input."""


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "Grüße"}], **fields}).encode()


# The table


def test_a_line_of_the_table_prices_each_kind_of_token() -> None:
    price = PriceList([GPT]).find("gpt-5")
    assert price is not None
    assert price.max_output == 128_000
    assert price.price(Tokens(1_000_000, 0)) == 1_250_000_000
    assert price.price(Tokens(0, 1_000_000)) == 10_000_000_000
    assert price.price(Tokens(1_000_000, 0, cached=400_000)) == 600_000 * 1250 + 400_000 * 125


def test_without_a_price_of_their_own_cached_tokens_cost_what_others_do() -> None:
    assert ONE.price(Tokens(100, 0, cached=50, written=50)) == ONE.price(Tokens(100, 0))


def test_a_price_is_rounded_up() -> None:
    assert Price(Decimal("0.0001"), Decimal(0)).price(Tokens(1)) == 1


def test_an_exact_name_goes_before_a_pattern_and_the_first_pattern_before_others() -> None:
    prices = PriceList(["local-* input=0 output=0", "* input=1 output=1", "local-big input=2 output=2"])
    names = ("local-big", "local-small", "gpt-5", "")
    assert [prices.find(name).price(Tokens(1000)) for name in names] == [2_000_000, 0, 1_000_000, 1_000_000]  # type: ignore[union-attr]


def test_empty_lines_and_comments_are_passed_over() -> None:
    assert PriceList(["", "  # of last week", GPT]).lines == (GPT,)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("gpt-5", "input= and output= are needed"),
        ("gpt-5 input=1", "input= and output= are needed"),
        ("gpt-5 input=1 output=cheap", "'output=cheap' is not valid; expected USD per million tokens"),
        ("gpt-5 input=-1 output=1", "'input=-1' is not valid"),
        ("gpt-5 input=nan output=1", "'input=nan' is not valid"),
        ("gpt-5 input=1 output=1 outptu=2", "'outptu=2' is not valid; a line is a model"),
        ("gpt-5 input=1 output=1 input=2", "'input=2' is not valid"),
        ("gpt-5 1.25 10", "'1.25' is not valid"),
        (
            "gpt-5 input=1 output=1 max_output=0",
            "'max_output=0' is not valid; expected a whole number of tokens",
        ),
        ("gpt-5 input=1 output=1 context=1.5", "'context=1.5' is not valid"),
    ],
)
def test_a_line_that_cannot_be_read_is_said_with_its_mend(line: str, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        PriceList([line])
    assert told in str(caught.value)
    assert repr(line) in str(caught.value)


def test_two_lines_for_a_model_are_one_too_many() -> None:
    with pytest.raises(SettingsError, match="gpt-5 has two lines"):
        PriceList([GPT, "gpt-5 input=1 output=1"])


# What is published


needs_published = pytest.mark.skipif(
    importlib.util.find_spec("genai_prices") is None, reason="genai-prices is not installed"
)


@needs_published
def test_a_model_that_is_not_in_the_table_is_looked_for_among_published_prices() -> None:
    prices = PriceList(["gpt-4o input=7 output=7"])
    own, other = prices.find("gpt-4o"), prices.find("gpt-5")
    assert own is not None
    assert own.price(Tokens(1_000_000)) == 7 * 10**9
    assert other is not None
    assert other.price(Tokens(1000, 100)) > other.price(Tokens(1000, 100, cached=900)) > 0
    assert other.max_output is not None
    assert other.max_output > 100_000
    assert prices.find("a-model-of-nobody") is None


@needs_published
def test_a_provider_before_a_slash_is_understood() -> None:
    plain, named = (PriceList().find(model) for model in ("gpt-5", "openai/gpt-5"))
    assert plain is not None
    assert named is not None
    assert plain.price(Tokens(1000, 100)) == named.price(Tokens(1000, 100))


@needs_published
def test_tokens_of_audio_have_their_own_price_where_one_is_published() -> None:
    flash, audio, plain = (published(model) for model in ("gemini-2.5-flash", "gpt-audio", "gpt-5"))
    assert flash is not None
    assert audio is not None
    assert plain is not None
    assert flash.price(Tokens(1000, 0, input_audio=400)) == 600 * 300 + 400 * 1000
    assert audio.price(Tokens(1000, 0, input_audio=400)) > audio.price(Tokens(1000))
    assert audio.price(Tokens(0, 1000, output_audio=400)) > audio.price(Tokens(0, 1000))
    assert plain.price(Tokens(1000, 100, input_audio=400, output_audio=50)) == plain.price(Tokens(1000, 100))
    assert ONE.price(Tokens(1000, 100, input_audio=400, output_audio=50)) == ONE.price(Tokens(1000, 100))


@needs_published
def test_audio_in_the_server_s_cache_is_as_cheap_as_is_told() -> None:
    flash = published("gemini-2.5-flash")
    assert flash is not None
    told = flash.price(Tokens(1000, 0, cached=700, input_audio=400, cached_audio=400))
    untold = flash.price(Tokens(1000, 0, cached=700, input_audio=400))
    assert told < untold
    assert untold == flash.price(Tokens(1000, 0, cached=700, input_audio=400, cached_audio=100)), "at least so many"


counts = st.integers(0, 5000)


@needs_published
@given(st.sampled_from(["gemini-2.5-flash", "gpt-audio", "gpt-realtime", "gpt-5"]), *[counts] * 7)
def test_no_use_of_audio_passes_the_bound_whatever_is_counted(
    model: str, entered: int, output: int, read: int, kept: int, heard: int, spoken: int, heard_again: int
) -> None:
    tariff = published(model)
    assert tariff is not None
    sound = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}
    asked = body(max_tokens=max(1, output), content=[sound], text="x" * 20_000)
    price = tariff.price(Tokens(entered, output, read, kept, heard, spoken, heard_again))
    assert 0 <= price <= most(model, tariff, asked)


@needs_published
def test_only_what_may_hold_audio_is_bounded_by_its_price() -> None:
    flash = published("gemini-2.5-flash")
    assert flash is not None
    assert flash.context is not None
    image = {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgoFiLE="}}]}]}
    video = {"contents": [{"parts": [{"fileData": {"fileUri": "https://youtu.be/x"}}]}]}
    bounds = [most("m", flash, json.dumps({"max_tokens": 1, **asked}).encode()) for asked in (image, video)]
    assert bounds == [
        flash.price(Tokens(flash.context, 1)),
        flash.price(Tokens(flash.context, 1, input_audio=flash.context)),
    ]
    assert most("m", flash, body(max_tokens=1)) == flash.price(Tokens(len(body(max_tokens=1)) + OVERHEAD, 1))


# The most that a request can come to


def test_input_is_bounded_by_the_bytes_of_the_body_and_output_by_max_tokens() -> None:
    asked = body(max_tokens=50)
    assert most("m", ONE, asked) == ONE.price(Tokens(len(asked) + OVERHEAD, 50))


@pytest.mark.parametrize(
    ("fields", "output"),
    [
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 7}, 7),
        ({"max_output_tokens": 7}, 7),
        ({"max_tokens": 7, "max_completion_tokens": 9}, 9),
        ({"generationConfig": {"maxOutputTokens": 7, "candidateCount": 2}}, 14),
        ({"options": {"num_predict": 7}}, 7),
        ({"max_tokens": 7, "n": 3}, 21),
        ({"max_tokens": 7, "n": 2, "best_of": 5}, 35),
        ({"max_tokens": 7, "prompt": ["a", "b", "c"]}, 21),
        ({"max_tokens": -1}, 1000),
        ({"max_tokens": None, "n": 2}, 2000),
        ({"max_tokens": "many"}, 1000),
        ({}, 1000),
    ],
)
def test_output_is_bounded_by_what_is_asked_for_or_by_the_model(fields: dict[str, Any], output: int) -> None:
    price = Price(Decimal(0), Decimal(1), max_output=1000)
    assert most("m", price, body(**fields)) == price.price(Tokens(0, output))


def test_a_request_without_a_bound_names_the_mend() -> None:
    with pytest.raises(Unbounded, match=r"'m' sets no max_tokens.*or give the model's max_output= in gepa_prices"):
        most("m", ONE, body())
    assert most("m", Price(Decimal(1), Decimal(0)), body()) > 0, "free output needs no bound"
    assert most("m", ONE, body(), answers=False) > 0, "vectors are no output"


@pytest.mark.parametrize(
    "fields",
    [
        {"previous_response_id": "resp_1"},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b.png"}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"data": "aGk="}}]}]},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]},
        {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "aGk="}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "audio_url", "audio_url": {"url": "https://a/b"}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": "https://a/b"}}]}]},
        {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]},
        {"tools": [{"type": "web_search"}]},
        {"tools": [{"url_context": {}}]},
        {"tools": [{"googleSearch": {}}, {"functionDeclarations": []}]},
        {"tools": [{"google_search_retrieval": {"dynamic_retrieval_config": {"mode": "MODE_DYNAMIC"}}}]},
        {"tools": [{"codeExecution": {}}]},
        {"tools": [{"fileSearch": {"fileSearchStoreNames": ["stores/a"]}}]},
        {"tools": [{"retrieval": {"vertexAiSearch": {"datastore": "a"}}}]},
        {"web_search_options": {}},
        {"prompt": {"id": "pmpt_1", "version": "2"}, "input": "hi"},
    ],
)
def test_what_refers_to_more_than_its_body_is_bounded_by_the_model_s_context(fields: dict[str, Any]) -> None:
    asked = (
        body(max_tokens=1, **fields) if "messages" not in fields else json.dumps({**fields, "max_tokens": 1}).encode()
    )
    with pytest.raises(Unbounded, match="give the model's context= in gepa_prices"):
        most("m", ONE, asked)
    wide = Price(Decimal(1), Decimal(0), context=500_000)
    assert most("m", wide, asked) == wide.price(Tokens(500_000))


@pytest.mark.parametrize(
    "fields",
    [
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": "hello"}]}]},
        {"previous_response_id": None},
        {
            "tools": [
                {
                    "type": "function",
                    "function": {"parameters": {"properties": {"container": {"type": "string"}}}},
                }
            ]
        },
        {"messages": [{"role": "user", "content": 'say {"type": "image", "file_id": "x"}'}]},
        {"messages": [{"role": "user", "content": 'say {"google_search": {}, "code_execution": {}}'}]},
        {"tools": [{"functionDeclarations": [{"parameters": {"properties": {"url_context": {"type": "STRING"}}}}]}]},
        {"tools": [{"functionDeclarations": [{"name": "google_search", "description": "Ours."}]}]},
        {"web_search_options": None},
        {"tools": [{"function": {"parameters": {"properties": {"prompt": {"type": "string"}}}}}]},
        {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}},
    ],
)
def test_words_refer_to_nothing(fields: dict[str, Any]) -> None:
    asked = json.dumps({"model": "m", "max_tokens": 1, **fields}).encode()
    assert most("m", ONE, asked) == ONE.price(Tokens(len(asked) + OVERHEAD, 1))


# A batch of requests


def batch(holder: str, *asked: Any, **fields: Any) -> bytes:
    return json.dumps(
        {"requests": [{"custom_id": str(at), holder: one} for at, one in enumerate(asked)], **fields}
    ).encode()


@pytest.mark.parametrize("holder", ["params", "body", "request"])
def test_a_batch_is_all_of_its_requests(holder: str) -> None:
    one, two = ({"model": "m", "max_tokens": count, "messages": []} for count in (7, 11))
    parts = requests_in("first", batch(holder, one, two))
    assert [(model, json.loads(part)) for model, part in parts] == [("m", one), ("m", two)]
    assert sum(most(model, ONE, part) for model, part in parts) >= ONE.price(Tokens(2 * OVERHEAD, 18))


def test_a_batch_may_leave_the_model_to_what_stands_for_it() -> None:
    parts = requests_in("m", batch("body", {"max_tokens": 7}, {}, None, model="m"))
    assert [(model, json.loads(part)) for model, part in parts] == [
        ("m", {"max_tokens": 7}),
        ("m", {}),
        ("m", {}),
    ]


def test_text_of_a_batch_has_no_fewer_bytes_than_it_came_in() -> None:
    asked = {"model": "m", "system": "Grüße, 世界 \U0001f600"}
    ((_, part),) = requests_in("m", batch("params", asked))
    assert len(part) >= len(json.dumps(asked, ensure_ascii=False).encode())


@pytest.mark.parametrize(
    "asked",
    [
        body(max_tokens=7),
        body(text='"requests"'),
        b'{"requests": [], "model": "m"}',
        b'{"requests": [{"model": "m", "content": {"parts": []}}]}',
        b'{"requests": {"params": {}}}',
        b'{"requests": ',
        b'["requests"]',
    ],
)
def test_any_other_request_is_one(asked: bytes) -> None:
    assert requests_in("m", asked) == [("m", asked)]


prices = st.decimals(0, 100, places=4)


@given(
    prices,
    prices,
    st.none() | prices,
    st.none() | prices,
    st.integers(1, 5000),
    st.integers(0, 5000),
    st.integers(0, 5000),
    st.integers(0, 5000),
)
def test_no_use_of_the_server_s_cache_passes_the_bound(
    one: Decimal,
    two: Decimal,
    cached: Decimal | None,
    written: Decimal | None,
    output: int,
    entered: int,
    read: int,
    kept: int,
) -> None:
    price = Price(one, two, cached, written)
    asked = body(max_tokens=output, text="x" * 5000)
    assert len(asked) > entered
    assert price.price(Tokens(entered, output, read, kept)) <= most("m", price, asked)


def test_more_that_was_cached_than_input_is_priced_as_input_that_was_cached() -> None:
    """Some gateways count what a server read from its cache apart from the input."""
    tariff = published("gpt-4o-mini")
    assert tariff is not None
    assert tariff.price(Tokens(10, 1, cached=5_000)) == tariff.price(Tokens(5_000, 1, cached=5_000))
