"""Which exceptions, and which answers of a model's server, tell of the infrastructure and not of a prompt."""

from __future__ import annotations

import asyncio
import errno
import http.client
import json
import multiprocessing
import sqlite3
import ssl
import subprocess
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

import aiohttp
import httpx
import openai
import pytest
import requests
import urllib3

from pytest_gepa.suite.outcome import is_infrastructure, unanswered
from pytest_gepa.trace.exchange import describe
from pytest_gepa.trace.trajectory import Call, Message
from tests.trace.byte_server import ByteServer, Connection
from tests.trace.conftest import ask, capturing

REQUEST = httpx.Request("POST", "http://server.test/v1/chat/completions")
OF_THE_REQUEST = [400, 404, 405, 409, 410, 413, 415, 422]
OF_THE_WAY = [401, 402, 403, 407, 408, 425, 429, 500, 502, 503, 504]


def of_httpx(status: int) -> Exception:
    return httpx.HTTPStatusError("refused", request=REQUEST, response=httpx.Response(status, request=REQUEST))


def of_requests(status: int) -> Exception:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError("refused", response=response)


def of_aiohttp(status: int) -> Exception:
    return aiohttp.ClientResponseError(mock.Mock(), (), status=status)


def of_openai(status: int) -> Exception:
    client: Any = openai.OpenAI(api_key="none")
    error: Exception = client._make_status_error_from_response(httpx.Response(status, request=REQUEST))
    return error


KINDS = [of_httpx, of_requests, of_aiohttp, of_openai]


@pytest.mark.parametrize("status", OF_THE_REQUEST)
@pytest.mark.parametrize("kind", KINDS)
def test_an_exception_that_tells_of_the_request_is_no_infrastructure(
    kind: Callable[[int], Exception], status: int
) -> None:
    assert not is_infrastructure(kind(status))


@pytest.mark.parametrize("status", OF_THE_WAY)
@pytest.mark.parametrize("kind", KINDS)
def test_an_exception_of_another_status_is(kind: Callable[[int], Exception], status: int) -> None:
    assert is_infrastructure(kind(status))


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        requests.ConnectionError("refused"),
        requests.HTTPError("a bare one"),
        urllib3.exceptions.ProtocolError("cut off"),
        aiohttp.ClientConnectionError("refused"),
        openai.APIConnectionError(request=REQUEST),
        openai.APITimeoutError(request=REQUEST),
        openai.APIError("an event of a stream", REQUEST, body=None),
        ConnectionError("no route"),
        asyncio.TimeoutError(),
    ],
    ids=lambda error: f"{type(error).__module__}.{type(error).__name__}",
)
def test_an_exception_without_a_status_is(error: Exception) -> None:
    assert is_infrastructure(error)


def of(module: str, *names: str, text: str = "none") -> Exception:
    """An exception as a library that is not installed here has it: each name is the base of the next."""
    kind: type[Exception] = Exception
    for name in names:
        kind = type(name, (kind,), {"__module__": module})
    return kind(text)


WITHOUT_KEY = [
    of("botocore.exceptions", "BotoCoreError", "NoCredentialsError"),
    of("botocore.exceptions", "BotoCoreError", "PartialCredentialsError"),
    of("botocore.exceptions", "BotoCoreError", "SSOError", "UnauthorizedSSOTokenError"),
    of("botocore.exceptions", "BotoCoreError", "TokenRetrievalError"),
    of("azure.core.exceptions", "AzureError", "HttpResponseError", "ClientAuthenticationError"),
    of("google.auth.exceptions", "GoogleAuthError", "DefaultCredentialsError"),
    of("google.api_core.exceptions", "GoogleAPIError", "ClientError", "TooManyRequests", "ResourceExhausted"),
    of("google.api_core.exceptions", "GoogleAPIError", "ServerError", "ServiceUnavailable"),
    of("groq", "GroqError"),
    TypeError(
        "Could not resolve authentication method. Expected either api_key or auth_token to be set. Or for one of the "
        "`X-Api-Key` or `Authorization` headers to be explicitly omitted"
    ),
    ValueError("Missing key inputs argument! To use the Google AI API, provide (`api_key`) arguments."),
    KeyError("OPENAI_API_KEY"),
]


@pytest.mark.parametrize("error", WITHOUT_KEY, ids=lambda error: type(error).__name__)
def test_a_client_that_finds_no_credentials_tells_of_the_infrastructure(error: Exception) -> None:
    assert is_infrastructure(error)


def of_aiohttp_page(status: int) -> Exception:
    return aiohttp.ContentTypeError(mock.Mock(), (), status=status, message="text/html")


