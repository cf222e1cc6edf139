from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from pytest_gepa.cost.meter import Meter
from pytest_gepa.cost.prices import PriceList, Tokens
from pytest_gepa.errors import OutOfMoney, ReflectionError, ReflectionOver
from pytest_gepa.reflect import model as model_module
from pytest_gepa.reflect.endpoint import ReflectionEndpoint, endpoint_from_environment
from pytest_gepa.reflect.menu import FULL
from pytest_gepa.reflect.model import ContextTooLong, ReflectionModel
from pytest_gepa.trace.cache import ResponseCache
from pytest_gepa.trace.redact import Redactor
from pytest_gepa.trace.replay import Stores
from tests.fake_openai import Answer, Body, FakeOpenAI, completion
from tests.reflect.exhibits import RULE

MESSAGES = [{"role": "system", "content": "Improve it."}, {"role": "user", "content": "Now."}]
Serve = Callable[[Callable[[Body], Answer]], tuple[FakeOpenAI, ReflectionModel]]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    monkeypatch.setattr(model_module, "RETRIES", 1)
    monkeypatch.setattr(model_module, "PAUSES", ())
    opened: list[Any] = []

    def start(reply: Callable[[Body], Answer]) -> tuple[FakeOpenAI, ReflectionModel]:
        server = FakeOpenAI(reply)
        model = ReflectionModel(ReflectionEndpoint("reflector", server.base_url, "sk-secret", 10.0))
        opened.extend((model, server))
        return server, model

    yield start
    for item in opened:
        item.close()


def error(status: int, message: str) -> Answer:
    return status, {"error": {"message": message, "type": "invalid_request_error"}}


def test_an_answer_comes_with_its_tokens_and_the_schema_is_asked_for(serve: Serve) -> None:
    server, model = serve(lambda request: "two words")
    reply = model.ask(MESSAGES, FULL.schema)
    assert (reply.text, reply.finish_reason, reply.refusal) == ("two words", "stop", "")
    assert (reply.input_tokens, reply.output_tokens) == (3, 2)
    (request,) = server.requests
    assert set(request) == {"model", "messages", "response_format"}
    assert request["messages"] == MESSAGES
    asked_for = request["response_format"]
    assert asked_for["type"] == "json_schema"
    assert asked_for["json_schema"] == {"name": "prompt_edit", "strict": True, "schema": FULL.schema}


def test_refusals_and_cut_answers_are_passed_on(serve: Serve) -> None:
    _, model = serve(lambda request: {"content": None, "refusal": "No.", "finish_reason": "length"})
    reply = model.ask(MESSAGES)
    assert (reply.text, reply.refusal, reply.finish_reason) == ("", "No.", "length")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "'response_format' of type 'json_schema' is not supported with this model"),
        (400, "Invalid schema: 'strict' is not allowed"),
        (404, "No endpoint that supports structured output"),
        (422, "Extra inputs are not permitted"),
        (400, "This feature is unsupported"),
        (400, "Invalid schema for response_format 'prompt_edit': In context=('properties', 'edits'), no."),
    ],
)
def test_a_server_that_refuses_the_schema_is_asked_without_it_from_then_on(
    serve: Serve, status: int, message: str
) -> None:
    server, model = serve(lambda request: error(status, message) if "response_format" in request else "ok")
    assert [model.ask(MESSAGES, FULL.schema).text for _ in range(2)] == ["ok", "ok"]
    assert ["response_format" in request for request in server.requests] == [True, True, False, False]


