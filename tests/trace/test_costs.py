"""What a call costs, whichever library makes it: reserved before it is sent, settled when it has ended."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import http.client
import importlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pytest_gepa.cost.bill import Account, Bill, Item
from pytest_gepa.cost.estimate import OVERHEAD
from pytest_gepa.cost.meter import Meter
from pytest_gepa.cost.prices import PriceList, Tokens
from pytest_gepa.cost.purse import CostStop, Purse
from pytest_gepa.trace import capture
from pytest_gepa.trace.admission import Target
from pytest_gepa.trace.cache import ResponseCache
from pytest_gepa.trace.recorder import Recorder
from tests.fake_openai import Answer, Body, FakeOpenAI, Stream
from tests.trace.conftest import LIBRARIES

ROOM = 10**9
PRICE = PriceList(["m input=1 output=1"])
Ask = Callable[[str, bytes], None]
JSON = {"Content-Type": "application/json"}


def body(**fields: Any) -> bytes:
    asked = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}], **fields}
    return json.dumps(asked).encode()


def through_httpx(url: str, data: bytes) -> None:
    httpx: Any = importlib.import_module(LIBRARIES[0])
    httpx.post(url, content=data, headers=JSON)


def through_async_httpx(url: str, data: bytes) -> None:
    httpx: Any = importlib.import_module(LIBRARIES[0])

    async def ask() -> None:
        async with httpx.AsyncClient() as client:
            await client.post(url, content=data, headers=JSON)

    asyncio.run(ask())


def through_requests(url: str, data: bytes) -> None:
    requests: Any = pytest.importorskip("requests")
    requests.post(url, data=data, headers=JSON)


def through_urllib3(url: str, data: bytes) -> None:
    urllib3: Any = pytest.importorskip("urllib3")
    with urllib3.PoolManager() as pool:
        pool.request("POST", url, body=data, headers=JSON, retries=False)


def through_aiohttp(url: str, data: bytes) -> None:
    aiohttp: Any = pytest.importorskip("aiohttp")

    async def ask() -> None:
        async with aiohttp.ClientSession() as session, session.post(url, data=data, headers=JSON) as answer:
            await answer.read()

    asyncio.run(ask())


def through_http_client(url: str, data: bytes) -> None:
    host, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host)
    connection.request("POST", f"/{path}", data, JSON)
    connection.getresponse().read()
    connection.close()


@pytest.fixture(
    params=[
        through_httpx,
        through_async_httpx,
        through_requests,
        through_urllib3,
        through_aiohttp,
        through_http_client,
    ],
    ids=lambda ask: ask.__name__.removeprefix("through_"),
)
def ask(request: pytest.FixtureRequest) -> Ask:
    chosen: Ask = request.param
    return chosen


class Shop:
    """A server, and a meter with a cap in billionths of a dollar."""

    def __init__(self, directory: Path, cap: int | None = ROOM) -> None:
        self.answer: Callable[[Body], Answer] = lambda request: "four words are these"
        self.server = FakeOpenAI(lambda request: self.answer(request))
        self.url = self.server.base_url + "/chat/completions"
        self.meter = Meter.create(directory / "costs", PRICE, cap)
        self.recorder = Recorder()
        self.directory = directory

    def install(self, *, stored: bool = False) -> None:
        cache = ResponseCache(self.directory / "cache") if stored else None
        capture.install(
            Target(
                self.recorder,
                cache,
                "search/0" if stored else None,
                meter=self.meter,
                holds_prompt=lambda asked: any("You are a kind clerk." in text for text in asked.texts),
            )
        )

    @property
    def purse(self) -> Purse:
        assert self.meter.purse is not None
        return self.meter.purse

    @property
    def billed(self) -> list[Tokens | None]:
        ended = [item.tokens for item in self.meter.bill.new() if item.has_ended]
        return [tokens for tokens in ended if tokens is None or any(tokens)]


@contextlib.contextmanager
def opened(shop: Shop) -> Iterator[Shop]:
    shop.install()
    shop.recorder.begin("case")
    try:
        yield shop
    finally:
        capture.uninstall()
        shop.server.close()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with opened(Shop(tmp_path)) as shop:
        yield shop
    assert shop.recorder.problems == ()


def test_a_call_costs_what_the_server_counted(shop: Shop, ask: Ask) -> None:
    ask(shop.url, body())
    standing = shop.purse.standing()
    assert (standing.spent, standing.reserved) == (1000 * (1 + 4), 0)
    assert standing.largest == 1000 * (len(body()) + OVERHEAD + 50)
    assert shop.billed == [Tokens(1, 4)]


def test_a_request_that_could_pass_the_cap_is_not_sent(shop: Shop, ask: Ask) -> None:
    with pytest.raises(CostStop, match="has no room for a request"):
        ask(shop.url, body(max_tokens=2_000_000))
    assert shop.server.requests == []
    recorded = shop.recorder.end()
    assert [call.error.partition(":")[0] for call in recorded.calls] == ["CostStop"]
    assert len(recorded.refused) == 1
    assert (shop.purse.standing().spent, shop.billed) == (0, [])


def test_a_model_without_a_price_is_not_asked(shop: Shop, ask: Ask) -> None:
    with pytest.raises(CostStop, match="the price of other is not known"):
        ask(shop.url, body(model="other"))
    assert shop.server.requests == []


def test_an_error_costs_nothing_unless_the_server_counted(shop: Shop, ask: Ask) -> None:
    shop.answer = lambda request: (429, {"error": {"message": "slow down"}})
    ask(shop.url, body())
    assert (shop.purse.standing().spent, shop.billed) == (0, [])
    shop.answer = lambda request: (500, {"error": {}, "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
    ask(shop.url, body())
    assert (shop.purse.standing().spent, shop.billed) == (5000, [Tokens(3, 2)])


def test_an_answer_without_a_count_costs_all_that_was_reserved(shop: Shop, ask: Ask) -> None:
    shop.answer = lambda request: {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}
    ask(shop.url, body())
    standing = shop.purse.standing()
    assert (standing.spent, standing.reserved) == (standing.largest, 0)
    assert shop.billed == [None]


def test_what_was_cut_off_on_its_way_back_costs_all_that_was_reserved(shop: Shop) -> None:
    shop.answer = lambda request: Stream([b"data: {}\n\n"], cut_off=True)
    with pytest.raises(Exception, match=r"peer closed|incomplete"):
        through_httpx(shop.url, body(stream=True))
    standing = shop.purse.standing()
    assert (standing.spent, standing.reserved) == (standing.largest, 0)


MESSAGE = [
    {"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    *[{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word "}}] * 30,
]
MESSAGE_END = [
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 40}},
    {"type": "message_stop"},
]
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
PARTS = [
    {
        "candidates": [{"content": {"parts": [{"text": "word "}]}}],
        "usageMetadata": {"promptTokenCount": 3, **count},
    }
    for count in ({}, {"candidatesTokenCount": 1})
]
PARTS_END = {
    "candidates": [{"content": {"parts": [{"text": "end"}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 40},
}
STREAMS = {
    "anthropic": ("/messages", body(stream=True)),
    "gemini": (
        "/models/m:streamGenerateContent?alt=sse",
        json.dumps({"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": {"maxOutputTokens": 50}}).encode(),
    ),
}
ENDED = {"anthropic": [*MESSAGE, *MESSAGE_END], "gemini": [*PARTS, PARTS_END]}
BROKEN = {
    "anthropic": MESSAGE,
    "anthropic, error": [*MESSAGE, OVERLOADED],
    "gemini": PARTS,
    "gemini, error": [*PARTS, {"error": {"code": 503, "message": "overloaded"}}],
}


def events(told: list[Body]) -> list[bytes]:
    return [f"data: {json.dumps(one)}\n\n".encode() for one in told]


def _leave(response: Any) -> None:
    next(response.iter_raw())


def _read_on(response: Any) -> None:
    response.read()


@pytest.mark.parametrize("read", [_leave, _read_on, None], ids=["left", "streamed", "whole"])
@pytest.mark.parametrize("name", BROKEN)
def test_a_stream_without_its_end_costs_all_that_was_reserved(
    shop: Shop, name: str, read: Callable[[Any], None] | None
) -> None:
    """What it has told of its tokens until then is not what the server will charge."""
    httpx: Any = importlib.import_module(LIBRARIES[0])
    shop.answer = lambda request: Stream(events(BROKEN[name]))
    path, data = STREAMS[name.partition(",")[0]]
    url = shop.url.replace("/chat/completions", path)
    if read is None:
        httpx.post(url, content=data, headers=JSON)
    else:
        with httpx.stream("POST", url, content=data, headers=JSON) as response:
            read(response)
    standing = shop.purse.standing()
    assert (standing.spent, standing.reserved) == (standing.largest, 0)
    assert shop.billed == [None]


@pytest.mark.parametrize("name", ENDED)
def test_a_whole_stream_costs_what_the_server_counted_last(shop: Shop, ask: Ask, name: str) -> None:
    shop.answer = lambda request: Stream(events(ENDED[name]))
    path, data = STREAMS[name]
    ask(shop.url.replace("/chat/completions", path), data)
    assert (shop.purse.standing().spent, shop.billed) == (43_000, [Tokens(3, 40)])


def test_where_no_connection_came_about_nothing_is_spent(shop: Shop, ask: Ask) -> None:
    shop.server.close()
    with pytest.raises(Exception, match=r"refused|[Cc]annot connect|connection attempts failed"):
        ask(shop.url, body())
    assert (shop.purse.standing().spent, shop.purse.standing().reserved, shop.billed) == (0, 0, [])


def test_where_a_servers_name_is_not_known_nothing_is_spent(
    shop: Shop, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_up(*args: Any, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(Exception, match="not known"):
        ask("http://nowhere.invalid:1/v1/chat/completions", body())
    assert (shop.purse.standing().spent, shop.purse.standing().reserved, shop.billed) == (0, 0, [])


def test_where_connecting_takes_too_long_nothing_is_spent(
    shop: Shop, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(self: Any, address: Any) -> None:
        raise TimeoutError("timed out")

    if ask is through_http_client:
        pytest.skip("it raises the same while it waits for an answer")
    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(Exception, match=r"timed out|Connection timeout|connection attempts failed|Cannot connect"):
        ask(shop.url, body())
    monkeypatch.undo()
    assert (shop.purse.standing().spent, shop.purse.standing().reserved, shop.billed) == (0, 0, [])


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes a request and hangs up."""

    def hang_up() -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                with peer:
                    peer.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=hang_up)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1/chat/completions"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_second_server_was_asked_though_the_first_could_not_be(shop: Shop, ask: Ask, silent: str) -> None:
    """What is raised while another exception is handled has that as its context, which says nothing of it."""
    shop.server.close()
    try:
        ask(shop.url, body())
    except Exception:
        with pytest.raises(Exception, match=r"closed|disconnected|reset|aborted"):
            ask(silent, body())
    standing = shop.purse.standing()
    assert (standing.spent, standing.reserved) == (standing.largest, 0)
    assert shop.billed == [None]