@pytest.mark.parametrize(
    "error",
    [
        requests.exceptions.MissingSchema("no scheme in 'example.com'"),
        requests.exceptions.InvalidURL("no host"),
        requests.exceptions.TooManyRedirects("30 of them"),
        requests.exceptions.JSONDecodeError("Expecting value", "<html>", 0),
        httpx.UnsupportedProtocol("Request URL is missing an 'http://' or 'https://' protocol."),
        aiohttp.InvalidURL("example"),
        of_aiohttp_page(200),
        urllib3.exceptions.LocationParseError("no host"),
    ],
    ids=lambda error: f"{type(error).__module__}.{type(error).__name__}",
)
def test_an_address_that_a_model_has_made_up_is_no_infrastructure(error: Exception) -> None:
    assert not is_infrastructure(error)


def test_a_page_of_a_server_that_is_down_and_a_certificate_that_is_refused_are() -> None:
    assert is_infrastructure(of_aiohttp_page(502))
    refused = ssl.SSLCertVerificationError("certificate has expired")
    assert isinstance(refused, ValueError)
    assert is_infrastructure(aiohttp.ClientConnectorCertificateError(mock.Mock(), refused))


@pytest.mark.parametrize("client", [openai.OpenAI, openai.AsyncOpenAI])
def test_an_openai_client_without_a_key_tells_of_the_infrastructure(
    client: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(openai.OpenAIError) as caught:
        client()
    assert is_infrastructure(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        openai.LengthFinishReasonError(completion=mock.Mock(usage=None)),
        openai.ContentFilterFinishReasonError(),
        of("botocore.exceptions", "BotoCoreError", "ParamValidationError"),
        of("groq", "GroqError", "GroqParseError"),
        TypeError("unsupported operand type(s) for +: 'int' and 'str'"),
        KeyError("total"),
        ValueError("invalid literal for int() with base 10: 'many'"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_a_client_says_of_an_answer_is_no_infrastructure(error: Exception) -> None:
    assert not is_infrastructure(error)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EADDRINUSE, "Address already in use"),
        OSError(errno.EMFILE, "Too many open files"),
        sqlite3.OperationalError("database is locked"),
        of("psycopg2", "OperationalError", text="FATAL:  sorry, too many clients already"),
        of("psycopg", "OperationalError", text='connection to server at "127.0.0.1" failed'),
    ],
    ids=str,
)
def test_what_cases_took_from_each_other_tells_of_the_infrastructure(error: Exception) -> None:
    assert is_infrastructure(error)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        sqlite3.OperationalError('near "SELEC": syntax error'),
        of("psycopg2", "OperationalError", text="canceling statement due to statement timeout"),
    ],
    ids=str,
)
def test_what_a_query_or_a_name_of_the_model_s_led_to_does_not(error: Exception) -> None:
    assert not is_infrastructure(error)


def test_a_broken_connection_that_led_to_a_bad_request_still_tells() -> None:
    error = of_httpx(400)
    error.__cause__ = ConnectionError("no route")
    assert is_infrastructure(error)


def refused(status: int | None, error: str = "no") -> Call:
    return Call("key", "m", (), None, status=status, error=error)


@pytest.mark.parametrize("status", [None, 404, 409, *OF_THE_WAY])
def test_a_model_s_server_that_refuses_by_no_fault_of_the_request_has_not_answered(
    status: int | None,
) -> None:
    assert unanswered([refused(status)])


@pytest.mark.parametrize("status", [400, 405, 410, 413, 415, 422])
def test_a_model_s_server_that_finds_fault_with_the_request_has_answered(status: int) -> None:
    assert not unanswered([refused(status)])


@pytest.mark.parametrize(
    "body",
    [
        '{"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is too low to '
        'access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."}}',
        '{"error": {"code": 400, "message": "API key expired. Please renew the API key.", "status": "INVALID_ARGUMENT"',
        '{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."',
        '{"error": {"message": "Budget has been exceeded! Current cost: 26.1, Max budget: 25", "code": "400"}}',
        '{"error": {"message": "Previous response with id \'resp_68af\' not found.", "type": "invalid_request_error", '
        '"param": "previous_response_id", "code": null}}',
        '{"error": {"message": "not there", "code": "previous_response_not_found"}}',
    ],
    ids=[
        "Anthropic's balance",
        "Gemini's old key",
        "Gemini's wrong key",
        "LiteLLM's budget",
        "OpenAI's former answer, by its message",
        "OpenAI's former answer, by its code",
    ],
)
def test_what_some_servers_say_of_the_account_or_their_memory_with_status_400_is_no_answer(body: str) -> None:
    assert unanswered([refused(400, body)])
    assert not unanswered([refused(400, '{"error": {"message": "no"}, "input": "' + 300 * "x" + body + '"}')])


