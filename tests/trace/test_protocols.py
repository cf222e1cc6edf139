from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.trace import protocols
from pytest_gepa.trace.chat import Answer, ChatRequest
from pytest_gepa.trace.protocols import FALLBACK, LONGEST_TEXT, PROTOCOLS, Protocol, recognise
from pytest_gepa.trace.trajectory import Message
from tests import wire
from tests.trace.bodies import cut, encode

CHAT, RESPONSES, ANTHROPIC, EMBEDDINGS, LEGACY, OLLAMA, GEMINI = PROTOCOLS
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital of France?"}]
SAID = {
    "content": "Das ist: Köln — 東京 🗼",
    "reasoning_content": "hm hm",
    "tool_calls": [wire.tool_call("f", {"city": "Köln"}), wire.tool_call("g", [1, 2, 3], "call_2")],
}
GEMINI_PARTS = [
    {"text": "hm hm", "thought": True},
    {"text": "Das ist: "},
    {"text": "Köln — 東京 🗼"},
    {"functionCall": {"name": "f", "args": {"city": "Köln"}}},
]


# Which protocol it is


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/v1/chat/completions", {"messages": MESSAGES}, CHAT),
        ("/any/prefix/openai/deployments/gpt/chat/completions/", {"messages": MESSAGES}, CHAT),
        ("/v1/responses", {"input": "hi"}, RESPONSES),
        ("/openai/v1/responses", {"input": "hi"}, RESPONSES),
        ("/v1/messages", {"messages": MESSAGES}, ANTHROPIC),
        (
            "/v1/projects/p/locations/l/publishers/anthropic/models/c:rawPredict",
            {"messages": MESSAGES},
            ANTHROPIC,
        ),
        ("/v1/embeddings", {"input": "hi"}, EMBEDDINGS),
        ("/openai/deployments/e/embeddings", {"input": ["hi"]}, EMBEDDINGS),
        ("/api/embed", {"input": "hi"}, EMBEDDINGS),
        ("/v1beta/models/e:embedContent", {"content": {"parts": [{"text": "hi"}]}}, EMBEDDINGS),
        ("/v1/completions", {"prompt": "hi"}, LEGACY),
        ("/api/chat", {"messages": MESSAGES}, OLLAMA),
        ("/api/generate", {"prompt": "hi"}, OLLAMA),
        ("/v1beta/models/gemini-3:generateContent", {"contents": []}, GEMINI),
        ("/v1beta/models/gemini-3:streamGenerateContent", {"contents": []}, GEMINI),
        ("/v1/rerank", {"query": "hi"}, FALLBACK),
        ("/v1/threads/t/messages", {"role": "user", "content": "hi"}, FALLBACK),
        ("/v1/responses/r/cancel", {}, FALLBACK),
    ],
)
def test_a_protocol_is_known_by_the_end_of_the_path_and_the_shape_of_the_body(
    path: str, body: Any, expected: Protocol
) -> None:
    recognised = recognise("POST", path, "application/json", encode(body))
    assert recognised is not None
    assert recognised[0] is expected


def test_chat_completions_are_recognised_without_a_content_type_and_in_any_case() -> None:
    recognised = recognise("post", "/v1/chat/completions", "", encode({"model": "m", "messages": MESSAGES}))
    assert recognised is not None
    assert recognised[0] is CHAT
    assert recognised[1].messages == (Message("system", "Be brief."), Message("user", "Capital of France?"))


def test_other_requests_are_no_calls() -> None:
    assert recognise("GET", "/v1/chat/completions", "application/json", b"") is None
    assert recognise("POST", "/upload", "multipart/form-data", b"{}") is None
    assert recognise("POST", "/x", "application/json", b"[1]") is None
    assert recognise("POST", "/v1/chat/completions", "", b"nonsense") is None
    assert recognise("POST", "/x", "application/x-www-form-urlencoded", b"q=hi") is None
    assert recognise("POST", "/x", "application/octet-stream", b"{ no json") is None