def test_a_stored_answer_costs_nothing(tmp_path: Path, ask: Ask) -> None:
    shop = Shop(tmp_path)
    shop.install(stored=True)
    try:
        for case in ("one", "two"):
            shop.recorder.begin(case)
            ask(shop.url, body())
            shop.recorder.end()
    finally:
        capture.uninstall()
        shop.server.close()
    assert len(shop.server.requests) == 1
    assert (shop.purse.standing().spent, shop.billed) == (5000, [Tokens(1, 4)])


def test_a_request_waits_for_room_that_others_may_leave(shop: Shop, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another request has reserved nearly all; it settles when this one has looked twice."""
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(shop.purse.reserve, ROOM - 10).result()
    assert other is not None
    looks: list[int] = []
    reserve = shop.purse.reserve

    def look(amount: int, **how: bool) -> int | None:
        looks.append(amount)
        if len(looks) == 2:
            shop.purse.settle(other, 7)
        return reserve(amount, **how)

    monkeypatch.setattr(shop.purse, "reserve", look)
    ask(shop.url, body())
    assert len(looks) == 2
    assert shop.purse.standing().spent == 7 + 5000


def test_an_endpoint_that_is_not_known_and_names_no_model_has_no_price(shop: Shop, ask: Ask) -> None:
    ask(shop.url.replace("/chat/completions", "/search"), json.dumps({"query": "hi"}).encode())
    assert (shop.purse.standing().spent, shop.billed) == (0, [])
    assert len(shop.server.requests) == 1


def test_what_holds_a_prompt_is_to_a_model_whose_price_is_not_known(shop: Shop, ask: Ask) -> None:
    with pytest.raises(CostStop, match=r"the price of 127.0.0.1 is not known.*gepa_prices: 127.0.0.1 input="):
        ask(
            shop.url.replace("/chat/completions", "/generate"),
            json.dumps({"text": "You are a kind clerk. Hi!"}).encode(),
        )
    assert shop.server.requests == []


@pytest.mark.parametrize(
    "path",
    [
        "/messages/count_tokens",
        "/messages/count_tokens/",
        "/models/m:countTokens",
        "/moderations",
        "/tokenize",
    ],
)
def test_what_is_only_counted_or_looked_over_has_no_price(shop: Shop, ask: Ask, path: str) -> None:
    """It names a model, and its answer tells no usage: none is charged."""
    shop.answer = lambda request: {"input_tokens": 14}
    ask(shop.url.replace("/chat/completions", path), body(max_tokens=2_000_000))
    standing = shop.purse.standing()
    assert (standing.spent, standing.largest) == (0, 0)
    account = Account(PRICE)
    account.take(shop.meter.bill)
    assert (account.usd, account.unpriced) == (0.0, ())
    assert len(shop.server.requests) == 1
    assert len(shop.recorder.end().calls) == 1


def test_audio_has_the_price_of_audio(tmp_path: Path) -> None:
    """By published prices of Gemini 2.5 Flash: text $0.30, audio $1.00, output $2.50 a million."""
    pytest.importorskip("genai_prices")
    counted = {
        "promptTokenCount": 1000,
        "candidatesTokenCount": 10,
        "promptTokensDetails": [
            {"modality": "AUDIO", "tokenCount": 900},
            {"modality": "TEXT", "tokenCount": 100},
        ],
    }
    asked = {
        "contents": [{"parts": [{"inlineData": {"mimeType": "audio/wav", "data": "aGk="}}]}],
        "generationConfig": {"maxOutputTokens": 50},
    }
    with opened(Shop(tmp_path, cap=10 * ROOM)) as shop:
        shop.meter.prices = PriceList()
        shop.answer = lambda request: {**PARTS_END, "usageMetadata": counted}
        path = "/models/gemini-2.5-flash:generateContent"
        through_httpx(shop.url.replace("/chat/completions", path), json.dumps(asked).encode())
        standing = shop.purse.standing()
        assert standing.spent == 900 * 1000 + 100 * 300 + 10 * 2500
        assert standing.largest >= 1_000_000 * 1000, "the whole context may be audio"
        assert shop.billed == [Tokens(1000, 10, input_audio=900)]
        account = Account(PriceList())
        account.take(Bill(shop.meter.bill.path))
        assert account.usd == standing.spent / 10**9


def a_batch(*models: str) -> bytes:
    asked = [{"custom_id": name, "params": json.loads(body(model=name))} for name in models]
    return json.dumps({"requests": asked}).encode()


def test_a_batch_is_reserved_as_all_of_its_requests(tmp_path: Path) -> None:
    """What it came to is told elsewhere, and later: it counts with all that was reserved."""
    with opened(Shop(tmp_path)) as shop:
        shop.meter.prices = PriceList(["m input=0 output=1", "dear input=0 output=9"])
        through_httpx(shop.url.replace("/chat/completions", "/messages/batches"), a_batch("m", "dear", "m"))
        standing = shop.purse.standing()
    assert standing.largest == 50 * (1000 + 9000 + 1000)
    assert (standing.spent, standing.reserved) == (standing.largest, 0)
    assert shop.billed == [None]


def test_a_batch_that_could_pass_the_cap_is_not_sent(shop: Shop) -> None:
    room = ROOM // (1000 * (len(body()) + OVERHEAD + 50))
    with pytest.raises(CostStop, match="has no room for a request"):
        through_httpx(shop.url.replace("/chat/completions", "/messages/batches"), a_batch(*["m"] * (room + 1)))
    assert shop.server.requests == []


def test_a_batch_with_a_model_without_a_price_is_not_sent(shop: Shop) -> None:
    with pytest.raises(CostStop, match="the price of other is not known"):
        through_httpx(shop.url.replace("/chat/completions", "/messages/batches"), a_batch("m", "other"))
    assert shop.server.requests == []


TELLING = [
    "/v1/traces/ingest",
    "/v1/traces",
    "/api/public/otel/v1/traces",
    "/api/public/ingestion",
    "/runs",
    "/runs/batch",
    "/api/1/envelope/",
    "/batch/",
    "/api/v2/llmobs",
    "/api/intake/llm-obs/v1/trace/spans",
]


@pytest.mark.parametrize("path", TELLING)
def test_telemetry_that_holds_a_prompt_is_no_call_to_a_model(shop: Shop, path: str) -> None:
    shop.answer = lambda request: (500, {"error": "not now"})
    told = {"batch": [{"input": "You are a kind clerk. Hi!", "body": {"model": "m"}}]}
    through_httpx(shop.server.base_url + path, json.dumps(told).encode())
    assert (shop.purse.standing().spent, shop.billed) == (0, [])
    assert len(shop.server.requests) == 1
    assert shop.recorder.end().calls == ()


def test_what_names_a_model_is_a_call_to_it_wherever_it_goes(shop: Shop, ask: Ask) -> None:
    ask(shop.url.replace("/chat/completions", "/threads/1/runs"), body())
    (call,) = shop.recorder.end().calls
    assert call.model == "m"
    assert shop.purse.standing().largest > 0


class FullDisk:
    """Has a bill that cannot be written while it `is_full`."""

    def __init__(self, meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = True
        add = meter.bill._add

        def fail(item: Item) -> None:
            if self.is_full:
                raise OSError(errno.ENOSPC, "No space left on device")
            add(item)

        monkeypatch.setattr(meter.bill, "_add", fail)


def test_under_a_cap_nothing_is_sent_that_cannot_be_put_on_the_bill(
    shop: Shop, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk(shop.meter, monkeypatch)
    with pytest.raises(CostStop, match=r"the bill of the run cannot be written: .*No space left"):
        ask(shop.url, body())
    assert shop.server.requests == []
    assert (shop.purse.standing().spent, shop.purse.standing().reserved) == (0, 0)
    assert len(shop.recorder.end().refused) == 1
    disk.is_full = False
    ask(shop.url, body())
    assert shop.billed == [Tokens(1, 4)]


def test_what_cannot_be_put_on_the_bill_afterwards_is_settled_all_the_same(
    tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(Shop(tmp_path)) as shop:
        settle = shop.meter.bill.end

        def fail(*args: Any) -> None:
            monkeypatch.setattr(shop.meter.bill, "end", settle)
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(shop.meter.bill, "end", fail)
        ask(shop.url, body())
        assert (shop.purse.standing().spent, shop.purse.standing().reserved) == (5000, 0)
        (problem,) = shop.recorder.problems
        assert "No space left" in problem
        account = Account(PRICE)
        account.take(shop.meter.bill)
        assert account.unpriced == ("1 call of m never ended",)


def test_without_a_cap_a_bill_that_cannot_be_written_is_noted_and_the_request_is_sent(
    tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(Shop(tmp_path, cap=None)) as shop:
        disk = FullDisk(shop.meter, monkeypatch)

        def answer(request: Body) -> Answer:
            disk.is_full = False
            return "four words are these"

        shop.answer = answer
        ask(shop.url, body())
        assert len(shop.server.requests) == 1
        (problem,) = shop.recorder.problems
        assert "No space left" in problem
        assert shop.billed == [Tokens(1, 4)], "its end is on the bill, as there was room by then"
        (call,) = shop.recorder.end().calls
        assert call.error == ""


def test_a_ledger_that_cannot_be_used_stops_what_has_no_price(
    shop: Shop, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.purse.path.unlink()
    with pytest.raises(CostStop, match="the price of other is not known"):
        ask(shop.url, body(model="other"))
    assert shop.server.requests == []


def test_a_mock_costs_nothing(shop: Shop) -> None:
    httpx: Any = importlib.import_module(LIBRARIES[0])
    answer = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 9}}
    with httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200, json=answer))) as client:
        client.post(shop.url, content=body(), headers=JSON)
    standing = shop.purse.standing()
    assert (standing.spent, standing.reserved, shop.billed) == (0, 0, [])