@pytest.mark.parametrize(
    "error",
    [
        "Provider returned error (code 502)",
        "overloaded_error: Overloaded",
        "RemoteProtocolError: peer closed connection without sending complete message body; so far: Dear",
        "the stream ended before the answer was complete; so far: Dear",
        "Rate limit reached for requests",
    ],
)
def test_an_answer_that_gave_out_under_status_200_is_none(error: str) -> None:
    assert unanswered([refused(200, error)])


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError("timed out"),
        asyncio.TimeoutError(),
        aiohttp.ServerTimeoutError("Timeout on reading data from socket"),
        aiohttp.SocketTimeoutError("Timeout on reading data from socket"),
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientPayloadError("Response payload is not completed"),
        aiohttp.ClientOSError(104, "Connection reset by peer"),
        ConnectionResetError(104, "Connection reset by peer"),
        ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
        ssl.SSLError("record layer failure"),
        http.client.IncompleteRead(b"Dear", 9),
        httpx.ReadTimeout("timed out"),
        requests.exceptions.ChunkedEncodingError("Connection broken"),
        urllib3.exceptions.ReadTimeoutError(mock.Mock(), "/", "Read timed out."),
        urllib3.exceptions.SSLError("record layer failure"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_answer_under_status_200_whose_way_gave_out_is_none(error: Exception) -> None:
    assert unanswered([refused(200, describe(error))])
    assert unanswered([refused(200, f"{describe(error)}; so far: Dear")])
    assert not unanswered([refused(200, f"incomplete; so far: {describe(error)}")])


Ask = Callable[[str, bytes], None]
JSON = {"Content-Type": "application/json"}
SOON = 0.3
"""Seconds after which a client gives up: enough for the head of an answer to come, but nothing here needs it to."""


def through_urllib(url: str, data: bytes) -> None:
    with urllib.request.urlopen(urllib.request.Request(url, data, JSON), timeout=SOON) as answer:
        list(answer)


def through_requests(url: str, data: bytes) -> None:
    with requests.post(url, data=data, headers=JSON, stream=True, timeout=SOON) as answer:
        list(answer.iter_lines())


def through_httpx(url: str, data: bytes) -> None:
    with httpx.stream("POST", url, content=data, headers=JSON, timeout=SOON) as answer:
        list(answer.iter_lines())


def through_aiohttp(url: str, data: bytes, **limit: float) -> None:
    async def read() -> None:
        timeout = aiohttp.ClientTimeout(**limit or {"sock_read": SOON})
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, data=data, headers=JSON) as answer,
        ):
            async for _ in answer.content:
                pass

    asyncio.run(read())


def through_aiohttp_in_all(url: str, data: bytes) -> None:
    through_aiohttp(url, data, total=SOON)


@pytest.mark.parametrize(
    "read", [through_urllib, through_requests, through_httpx, through_aiohttp, through_aiohttp_in_all]
)
def test_an_answer_that_stops_coming_is_none_though_the_application_hides_it(
    read: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(connection: Connection) -> bool:
        connection.head("content-type: text/event-stream", "transfer-encoding: chunked")
        connection.chunk(b'data: {"choices": [{"index": 0, "delta": {"content": "Dear"}}]}\n\n')
        connection.wait_for_hang_up()
        return False

    monkeypatch.setenv("NO_PROXY", "*")
    with ByteServer(begin) as server, capturing(None, None) as recorder:
        with pytest.raises(Exception, match=r"(?i)time|^$"):
            read(server.url, json.dumps(ask(stream=True)).encode())
        (call,) = recorder.end().calls
    assert call.answer is None
    assert unanswered([call])


@pytest.mark.parametrize(
    "error",
    [
        "closed before the answer was complete; so far: Dear",
        "closed before the answer was complete; so far: The service is unavailable",
        "a response without a message that can be read",
        "the prompt was flagged (code 400)",
        "incomplete",
        "CancelledError; so far: Dear",
    ],
)
def test_what_else_comes_of_status_200_is_no_trouble(error: str) -> None:
    assert not unanswered([refused(200, error)])


def test_a_next_try_that_is_answered_forgives_a_refusal() -> None:
    answered = Call("key", "m", (), Message("assistant", "yes"))
    assert not unanswered([refused(401), answered])


def test_another_model_that_was_told_the_same_afterwards_forgives_it() -> None:
    said = (Message("system", "Be brief."), Message("user", "Which day?"))
    failed = Call("key", "large", said, None, status=503, error="busy")
    answered = Call("other", "small", said, Message("assistant", "Monday"))
    assert not unanswered([failed, answered])
    assert unanswered([answered, failed])
    assert unanswered([failed, replace(answered, request=said[1:])])


def of_grpc(status: str) -> Exception:
    error: Any = of("grpc", "RpcError", "AioRpcError")
    error.code = lambda: type("Code", (), {"name": status})
    return error


@pytest.mark.parametrize(
    "error",
    [
        subprocess.TimeoutExpired("cli", 60),
        multiprocessing.TimeoutError(),
        of("concurrent.futures._base", "Error", "TimeoutError"),
        of_grpc("UNAVAILABLE"),
        of_grpc("RESOURCE_EXHAUSTED"),
        of("grpc", "RpcError"),
    ],
    ids=repr,
)
def test_a_time_limit_and_a_channel_that_gives_out_tell_of_the_infrastructure(error: Exception) -> None:
    assert is_infrastructure(error)


def test_a_status_of_grpc_that_finds_fault_with_the_call_does_not() -> None:
    assert not is_infrastructure(of_grpc("INVALID_ARGUMENT"))