def test_a_schema_is_sent_without_lengths_to_a_server_that_does_not_take_them(serve: Serve) -> None:
    def reply(request: Body) -> Answer:
        return error(400, "schema keyword 'maxLength' is not permitted") if "maxLength" in str(request) else "ok"

    server, model = serve(reply)
    assert [model.ask(MESSAGES, menu.schema).text for menu in (RULE, RULE, FULL)] == ["ok"] * 3
    assert ["response_format" in request for request in server.requests] == [True] * 4
    assert "maxLength" not in str(server.requests[1:])
    assert server.requests[1]["response_format"]["json_schema"]["schema"]["required"] == ["diagnosis", "rule"]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "System role not supported"),
        (400, "Conversation roles must alternate user/assistant/user/assistant/..."),
        (400, "Only user and assistant roles are supported!"),
        (400, "Developer instruction is not enabled for models/gemma-3-27b-it"),
        (400, "Unsupported value: 'messages[0].role' does not support 'system' with this model."),
        (500, "Jinja Exception: System role not supported"),
    ],
)
def test_a_model_without_a_system_role_gets_one_message_of_the_user_from_then_on(
    serve: Serve, status: int, message: str
) -> None:
    server, model = serve(
        lambda request: error(status, message) if request["messages"][0]["role"] == "system" else "ok"
    )
    assert [model.ask(MESSAGES, FULL.schema).text for _ in range(2)] == ["ok", "ok"]
    joined = [request for request in server.requests if request["messages"][0]["role"] != "system"]
    assert [request["messages"] for request in joined] == [[{"role": "user", "content": "Improve it.\n\nNow."}]] * 2
    assert all("response_format" in request for request in server.requests)
    assert server.requests[-2:] == joined
    correction = [{"role": "assistant", "content": "Yes."}, {"role": "user", "content": "No."}]
    assert model.ask([*MESSAGES, *correction], FULL.schema).text == "ok"
    assert server.requests[-1]["messages"][1:] == correction


def test_a_model_may_take_neither_schema_nor_system_role(serve: Serve) -> None:
    def reply(request: Body) -> Answer:
        if "response_format" in request:
            return error(400, "response_format is not supported")
        return error(400, "System role not supported") if len(request["messages"]) == 2 else "ok"

    server, model = serve(reply)
    assert [model.ask(MESSAGES, FULL.schema).text for _ in range(2)] == ["ok", "ok"]
    assert [("response_format" in one, len(one["messages"])) for one in server.requests] == [
        (True, 2),
        (True, 2),
        (False, 2),
        (False, 1),
        (False, 1),
    ]


def test_a_refusal_of_the_one_message_too_is_reported(serve: Serve) -> None:
    server, model = serve(lambda request: error(400, "Conversation roles must alternate"))
    with pytest.raises(ReflectionError, match="Conversation roles must alternate"):
        model.ask(MESSAGES)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000."),
        (400, "the request exceeds the available context size (4096 tokens), try increasing it"),
        (400, "Input is too long for requested model."),
        (413, "Request too large"),
        (400, "max_tokens must be at least 1, got -7584."),
        (
            422,
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 9000 `inputs`",
        ),
        (422, "Input validation error: `inputs` must have less than 4096 tokens. Given: 9000"),
        (
            400,
            "This model's maximum context length is 128000 tokens. However, your messages resulted in 130317 tokens "
            "(including 317 in the response_format schemas.). Please reduce the length of the messages or schemas.",
        ),
    ],
)
def test_a_request_longer_than_the_context_is_told_apart(serve: Serve, status: int, message: str) -> None:
    server, model = serve(lambda request: error(status, message))
    with pytest.raises(ContextTooLong):
        model.ask(MESSAGES, FULL.schema)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"message": "Invalid prompt: your prompt was flagged by our usage policy.", "code": "invalid_prompt"},
        {
            "message": "The response was filtered",
            "code": "content_filter",
            "innererror": {"code": "ResponsibleAIPolicy"},
        },
    ],
)
def test_a_request_whose_content_is_refused_is_refused_alone(serve: Serve, body: dict[str, object]) -> None:
    server, model = serve(lambda request: (400, {"error": body}) if len(server.requests) == 1 else "fine")
    assert "content filter" in model.ask(MESSAGES, FULL.schema).refusal
    assert model.ask(MESSAGES, FULL.schema).text == "fine"


@pytest.mark.parametrize(
    ("status", "mend"),
    [
        (401, "GEPA_REFLECTION_API_KEY"),
        (403, "may not use this model"),
        (404, "check the model's name"),
        (400, "refuses"),
    ],
)
def test_what_only_the_user_can_mend_names_model_server_and_mend(serve: Serve, status: int, mend: str) -> None:
    server, model = serve(lambda request: error(status, "The key sk-secret or the model is wrong"))
    with pytest.raises(ReflectionError) as caught:
        model.ask(MESSAGES, FULL.schema)
    message = str(caught.value)
    assert "'reflector'" in message
    assert server.base_url in message
    assert mend in message
    assert "sk-secret" not in message
    assert len(server.requests) == 1


