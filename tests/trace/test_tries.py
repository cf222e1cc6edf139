"""What a library sends again by itself: one call, of which every try is reserved before it is sent."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import socket
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_gepa.cost.estimate import OVERHEAD
from pytest_gepa.cost.prices import Tokens
from pytest_gepa.cost.purse import CostStop
from pytest_gepa.trace import capture
from pytest_gepa.trace.admission import Target
from pytest_gepa.trace.recorder import Recorder
from tests.fake_openai import Answer, Body
from tests.trace.byte_server import ByteServer, Connection
from tests.trace.conftest import LIBRARIES
from tests.trace.test_costs import JSON, Ask, Shop, body, opened

TRIES = 4
MOST = 1000 * (len(body()) + OVERHEAD + 50)
"""What one try of `body()` reserves."""

WHOLE = b'{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 4}}'


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


def is_to_be_tried_again(status: int) -> bool:
    return status in (500, 503, 504)


def through_requests(url: str, data: bytes) -> None:
    requests: Any = pytest.importorskip("requests")
    adapter = requests.adapters.HTTPAdapter(max_retries=again())
    with requests.Session() as session:
        session.mount("http://", adapter)
        session.post(url, data=data, headers=JSON)


def through_urllib3(url: str, data: bytes) -> None:
    urllib3: Any = pytest.importorskip("urllib3")
    with urllib3.PoolManager(retries=again()) as pool:
        pool.request("POST", url, body=data, headers=JSON)


def again() -> Any:
    urllib3: Any = pytest.importorskip("urllib3")
    statuses = [status for status in range(600) if is_to_be_tried_again(status)]
    return urllib3.Retry(TRIES - 1, status_forcelist=statuses, allowed_methods=None, backoff_factor=0)


def through_httpx(url: str, data: bytes, inner: Any = None) -> None:
    httpx: Any = importlib.import_module(LIBRARIES[0])

    class Again(httpx.BaseTransport):  # type: ignore[misc]
        def __init__(self) -> None:
            self.inner = inner or httpx.HTTPTransport()

        def handle_request(self, request: Any) -> Any:
            for left in reversed(range(TRIES)):
                try:
                    response = self.inner.handle_request(request)
                except httpx.TransportError:
                    if not left:
                        raise
                else:
                    if not left or not is_to_be_tried_again(response.status_code):
                        return response
                    response.close()
            raise AssertionError

        def close(self) -> None:
            self.inner.close()

    with httpx.Client(transport=Again(), follow_redirects=True) as client:
        client.post(url, content=data, headers=JSON)


def through_async_httpx(url: str, data: bytes) -> None:
    httpx: Any = importlib.import_module(LIBRARIES[0])

    class Again(httpx.AsyncBaseTransport):  # type: ignore[misc]
        def __init__(self) -> None:
            self.inner = httpx.AsyncHTTPTransport()

        async def handle_async_request(self, request: Any) -> Any:
            for left in reversed(range(TRIES)):
                try:
                    response = await self.inner.handle_async_request(request)
                except httpx.TransportError:
                    if not left:
                        raise
                else:
                    if not left or not is_to_be_tried_again(response.status_code):
                        return response
                    await response.aclose()
            raise AssertionError

        async def aclose(self) -> None:
            await self.inner.aclose()

    async def post() -> None:
        async with httpx.AsyncClient(transport=Again(), follow_redirects=True) as client:
            await client.post(url, content=data, headers=JSON)

    asyncio.run(post())


def through_aiohttp(url: str, data: bytes) -> None:
    aiohttp: Any = pytest.importorskip("aiohttp")
    if "middlewares" not in inspect.signature(aiohttp.ClientSession).parameters:
        pytest.skip("aiohttp has middlewares from 3.12 on")

    async def again(request: Any, handler: Callable[[Any], Any]) -> Any:
        for left in reversed(range(TRIES)):
            try:
                response = await handler(request)
            except aiohttp.ClientConnectionError:
                if not left:
                    raise
            else:
                if not left or not is_to_be_tried_again(response.status):
                    return response
                response.close()
        raise AssertionError

    async def post() -> None:
        async with (
            aiohttp.ClientSession(middlewares=[again]) as session,
            session.post(url, data=data, headers=JSON) as answer,
        ):
            await answer.read()

    asyncio.run(post())


@pytest.fixture(
    params=[through_requests, through_urllib3, through_httpx, through_async_httpx, through_aiohttp],
    ids=lambda ask: ask.__name__.removeprefix("through_"),
)
def ask(request: pytest.FixtureRequest) -> Ask:
    chosen: Ask = request.param
    return chosen


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with opened(Shop(tmp_path)) as shop:
        yield shop
    assert shop.recorder.problems == ()


def answers(*statuses: int) -> Callable[[Body], Answer]:
    """One after the other, then words."""
    left = iter(statuses)

    def answer(request: Body) -> Answer:
        status = next(left, None)
        return "four words are these" if status is None else (status, {"error": "not now"})

    return answer


def test_a_try_for_which_a_gateway_did_not_wait_costs_all_that_was_reserved(shop: Shop, ask: Ask) -> None:
    shop.answer = answers(504, 504)
    ask(shop.url, body())
    standing = shop.purse.standing()
    assert (standing.spent, standing.reserved) == (2 * MOST + 5000, 0)
    assert shop.billed == [None, None, Tokens(1, 4)]
    (call,) = shop.recorder.end().calls
    assert (call.status, call.input_tokens, call.output_tokens) == (200, 1, 4)


def test_a_try_that_was_refused_costs_nothing(shop: Shop, ask: Ask) -> None:
    shop.answer = answers(503, 500, 503)
    ask(shop.url, body())
    standing = shop.purse.standing()
    assert (standing.spent, standing.reserved) == (5000, 0)
    assert shop.billed == [Tokens(1, 4)]
    assert len(shop.server.requests) == TRIES


def test_a_try_for_which_the_cap_has_no_room_is_not_made(tmp_path: Path, ask: Ask) -> None:
    with opened(Shop(tmp_path, cap=2 * MOST + 1)) as shop:
        shop.answer = answers(503, 504, 504)
        with pytest.raises(CostStop, match="has no room for a request"):
            ask(shop.url, body())
        assert len(shop.server.requests) == 3
        standing = shop.purse.standing()
        assert (standing.spent, standing.reserved) == (2 * MOST, 0)
        recorded = shop.recorder.end()
        assert [call.error.partition(":")[0] for call in recorded.calls] == ["CostStop"]
        assert len(recorded.refused) == 1


def test_a_try_whose_answer_never_came_costs_all_that_was_reserved(shop: Shop, ask: Ask) -> None:
    def script(connection: Connection) -> bool:
        if connection.number == 1:
            return False
        connection.head("content-type: application/json", f"content-length: {len(WHOLE)}")
        connection.send(WHOLE)
        return True

    with ByteServer(script) as server:
        ask(server.url, body())
    standing = shop.purse.standing()
    assert (standing.spent, standing.reserved) == (MOST + 5000, 0)
    assert shop.billed == [None, Tokens(1, 4)]


def test_tries_to_connect_cost_nothing(shop: Shop, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Any] = []
    connect = socket.socket.connect

    def note(self: socket.socket, address: Any) -> None:
        tried.append(address)
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", note)
    shop.server.close()
    with pytest.raises(Exception, match=r"refused|[Cc]annot connect|connection attempts failed"):
        ask(shop.url, body())
    assert len(tried) == TRIES
    assert (shop.purse.standing().spent, shop.purse.standing().reserved, shop.billed) == (0, 0, [])


@pytest.mark.parametrize("status", [307, 308])
def test_a_server_that_names_another_has_cost_nothing(shop: Shop, ask: Ask, status: int) -> None:
    def script(connection: Connection) -> bool:
        connection.head(f"location: {shop.url}", "content-length: 0", status=f"{status} Elsewhere")
        return True

    if ask is through_urllib3:
        pytest.skip("each is a call there")
    with ByteServer(script) as server:
        ask(server.url, body())
    standing = shop.purse.standing()
    assert (standing.spent, standing.reserved, shop.billed) == (5000, 0, [Tokens(1, 4)])
    assert len(shop.recorder.end().calls) == 1


def test_without_a_cap_each_try_is_on_the_bill(tmp_path: Path, ask: Ask) -> None:
    with opened(Shop(tmp_path, cap=None)) as shop:
        shop.answer = answers(504, 503)
        ask(shop.url, body())
        assert shop.billed == [None, Tokens(1, 4)]
        assert len(shop.recorder.end().calls) == 1


def test_what_is_asked_again_once_the_call_has_been_recorded_is_a_call_of_its_own(shop: Shop) -> None:
    """An application may do that where a session has it look at the status."""
    aiohttp: Any = pytest.importorskip("aiohttp")
    shop.answer = answers(504)

    async def look(response: Any) -> None:
        await response.read()
        if response.status == 504:
            async with (
                aiohttp.ClientSession() as session,
                session.post(shop.url, data=body(), headers=JSON) as other,
            ):
                await other.read()

    async def post() -> None:
        async with (
            aiohttp.ClientSession(raise_for_status=look) as session,
            session.post(shop.url, data=body(), headers=JSON) as answer,
        ):
            await answer.read()

    asyncio.run(post())
    standing = shop.purse.standing()
    assert (standing.spent, standing.reserved) == (MOST + 5000, 0)
    assert [call.status for call in shop.recorder.end().calls] == [504, 200]


def test_a_mock_that_is_tried_again_costs_nothing(shop: Shop) -> None:
    httpx: Any = importlib.import_module(LIBRARIES[0])
    played = iter([504, 504, 200])
    mock = httpx.MockTransport(lambda request: httpx.Response(next(played), content=WHOLE))
    through_httpx(shop.url, body(), mock)
    standing = shop.purse.standing()
    assert (standing.spent, standing.reserved, shop.billed) == (0, 0, [])


def test_a_cassette_that_is_tried_again_costs_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the place of a method of the pool below the transport."""
    core: Any = importlib.import_module(LIBRARIES[0].replace("httpx", "httpcore"))
    played = iter([504, 504, 200])

    def handle_request(self: Any, request: Any) -> Any:
        return answer(request)

    def answer(request: Any) -> Any:
        return core.Response(next(played), headers=[(b"content-type", b"application/json")], content=WHOLE)

    of_vcr = types.FunctionType(handle_request.__code__, {"__name__": "vcr.stubs"}, closure=handle_request.__closure__)
    monkeypatch.setattr(core.ConnectionPool, "handle_request", of_vcr)
    through_httpx(shop.url, body())
    standing = shop.purse.standing()
    assert (standing.spent, standing.reserved, shop.billed) == (0, 0, [])


def test_nothing_of_it_stays_when_capture_ends() -> None:
    aiohttp: Any = pytest.importorskip("aiohttp")
    httpx: Any = importlib.import_module(LIBRARIES[0])

    def now() -> list[Any]:
        return [
            httpx.HTTPTransport.handle_request,
            httpx.AsyncHTTPTransport.handle_async_request,
            aiohttp.ClientRequest.send,
        ]

    before = now()
    capture.install(Target(Recorder()))
    assert all(one is not other for one, other in zip(before, now(), strict=True))
    capture.uninstall()
    assert now() == before