@pytest.mark.parametrize(
    ("path", "body", "model"),
    [
        (
            "/model/anthropic.claude-sonnet-4-v1%3A0/invoke",
            {"max_tokens": 9},
            "anthropic.claude-sonnet-4-v1:0",
        ),
        ("/model/amazon.nova-lite-v1:0/converse-stream", {"messages": []}, "amazon.nova-lite-v1:0"),
        ("/model/router/invoke", {"model": "named in the body"}, "named in the body"),
        ("/v1/threads/t/runs", {"assistant_id": "asst_1"}, "asst_1"),
        ("/v1/batches", {"input_file_id": "f", "completion_window": "24h"}, "batch"),
        ("/v1/messages/batches", {"requests": [{"custom_id": "a", "params": {"model": "claude"}}]}, "claude"),
        ("/api/batches", {"requests": [{"sku": "a"}]}, ""),
        ("/model/car/price", {"doors": "three"}, ""),
    ],
)
def test_a_model_is_known_wherever_an_unknown_protocol_names_it(path: str, body: Any, model: str) -> None:
    recognised = recognise("POST", path, "application/json", encode(body))
    assert recognised is not None
    assert recognised[0] is FALLBACK
    assert recognised[1].model == model


def test_the_tokens_of_a_conversation_with_bedrock_are_read() -> None:
    said = encode({"output": {}, "usage": {"inputTokens": 12, "outputTokens": 3, "totalTokens": 15}})
    answer = FALLBACK.read_answer(said, "application/json")
    assert answer is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (12, 3)


@pytest.mark.parametrize("content_type", ["", "application/x-www-form-urlencoded", "text/plain"])
@pytest.mark.parametrize(
    ("body", "said"), [({"model": "m", "q": "hi"}, "hi"), ([{"Text": "hi"}, {"Text": "there"}], "hi\nthere")]
)
def test_json_for_an_unknown_endpoint_is_recognised_whatever_it_is_announced_as(
    content_type: str, body: Any, said: str
) -> None:
    recognised = recognise("POST", "/predict", content_type, encode(body))
    assert recognised is not None
    assert recognised[0] is FALLBACK
    assert recognised[1].messages == (Message("user", said),)


@pytest.mark.parametrize(
    ("path", "body", "model", "stream"),
    [
        ("/openai/deployments/my-gpt/chat/completions", {"messages": []}, "my-gpt", False),
        ("/openai/deployments/my-gpt/chat/completions", {"messages": [], "model": "named"}, "named", False),
        ("/v1beta/models/gemini-3:generateContent", {"contents": []}, "gemini-3", False),
        ("/v1beta/models/gemini-3:streamGenerateContent", {"contents": []}, "gemini-3", True),
        ("/v1/chat/completions", {"messages": []}, "", False),
    ],
)
def test_what_a_body_leaves_to_the_path_is_read_there(path: str, body: Any, model: str, stream: bool) -> None:
    recognised = recognise("POST", path, "application/json", encode(body))
    assert recognised is not None
    assert (recognised[1].model, recognised[1].stream) == (model, stream)


@pytest.mark.parametrize(
    ("protocol", "kind"),
    [*((known, "chat") for known in PROTOCOLS if known is not EMBEDDINGS), (FALLBACK, "other")],
)
def test_only_embeddings_and_what_is_not_known_are_no_chat(protocol: Protocol, kind: str) -> None:
    body = {"messages": [], "input": "a", "prompt": "a", "contents": []}
    asked = protocol.read_request("/", encode(body))
    assert asked is not None
    assert asked.kind == kind


# What is not known


def test_other_json_is_read_as_one_user_message_of_its_strings() -> None:
    body = {"model": "gpt", "instructions": "Be brief.", "input": [{"role": "user", "content": "hi"}], "n": 1}
    request = FALLBACK.read_request("/x", encode(body))
    assert request == ChatRequest("gpt", (Message("user", "Be brief.\nuser\nhi"),), kind="other")
    assert not FALLBACK.cacheable