@pytest.mark.parametrize(("status", "mend"), [(429, "rate limit"), (503, "the server failed, 2 tries")])
def test_passing_trouble_is_tried_again_before_it_is_reported(serve: Serve, status: int, mend: str) -> None:
    server, model = serve(lambda request: error(status, "busy"))
    with pytest.raises(ReflectionError, match=mend):
        model.ask(MESSAGES)
    assert len(server.requests) == 2


def test_an_answer_after_a_retry_is_an_answer(serve: Serve) -> None:
    answers = iter([error(500, "hiccup"), "ok"])
    _, model = serve(lambda request: next(answers))
    assert model.ask(MESSAGES).text == "ok"


def test_a_server_that_is_busy_or_out_of_order_for_a_while_is_asked_once_more_later(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_module, "PAUSES", (0.0, 0.0))
    answers = iter([*[error(503, "starting")] * 2, *[error(429, "busy")] * 2, "ok", *[error(500, "no")] * 6])
    server, model = serve(lambda request: next(answers))
    assert model.ask(MESSAGES).text == "ok"
    assert len(server.requests) == 5
    with pytest.raises(ReflectionError, match="the server failed, 6 tries"):
        model.ask(MESSAGES)
    assert len(server.requests) == 11


def test_nobody_waits_for_a_server_that_has_never_worked(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "PAUSES", (600.0,))
    _, model = serve(lambda request: error(502, "no upstream"))
    with pytest.raises(ReflectionError, match="the server failed, 2 tries"):
        model.ask(MESSAGES)


def test_nobody_waits_for_an_account_to_be_filled(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "PAUSES", (600.0,))
    used_up = (429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}})
    _, model = serve(lambda request: used_up)
    with pytest.raises(ReflectionError, match="quota is used up, 2 tries"):
        model.ask(MESSAGES)


def test_a_server_that_has_gone_is_waited_for_and_one_that_was_never_there_is_not(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_module, "PAUSES", (0.0, 0.0))
    server, model = serve(lambda request: "ok")
    connected, is_there = model._connected, iter([False, True, False, False, True, False, False, False])

    def connect() -> Any:
        if not next(is_there):
            raise openai.APIConnectionError(request=httpx.Request("POST", server.base_url))
        return connected()

    monkeypatch.setattr(model, "_connected", connect)
    with pytest.raises(ReflectionError, match="is the base URL right"):
        model.ask(MESSAGES)
    assert [model.ask(MESSAGES).text for _ in range(2)] == ["ok", "ok"]
    with pytest.raises(ReflectionError, match="is the base URL right"):
        model.ask(MESSAGES)
    assert (len(server.requests), list(is_there)) == (2, [])


def test_a_model_that_takes_no_system_message_is_not_waited_for(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "PAUSES", (600.0,))
    refusal = error(500, "Jinja Exception: System role not supported")
    _, model = serve(lambda request: refusal if len(request["messages"]) == 2 else "ok")
    assert model.ask(MESSAGES).text == "ok"


def test_when_the_search_is_over_nobody_waits_for_the_server(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "PAUSES", (600.0,))

    def fail(request: Body) -> Answer:
        model.end()
        return error(503, "overloaded")

    server, model = serve(fail)
    with pytest.raises(ReflectionOver, match="the search has ended"):
        model.ask(MESSAGES)
    assert len(server.requests) == 2


def test_a_server_that_is_not_there_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "RETRIES", 0)
    with FakeOpenAI(lambda request: "x") as server:
        url = server.base_url
    model = ReflectionModel(ReflectionEndpoint("reflector", url.replace("//", "//me:pass@"), "", 10.0))
    with pytest.raises(ReflectionError, match="is the base URL right") as caught:
        model.ask(MESSAGES)
    assert url in str(caught.value)
    assert "pass@" not in str(caught.value)
    model.close()


JWT = f"eyJhbGciOiJIUzI1NiJ9.{300 * 'aB3d'}.{40 * 'x'}"


@pytest.mark.parametrize(
    ("address", "said"),
    [("https://gw.example/v1", "https://gw.example/v1"),
     ("https://gw.example/v1?api-key=Zx81kQ22pLm09aaB", "https://gw.example/v1?[redacted]"),
     ("https://me:pass@gw.example/v1?code=Zx81kQ22&v=2", "https://gw.example/v1?[redacted]")],
)  # fmt: skip
def test_a_message_tells_no_secret_of_the_base_url(address: str, said: str) -> None:
    model = ReflectionModel(ReflectionEndpoint("reflector", address, ""))
    assert model._message("gone", "check it") == f"reflection model 'reflector' at {said}: check it (gone)"