@pytest.mark.parametrize(
    ("model", "name"), [("m", "m"), ({"name": "m", "api_key": "k-1"}, "m"), ({"size": 7}, ""), (None, "")]
)
def test_of_a_model_of_an_unknown_protocol_only_its_name_is_kept(model: Any, name: str) -> None:
    request = FALLBACK.read_request("/x", encode({"model": model, "q": "hi"}))
    assert request == ChatRequest(name, (Message("user", "hi"),), kind="other")


def test_what_is_named_like_a_secret_and_what_is_data_is_left_out() -> None:
    body = {
        "client_secret": "x",
        "auth": {"token": "y"},
        "max_tokens": "5",
        "image": "A" * 2000,
        "url": "data:a",
    }
    recognised = recognise("POST", "/x", "application/json", encode(body))
    assert recognised is not None
    assert recognised[1].messages[0].content == "5\n[2000 characters of data]\n[6 characters of data]"


def test_the_answer_of_an_unknown_protocol_is_its_text_cut() -> None:
    body = encode({"output": "é" * LONGEST_TEXT, "usage": {"input_tokens": 3, "output_tokens": 4}})
    answer = FALLBACK.read_answer(body, "application/json")
    assert answer is not None
    assert answer.message is not None
    assert body.decode().startswith(answer.message.content)
    assert LONGEST_TEXT - 10 < len(answer.message.content) <= LONGEST_TEXT
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (3, 4)


def test_the_answer_that_is_no_text_is_named_by_its_size() -> None:
    answer = FALLBACK.read_answer(b"\x00" * 10, "audio/mpeg")
    assert answer is not None
    assert answer.message == Message("assistant", "[audio/mpeg, 10 bytes]")


@pytest.mark.parametrize("protocol", [known for known in PROTOCOLS if known is not CHAT])
def test_an_answer_of_another_form_behind_a_common_path_is_kept_as_text(protocol: Protocol) -> None:
    answer = protocol.read_answer(b'{"reply": "hello"}', "application/json")
    assert answer is not None
    assert answer.message == Message("assistant", '{"reply": "hello"}')


def test_a_chat_completion_of_another_form_has_no_answer() -> None:
    answer = CHAT.read_answer(b'{"reply": "hello"}', "application/json")
    assert answer is not None
    assert answer.message is None


# Every protocol: a stream is the whole, whatever it is cut into; nothing raises


@dataclass(frozen=True)
class World:
    """A protocol with a body that it answers with, and the same as the events of a stream."""

    protocol: Protocol
    path: str
    request: Any
    whole: Any
    events: list[Any]
    encode: Callable[[list[Any]], Iterator[bytes]]