def test_nor_of_the_model_s_name_nor_of_what_a_server_echoes(serve: Serve) -> None:
    """What is cut short holds nothing of a secret: of a part nobody knows that it is one."""
    server, _ = serve(lambda request: error(401, f"{'why: ' * 50}no {JWT} of sk-secret\nfor <b>\nACME\n</b>"))
    endpoint = ReflectionEndpoint("ft:ACME-corp", server.base_url, "sk-secret", 10.0)
    redact = Redactor({}, [r"(?s)<b>.*?</b>", r"ACME-\w+"]).redact
    model = ReflectionModel(endpoint, redact=redact)
    with pytest.raises(ReflectionError) as caught:
        model.ask(MESSAGES)
    model.close()
    told = str(caught.value)
    assert told.startswith(f"reflection model 'ft:[redacted]' at {server.base_url}: check ")
    assert "why: no [redacted] of <key>\\nfor [redacted]" in told


def test_the_name_of_a_model_without_a_stored_answer_is_told_without_secrets() -> None:
    stores = Stores(None, None, "only")
    model = ReflectionModel(ReflectionEndpoint("ft:ACME-corp"), stores, redact=Redactor({}, [r"ACME-\w+"]).redact)
    with pytest.raises(ReflectionError, match=r"reflection model 'ft:\[redacted\]': no stored answer"):
        model.ask(MESSAGES)


def test_an_answer_that_does_not_come_in_time_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "RETRIES", 0)
    done = threading.Event()

    def wait(request: Body) -> Answer:
        done.wait(20)
        return "late"

    with FakeOpenAI(wait) as server:
        model = ReflectionModel(ReflectionEndpoint("reflector", server.base_url, "", 0.05))
        with pytest.raises(ReflectionError, match=r"within 0\.05 s, 1 times; gepa_reflection_timeout"):
            model.ask(MESSAGES)
        done.set()
        model.close()


@pytest.mark.parametrize("body", ["<html>proxy</html>", {"detail": "upstream"}])
def test_what_is_no_chat_completion_is_reported(serve: Serve, body: Any) -> None:
    _, model = serve(lambda request: (200, body))
    with pytest.raises(ReflectionError, match="base URL"):
        model.ask(MESSAGES)


@pytest.mark.parametrize("error", [{"message": "upstream is gone", "code": None}, "upstream is gone"])
def test_an_error_with_status_200_is_told_as_one(serve: Serve, error: object) -> None:
    server, model = serve(lambda request: (200, {"error": error}))
    with pytest.raises(ReflectionError, match=r"it answers with an error .*upstream is gone") as caught:
        model.ask(MESSAGES)
    assert "/v1?" not in str(caught.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("code", "mend"),
    [
        (502, "the server failed, 2 tries .*Provider returned error"),
        ("429", "rate limit"),
        (408, "it refuses the request .*Provider returned error"),
    ],
)
@pytest.mark.parametrize("is_metered", [False, True])
def test_passing_trouble_with_status_200_is_tried_again(
    serve: Serve,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: object,
    mend: str,
    is_metered: bool,
) -> None:
    monkeypatch.setattr("openai._base_client.BaseClient._calculate_retry_timeout", lambda *_, **__: 0.0)
    failed = (200, {"error": {"code": code, "message": "Provider returned error"}, "user_id": "u"})
    answers = iter([failed, "ok", failed, failed])
    server, model = serve(lambda request: next(answers))
    if is_metered:
        model._meter = Meter.create(tmp_path / "costs", PriceList([]), None)
    assert model.ask(MESSAGES).text == "ok"
    with pytest.raises(ReflectionError, match=mend):
        model.ask(MESSAGES)
    assert len(server.requests) == 4


def test_a_context_that_is_too_long_may_be_told_with_status_200(serve: Serve) -> None:
    message = "maximum context length is 8192 tokens"
    _, model = serve(lambda request: (200, {"error": {"code": 400, "message": message}}))
    with pytest.raises(ContextTooLong):
        model.ask(MESSAGES)


def test_a_completion_without_choices_is_an_empty_reply(serve: Serve) -> None:
    _, model = serve(lambda request: {"id": "x", "choices": [], "object": "chat.completion"})
    assert model.ask(MESSAGES).text == ""


def test_a_message_in_parts_is_put_together(serve: Serve) -> None:
    parts = [
        {"type": "thinking", "thinking": []},
        {"type": "text", "text": "two "},
        {"type": "text", "text": "words"},
    ]
    _, model = serve(lambda request: (200, completion(request, {"content": parts})))
    assert model.ask(MESSAGES).text == "two words"


def test_many_threads_may_ask_at_once(serve: Serve) -> None:
    gate = threading.Barrier(8)

    def reply(request: Body) -> Answer:
        gate.wait(20)
        return "ok"

    _, model = serve(reply)
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: model.ask(MESSAGES), range(8)))
    assert [reply.text for reply in replies] == ["ok"] * 8


@pytest.mark.parametrize(
    ("setting", "environ", "endpoint"),
    [
        (None, {}, None),
        ("", {"OPENAI_API_KEY": "k"}, None),
        ("a", {}, ReflectionEndpoint("a")),
        (None, {"GEPA_REFLECTION_MODEL": "b"}, ReflectionEndpoint("b")),
        ("a", {"GEPA_REFLECTION_MODEL": "b"}, ReflectionEndpoint("a")),
        ("a", {"OPENAI_BASE_URL": "u", "OPENAI_API_KEY": "k"}, ReflectionEndpoint("a", "u", "k")),
        (
            "a",
            {
                "OPENAI_BASE_URL": "u",
                "OPENAI_API_KEY": "k",
                "GEPA_REFLECTION_BASE_URL": "v",
                "GEPA_REFLECTION_API_KEY": "l",
            },
            ReflectionEndpoint("a", "v", "l"),
        ),
        ("a", {"OPENAI_BASE_URL": "u", "GEPA_REFLECTION_BASE_URL": ""}, ReflectionEndpoint("a", "u")),
        (
            "a",
            {"OPENAI_API_KEY": "k", "GEPA_REFLECTION_BASE_URL": "https://elsewhere.example/v1"},
            ReflectionEndpoint("a", "https://elsewhere.example/v1"),
        ),
        (
            "a",
            {"OPENAI_API_KEY": "k", "GEPA_REFLECTION_BASE_URL": "https://api.openai.com/v1"},
            ReflectionEndpoint("a", "https://api.openai.com/v1", "k"),
        ),
        (
            "a",
            {"OPENAI_API_KEY": "k", "GEPA_REFLECTION_BASE_URL": "http://127.0.0.1:8103/v1"},
            ReflectionEndpoint("a", "http://127.0.0.1:8103/v1", "k"),
        ),
    ],
)
def test_the_endpoint_comes_from_setting_and_environment(
    setting: str | None, environ: dict[str, str], endpoint: ReflectionEndpoint | None
) -> None:
    assert endpoint_from_environment(setting, environ) == endpoint
    later = None if endpoint is None else replace(endpoint, timeout=1800.0)
    assert endpoint_from_environment(setting, environ, 1800.0) == later


ELSEWHERE = {"GEPA_REFLECTION_BASE_URL": "https://elsewhere.example/v1", "OPENAI_API_KEY": "k"}


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"OPENAI_API_KEY": "k"}, ": check OPENAI_API_KEY ("),
        ({"OPENAI_API_KEY": "k", "GEPA_REFLECTION_API_KEY": "l"}, ": check GEPA_REFLECTION_API_KEY ("),
        ({}, ": no key was sent; set GEPA_REFLECTION_API_KEY, or OPENAI_API_KEY ("),
        (
            ELSEWHERE,
            ": no key was sent; set GEPA_REFLECTION_API_KEY (OPENAI_API_KEY is not sent to this host) (",
        ),
    ],
)
def test_a_refused_key_is_named_by_the_variable_that_was_sent(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], said: str
) -> None:
    server, _ = serve(lambda request: error(401, "no"))
    endpoint = endpoint_from_environment("reflector", environ)
    assert endpoint is not None
    model = ReflectionModel(replace(endpoint, base_url=server.base_url))
    with pytest.raises(ReflectionError) as caught:
        model.ask(MESSAGES)
    model.close()
    assert said in str(caught.value)


def test_the_key_is_not_in_the_endpoints_repr() -> None:
    assert "sk-1" not in repr(ReflectionEndpoint("a", None, "sk-1"))