def gemini(parts: list[Any], **fields: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": parts}, "index": 0, **fields}]}


def worlds() -> Iterator[World]:
    request = {
        "model": "m",
        "messages": MESSAGES,
        "tools": [{"type": "function", "function": {"name": "f", "description": "Finds it.", "parameters": {}}}],
        "stream_options": {"include_usage": True},
    }
    whole = wire.completion(request, SAID, {"content": "Zwei"})
    yield World(CHAT, "/chat/completions", request, whole, list(wire.chunks(request, whole)), wire.data_lines)
    items = [
        {
            "type": "web_search_call",
            "id": "ws_1",
            "status": "completed",
            "action": {"type": "search", "query": "q"},
        },
        {
            "type": "file_search_call",
            "id": "fs_1",
            "status": "completed",
            "queries": ["q"],
            "results": [{"text": "t"}],
        },
    ]
    asked: dict[str, Any] = {
        "model": "m",
        "instructions": "Be brief.",
        "input": [MESSAGES[1], *items, {"type": "function_call_output", "call_id": "c", "output": "5"}],
        "tools": [{"type": "function", "name": "f", "description": "Finds it.", "parameters": {}}],
    }
    whole = wire.response({"input": "hi there"}, {**SAID, "items": items})
    yield World(RESPONSES, "/responses", asked, whole, list(wire.response_events(whole)), wire.named_events)
    blocks = [
        {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": [{"title": "t", "url": "u"}]},
    ]
    whole = wire.anthropic_message({"messages": MESSAGES}, {**SAID, "blocks": blocks})
    asked = {
        "model": "m",
        "system": "Be brief.",
        "messages": [MESSAGES[1], {"role": "assistant", "content": blocks}],
    }
    yield World(ANTHROPIC, "/messages", asked, whole, list(wire.anthropic_events(whole)), wire.named_events)
    whole = wire.text_completion({}, {"content": "Das ist: Köln"})
    chunks = list(wire.text_chunks({}, {**whole, "usage": None}))
    asked = {"model": "m", "prompt": "hi"}
    yield World(LEGACY, "/completions", asked, {**whole, "usage": None}, chunks, wire.data_lines)
    whole = {**gemini(GEMINI_PARTS, finishReason="STOP"), "usageMetadata": {"promptTokenCount": 3}}
    pieces = [gemini([part]) for part in GEMINI_PARTS[:-1]]
    last = {**gemini(GEMINI_PARTS[-1:], finishReason="STOP"), "usageMetadata": {"promptTokenCount": 3}}
    asked = {
        "contents": [{"parts": [{"text": "hi"}]}],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
    }
    yield World(GEMINI, ":streamGenerateContent", asked, whole, [*pieces, last], data_only)


def data_only(events: list[Any]) -> Iterator[bytes]:
    return (b"data: " + encode(event) + b"\n\n" for event in events)


WORLDS = {world.path: world for world in worlds()}
EVERY_WORLD = pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)


def read(protocol: Protocol, pieces: list[bytes]) -> tuple[Answer | None, bool]:
    stream = protocol.stream()
    assert stream is not None
    for piece in pieces:
        stream.feed(piece)
    answer = stream.answer()
    return answer, stream.complete


@EVERY_WORLD
@given(cuts=st.lists(st.integers(0, 10_000)), end=st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_a_stream_amounts_to_the_whole_whatever_it_is_cut_into(world: World, cuts: list[int], end: bytes) -> None:
    data = b"".join(world.encode(world.events)).replace(b"\n", end)
    answer, complete = read(world.protocol, cut(data, cuts))
    assert answer == world.protocol.read_answer(encode(world.whole), "application/json")
    assert complete


@EVERY_WORLD
def test_single_bytes_give_the_same_answer(world: World) -> None:
    data = b"".join(world.encode(world.events))
    assert read(world.protocol, [data[at : at + 1] for at in range(len(data))])[0] == read(world.protocol, [data])[0]


@EVERY_WORLD
def test_whole_bodies_and_streams_that_nobody_announced_are_read_and_complete(world: World) -> None:
    data = b"".join(world.encode(world.events))
    whole = world.protocol.read_answer(encode(world.whole), "application/json")
    assert whole is not None
    assert whole.message is not None
    assert world.protocol.read_answer(data, "text/plain") == whole
    assert world.protocol.is_complete(encode(world.whole))
    assert world.protocol.is_complete(data)


@EVERY_WORLD
@given(share=st.floats(0, 0.98))
def test_a_stream_that_breaks_off_is_never_complete(world: World, share: float) -> None:
    # The chat world ends with its usage and the marker, behind the finish reason.
    events = world.events[:-2] if world.protocol is CHAT else world.events[:-1]
    data = b"".join(world.encode(events)).removesuffix(b"data: [DONE]\n\n")
    data = data[: int(len(data) * share)]
    answer, complete = read(world.protocol, [data])
    assert not complete
    assert not world.protocol.is_complete(data)
    assert answer is None or answer.error == ""


SOURCES = "".join(path.read_text("utf-8") for path in Path(protocols.__file__).parent.glob("*.py"))
NAMES = sorted(set(re.findall(r'"([A-Za-z_.]{2,40})"', SOURCES)))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(NAMES)
    | st.just("data:image/png;base64,QUJD"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=15,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in inner:
        yield from places(item, (*path, name))


def put(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    if not path:
        return other
    name, *rest = path
    changed = put(value[name], tuple(rest), other)
    if isinstance(value, dict):
        return {**value, name: changed}
    return [*value[:name], changed, *value[name + 1 :]]


def damaged(value: Any) -> st.SearchStrategy[Any]:
    """The value with one to three of its parts, at any depth, replaced by some other JSON."""

    def replaced(change: tuple[int, Any], rest: Any) -> Any:
        paths = list(places(rest))
        return put(rest, paths[change[0] % len(paths)], change[1])

    def all_replaced(changes: list[tuple[int, Any]]) -> Any:
        rest = value
        for change in changes:
            rest = replaced(change, rest)
        return rest

    return st.lists(st.tuples(st.integers(0, 5_000), JSON), min_size=1, max_size=3).map(all_replaced)


EMBEDDING = World(
    EMBEDDINGS, "/embeddings", {"input": ["a", "b"]}, wire.embeddings({"input": ["a", "b"]}), [], data_only
)
OLLAMA_CHAT = World(
    OLLAMA,
    "/api/chat",
    {"model": "m", "messages": [{**MESSAGES[1], "images": ["QUJD"]}], "format": {"type": "object"}},
    {
        "message": {"role": "assistant", "content": "hi", "thinking": "hm"},
        "done": True,
        "done_reason": "stop",
    },
    [],
    data_only,
)
ALL = {**WORLDS, "/embeddings": EMBEDDING, "/api/chat": OLLAMA_CHAT}


def check(protocol: Protocol, path: str, body: bytes) -> None:
    asked = protocol.read_request(path, body)
    assert asked is None or all(isinstance(message, Message) for message in asked.messages)
    answer = protocol.read_answer(body, "application/json")
    assert answer is None or isinstance(answer, Answer)
    assert isinstance(protocol.is_complete(body), bool)


@pytest.mark.parametrize("world", ALL.values(), ids=ALL)
@given(data=st.data())
def test_bodies_damaged_anywhere_raise_nothing(world: World, data: st.DataObject) -> None:
    check(world.protocol, world.path, encode(data.draw(damaged(world.request))))
    check(world.protocol, world.path, encode(data.draw(damaged(world.whole))))


@EVERY_WORLD
@given(data=st.data())
def test_streams_damaged_anywhere_raise_nothing(world: World, data: st.DataObject) -> None:
    events = [{"type": "ping", **event} if isinstance(event, dict) else event for event in world.events]
    spoilt = data.draw(damaged(events))
    kept = [event for event in spoilt if isinstance(event, dict)] if isinstance(spoilt, list) else []
    body = b"".join(world.encode([{"type": "x", **event} for event in kept]))
    answer, _ = read(world.protocol, [body])
    assert answer is None or isinstance(answer, Answer)


@pytest.mark.parametrize("protocol", [*PROTOCOLS, FALLBACK])
@given(body=st.binary(max_size=60) | JSON.map(encode))
def test_no_bytes_and_no_json_whatever_raise(protocol: Protocol, body: bytes) -> None:
    check(protocol, "/x", body)
    stream = protocol.stream()
    if stream is not None:
        stream.feed(b"data: " + body)
        stream.feed(body + b"\n\n")
        stream.answer()


@pytest.mark.parametrize("protocol", [*PROTOCOLS, FALLBACK])
@pytest.mark.parametrize("depth", [900, 100_000])
def test_no_depth_of_nesting_exhausts_the_stack(protocol: Protocol, depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    names = (
        b"messages",
        b"input",
        b"content",
        b"contents",
        b"tools",
        b"prompt",
        b"output",
        b"choices",
        b"data",
    )
    check(protocol, "/x", b"{" + b", ".join(b'"%s": %s' % (name, deep) for name in names) + b"}")
    nested = b'{"content": [' * depth + b"]}" * depth
    check(protocol, "/x", b'{"messages": [%s], "input": [%s], "content": [%s]}' % (nested, nested, nested))