# Stored answers


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    stores = Stores(ResponseCache(tmp_path / "cache"), ResponseCache(tmp_path / "recording"))
    yield stores
    stores.close()


def asked(server: FakeOpenAI, stores: Stores, *, trial: str = "reflect/0") -> ReflectionModel:
    return ReflectionModel(ReflectionEndpoint("reflector", server.base_url, "k", 10.0), stores, trial)


def test_a_question_is_paid_for_once_in_a_trial(stores: Stores) -> None:
    with FakeOpenAI(lambda request: f"answer {len(server.requests)}") as server:
        first = asked(server, stores)
        assert [first.ask(MESSAGES, FULL.schema).text for _ in range(2)] == ["answer 1", "answer 2"]
        again = asked(server, stores)
        replies = [again.ask(MESSAGES, FULL.schema) for _ in range(3)]
        assert [reply.text for reply in replies] == ["answer 1", "answer 2", "answer 3"]
        assert [reply.input_tokens for reply in replies] == [0, 0, 3], "what is stored costs no tokens"
        other = asked(server, stores, trial="reflect/1")
        assert other.ask(MESSAGES, FULL.schema).text == "answer 4"
        for model in (first, again, other):
            model.close()


def test_refusals_of_a_schema_are_replayed_and_nothing_is_sent(stores: Stores) -> None:
    def reply(request: Body) -> Answer:
        return error(400, "response_format is not supported") if "response_format" in request else "ok"

    with FakeOpenAI(reply) as server:
        model = asked(server, stores)
        assert model.ask(MESSAGES, FULL.schema).text == "ok"
        model.close()
    closed = Stores(None, stores.recording, "only")
    replayed = ReflectionModel(ReflectionEndpoint("reflector"), closed, "reflect/0")
    assert replayed.ask(MESSAGES, FULL.schema).text == "ok"


def test_a_refusal_of_the_system_role_is_replayed_and_nothing_is_sent(stores: Stores) -> None:
    def reply(request: Body) -> Answer:
        return error(400, "System role not supported") if len(request["messages"]) == 2 else "ok"

    with FakeOpenAI(reply) as server:
        model = asked(server, stores)
        assert [model.ask(MESSAGES, FULL.schema).text for _ in range(2)] == ["ok", "ok"]
        model.close()
    closed = Stores(None, stores.recording, "only")
    replayed = ReflectionModel(ReflectionEndpoint("reflector"), closed, "reflect/0")
    assert [replayed.ask(MESSAGES, FULL.schema).text for _ in range(2)] == ["ok", "ok"]


def test_a_context_that_was_too_long_is_so_in_a_replay(stores: Stores) -> None:
    with FakeOpenAI(lambda request: error(400, "maximum context length is 8192 tokens")) as server:
        model = asked(server, stores)
        with pytest.raises(ContextTooLong):
            model.ask(MESSAGES)
        model.close()
    replayed = ReflectionModel(ReflectionEndpoint("reflector"), Stores(None, stores.recording, "only"), "reflect/0")
    with pytest.raises(ContextTooLong):
        replayed.ask(MESSAGES)


def test_a_question_that_is_not_recorded_is_not_sent(stores: Stores) -> None:
    with FakeOpenAI(lambda request: "sent") as server:
        model = asked(server, Stores(stores.cache, stores.recording, "only"))
        with pytest.raises(ReflectionError, match="no stored answer, and nothing was sent"):
            model.ask(MESSAGES, FULL.schema)
    assert server.requests == []


# What the server says it has read


LONG = [{"role": "system", "content": "Improve it. " * 900}, {"role": "user", "content": "Now. " * 900}]
"""15,300 characters, about 4,250 tokens."""


def counting(tokens: int) -> Callable[[Body], Answer]:
    return lambda request: {**completion(request, {"content": "ok"}), "usage": {"prompt_tokens": tokens}}


def test_a_server_that_counts_far_less_than_it_was_sent_is_told_of_once(serve: Serve) -> None:
    server, model = serve(counting(2_048))
    assert model.warning == ""
    model.ask(LONG)
    server.reply = counting(2_047)
    model.ask([*LONG, MESSAGES[1]])
    assert model.warning == (
        "the reflection model's server counted 2,047 tokens of a request of about 4,251: it may cut what it is sent, "
        "and the model not see all of it; for Ollama set num_ctx (OLLAMA_CONTEXT_LENGTH)"
    )


@pytest.mark.parametrize("messages", [MESSAGES, LONG])
@pytest.mark.parametrize("counted", [0, 2_200])
def test_a_count_that_may_be_right_or_is_none_tells_nothing(
    serve: Serve, messages: list[dict[str, str]], counted: int
) -> None:
    _, model = serve(counting(counted))
    model.ask(messages)
    assert model.warning == ""


def test_a_small_count_of_a_short_request_tells_nothing(serve: Serve) -> None:
    _, model = serve(counting(1))
    model.ask([MESSAGES[0], {"role": "user", "content": "word " * 1_400}])
    assert model.warning == ""


def test_scripts_of_several_bytes_a_character_are_no_sign_of_a_cut(serve: Serve) -> None:
    _, model = serve(counting(2_400))
    model.ask([MESSAGES[0], {"role": "user", "content": "\u0434\u0430 " * 3_000}])
    assert model.warning == ""


def test_a_replay_tells_of_it_as_well(stores: Stores) -> None:
    with FakeOpenAI(counting(2_048)) as server:
        model = asked(server, stores)
        model.ask(LONG)
        model.close()
    closed = Stores(None, stores.recording, "only")
    replayed = ReflectionModel(ReflectionEndpoint("reflector"), closed, "reflect/0")
    replayed.ask(LONG)
    assert replayed.warning == model.warning != ""


# What it costs


def test_every_try_is_paid_for_and_none_is_made_that_could_pass_the_cap(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openai._base_client.BaseClient._calculate_retry_timeout", lambda *_, **__: 0.0)
    meter = Meter.create(tmp_path / "costs", PriceList(["reflector input=1 output=1 max_output=100"]), 3_000_000)
    usage = {"prompt_tokens": 400, "completion_tokens": 300}
    server, model = serve(lambda request: (500, {"error": {"message": "try again"}, "usage": usage}))
    model._meter = meter
    with pytest.raises(ReflectionError, match="the server failed"):
        model.ask(MESSAGES)
    assert len(server.requests) == 2
    assert meter.purse is not None
    assert meter.purse.standing().spent == 2 * 700_000
    server.reply = lambda request: {**completion(request, {"content": "yes"}), "usage": usage}
    assert model.ask([*MESSAGES, MESSAGES[1]]).text == "yes"
    with pytest.raises(OutOfMoney, match="has no room for a request"):
        model.ask(MESSAGES)
    assert len(server.requests) == 3
    assert [item.tokens for item in meter.bill.new() if item.has_ended] == [Tokens(400, 300)] * 3


@pytest.mark.parametrize("step", ["begin", "end"])
def test_a_bill_that_cannot_be_written_takes_no_answer_away(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*args: Any) -> str:
        raise OSError(28, "No space left on device")

    meter = Meter.create(tmp_path / "costs", PriceList(["reflector input=1 output=1"]), None)
    monkeypatch.setattr(meter.bill, step, fail)
    server, model = serve(lambda request: "yes")
    model._meter = meter
    assert model.ask(MESSAGES).text == "yes"
    assert len(server.requests) == 1


def test_under_a_cap_a_bill_that_cannot_be_written_is_the_end_of_the_money(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> str:
        raise OSError(28, "No space left on device")

    prices = PriceList(["reflector input=1 output=1 max_output=100"])
    meter = Meter.create(tmp_path / "costs", prices, 3_000_000)
    monkeypatch.setattr(meter.bill, "begin", fail)
    server, model = serve(lambda request: "yes")
    model._meter = meter
    with pytest.raises(OutOfMoney, match="the bill of the run cannot be written"):
        model.ask(MESSAGES)
    assert server.requests == []
    assert meter.purse is not None
    assert meter.purse.standing().reserved == 0


def test_when_the_search_is_over_nothing_more_is_sent_and_no_retry_either(serve: Serve, tmp_path: Path) -> None:
    def fail(request: Body) -> Answer:
        model.end()
        return error(500, "overloaded")

    server, model = serve(fail)
    model._meter = Meter.create(tmp_path / "costs", PriceList([]), None)
    for _ in range(2):
        with pytest.raises(ReflectionOver, match="the search has ended"):
            model.ask(MESSAGES)
    assert len(server.requests) == 1
