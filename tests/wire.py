"""The bodies and events that model APIs send, built from one short message: chat completions, legacy completions,
Responses, Anthropic messages, embeddings. Tokens are counted as words. No server in it."""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Iterator
from typing import Any

Body = dict[str, Any]

LOGPROB = -0.25
"""The log probability of every word, where they are asked for."""


def tool_call(name: str, arguments: Any, id: str = "call_1") -> Body:
    """One entry of a message's `tool_calls`."""
    return {"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


def text_of(content: Any) -> str:
    """The text of a message's content, a string or a list of parts."""
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content)
    return content or ""


def words(text: str | None) -> list[str]:
    """The words of a text with the space behind each: what one event of a stream brings."""
    return re.findall(r"\S+\s*|\s+", text or "")


# Chat completions


def completion(request: Body, *messages: Body) -> Body:
    """The whole body of a chat completion: a choice for each message, or `n` times the only one."""
    several = messages if len(messages) > 1 else messages * int(request.get("n") or 1)
    choices = [_choice(request, index, message) for index, message in enumerate(several)]
    sent = sum(len(text_of(item.get("content")).split()) for item in request.get("messages", []))
    got = sum(len(text_of(choice["message"]["content"]).split()) for choice in choices)
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": 1,
        "model": request.get("model", "fake"),
        "choices": choices,
        "usage": {"prompt_tokens": sent, "completion_tokens": got, "total_tokens": sent + got},
    }


def _choice(request: Body, index: int, message: Body) -> Body:
    message = {"role": "assistant", "content": None, **message}
    finish = message.pop("finish_reason", None) or ("tool_calls" if message.get("tool_calls") else "stop")
    logprobs = _logprobs(words(message["content"])) if request.get("logprobs") else None
    return {"index": index, "message": message, "finish_reason": finish, "logprobs": logprobs}


def _logprobs(tokens: list[str]) -> Body:
    entries = [
        {"token": token, "logprob": LOGPROB, "bytes": list(token.encode()), "top_logprobs": []} for token in tokens
    ]
    return {"content": entries, "refusal": None}


def chunks(request: Body, whole: Body) -> Iterator[Body]:
    """The same completion as the chunks of a stream, the choices one word each in turn; the usage comes last, and
    only if the request asks for it."""
    head = {"id": whole["id"], "object": "chat.completion.chunk", "created": 1, "model": whole["model"]}
    streams = [_choice_deltas(choice) for choice in whole["choices"]]
    while streams:
        for stream in list(streams):
            choice = next(stream, None)
            if choice is None:
                streams.remove(stream)
            else:
                yield {**head, "choices": [choice]}
    if (request.get("stream_options") or {}).get("include_usage"):
        yield {**head, "choices": [], "usage": whole["usage"]}


def _choice_deltas(choice: Body) -> Iterator[Body]:
    def piece(delta: Body, finish: str | None = None, logprobs: Any = None) -> Body:
        said = {} if logprobs is None else {"logprobs": logprobs}
        return {"index": choice["index"], "delta": delta, "finish_reason": finish, **said}

    message = choice["message"]
    yield piece({"role": "assistant", "content": ""})
    for name in ("reasoning_content", "content", "refusal"):
        has_logprobs = name == "content" and choice.get("logprobs")
        for word in words(message.get(name)):
            yield piece({name: word}, logprobs=_logprobs([word]) if has_logprobs else None)
    for index, call in enumerate(message.get("tool_calls") or ()):
        arguments = call["function"]["arguments"]
        yield piece({"tool_calls": [{**call, "index": index, "function": {**call["function"], "arguments": ""}}]})
        for start in range(0, len(arguments), 8):
            part = {"arguments": arguments[start : start + 8]}
            yield piece({"tool_calls": [{"index": index, "function": part}]})
    yield piece({}, choice["finish_reason"])


# Legacy completions


def text_completion(request: Body, message: Body) -> Body:
    """The whole body of a legacy completion."""
    prompt, text = text_of(request.get("prompt")), message.get("content") or ""
    sent, got = len(prompt.split()), len(text.split())
    return {
        "id": "cmpl-fake",
        "object": "text_completion",
        "created": 1,
        "model": request.get("model", "fake"),
        "choices": [{"index": 0, "text": text, "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": sent, "completion_tokens": got, "total_tokens": sent + got},
    }


def text_chunks(request: Body, whole: Body) -> Iterator[Body]:
    """The same legacy completion as the chunks of a stream."""
    head = {name: whole[name] for name in ("id", "object", "created", "model")}
    for word in words(whole["choices"][0]["text"]):
        yield {**head, "choices": [{"index": 0, "text": word, "finish_reason": None, "logprobs": None}]}
    yield {**head, "choices": [{"index": 0, "text": "", "finish_reason": "stop", "logprobs": None}]}


# Responses


def response(request: Body, message: Body) -> Body:
    """The whole body of a response: the reasoning as a summary, then `items` as they are, the text or the refusal,
    and the tool calls. `status`, `error` and `incomplete_details` are put in their places."""
    output = list(_output(message))
    given = request.get("input")
    texts = [given] if isinstance(given, str) else [text_of(item.get("content")) for item in given or ()]
    sent = sum(len(text.split()) for text in [request.get("instructions") or "", *texts])
    got = len((message.get("content") or "").split())
    return {
        "id": "resp_fake",
        "object": "response",
        "created_at": 1,
        "status": message.get("status", "completed"),
        "error": message.get("error"),
        "incomplete_details": message.get("incomplete_details"),
        "instructions": request.get("instructions"),
        "model": request.get("model", "fake"),
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": request.get("previous_response_id"),
        "text": request.get("text") or {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": request.get("tools") or [],
        "metadata": {},
        "usage": {
            "input_tokens": sent,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": got,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": sent + got,
        },
    }


def _output(message: Body) -> Iterator[Body]:
    if message.get("reasoning_content"):
        summary = [{"type": "summary_text", "text": message["reasoning_content"]}]
        yield {"id": "rs_1", "type": "reasoning", "summary": summary}
    yield from message.get("items") or ()
    part = None
    if message.get("content") is not None:
        part = {"type": "output_text", "text": message["content"], "annotations": [], "logprobs": []}
    elif message.get("refusal"):
        part = {"type": "refusal", "refusal": message["refusal"]}
    if part is not None:
        head = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
        yield {**head, "content": [part]}
    for number, call in enumerate(message.get("tool_calls") or (), start=1):
        head = {"id": f"fc_{number}", "type": "function_call", "status": "completed"}
        yield {**head, "call_id": call["id"], **call["function"]}


def response_events(whole: Body) -> Iterator[Body]:
    """The same response as the events of a stream, numbered; the last says whether it is completed, incomplete or
    failed."""
    begun = {**whole, "status": "in_progress", "output": [], "usage": None, "error": None}
    events: list[Body] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for index, item in enumerate(whole["output"]):
        events += _item_events(item, index)
    events.append({"type": f"response.{whole['status']}", "response": whole})
    for number, event in enumerate(events):
        yield {**event, "sequence_number": number}


def _item_events(item: Body, index: int) -> Iterator[Body]:
    at = {"item_id": item["id"], "output_index": index}
    empty = {
        "message": {"content": [], "status": "in_progress"},
        "function_call": {"arguments": "", "status": "in_progress"},
        "reasoning": {"summary": []},
    }.get(item["type"], {})
    yield {"type": "response.output_item.added", "output_index": index, "item": {**item, **empty}}
    if item["type"] == "message":
        for place, part in enumerate(item["content"]):
            yield from _part_events(part, {**at, "content_index": place})
    elif item["type"] == "function_call":
        kind = "response.function_call_arguments"
        for start in range(0, len(item["arguments"]), 8):
            yield {"type": f"{kind}.delta", **at, "delta": item["arguments"][start : start + 8]}
        yield {"type": f"{kind}.done", **at, "name": item["name"], "arguments": item["arguments"]}
    elif item["type"] == "reasoning":
        for place, part in enumerate(item["summary"]):
            there = {**at, "summary_index": place}
            yield {"type": "response.reasoning_summary_part.added", **there, "part": {**part, "text": ""}}
            for word in words(part["text"]):
                yield {"type": "response.reasoning_summary_text.delta", **there, "delta": word}
            yield {"type": "response.reasoning_summary_text.done", **there, "text": part["text"]}
            yield {"type": "response.reasoning_summary_part.done", **there, "part": part}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _part_events(part: Body, at: Body) -> Iterator[Body]:
    name = "refusal" if part["type"] == "refusal" else "text"
    kind = "response.refusal" if name == "refusal" else "response.output_text"
    extra = {} if name == "refusal" else {"logprobs": []}
    yield {"type": "response.content_part.added", **at, "part": {**part, name: ""}}
    for word in words(part[name]):
        yield {"type": f"{kind}.delta", **at, "delta": word, **extra}
    yield {"type": f"{kind}.done", **at, name: part[name], **extra}
    yield {"type": "response.content_part.done", **at, "part": part}


# Anthropic messages


def anthropic_message(request: Body, message: Body) -> Body:
    """The whole body of an Anthropic message: thinking, `blocks` as they are, the text, and the tool calls."""
    blocks: list[Body] = []
    if message.get("reasoning_content"):
        blocks.append({"type": "thinking", "thinking": message["reasoning_content"], "signature": "c2ln"})
    blocks += message.get("blocks") or ()
    if message.get("content") is not None:
        blocks.append({"type": "text", "text": message["content"], "citations": None})
    for call in message.get("tool_calls") or ():
        detail = call["function"]
        given = json.loads(detail["arguments"])
        blocks.append({"type": "tool_use", "id": call["id"], "name": detail["name"], "input": given})
    stop = message.get("finish_reason") or ("tool_use" if message.get("tool_calls") else "end_turn")
    sent = [text_of(request.get("system")), *(text_of(item["content"]) for item in request["messages"])]
    return {
        "id": "msg_fake",
        "type": "message",
        "role": "assistant",
        "model": request.get("model", "fake"),
        "content": blocks,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {
            "input_tokens": sum(len(text.split()) for text in sent),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": len((message.get("content") or "").split()),
        },
    }


def anthropic_events(whole: Body) -> Iterator[Body]:
    """The same message as the events of a stream, with a ping among them."""
    usage = {**whole["usage"], "output_tokens": 1}
    yield {
        "type": "message_start",
        "message": {**whole, "content": [], "stop_reason": None, "usage": usage},
    }
    yield {"type": "ping"}
    for index, block in enumerate(whole["content"]):
        empty, deltas = _block_deltas(block)
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    stop = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    spent = {"output_tokens": whole["usage"]["output_tokens"]}
    yield {"type": "message_delta", "delta": stop, "usage": spent}
    yield {"type": "message_stop"}


def _block_deltas(block: Body) -> tuple[Body, list[Body]]:
    kind = block["type"]
    if kind == "text":
        return {**block, "text": ""}, [{"type": "text_delta", "text": word} for word in words(block["text"])]
    if kind == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": word} for word in words(block["thinking"])]
        signature = {"type": "signature_delta", "signature": block["signature"]}
        return {**block, "thinking": "", "signature": ""}, [*deltas, signature]
    if kind in ("tool_use", "server_tool_use"):
        given = json.dumps(block["input"])
        pieces = ["", *(given[start : start + 8] for start in range(0, len(given), 8))]
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": it} for it in pieces]
    return block, []


# Embeddings


def embeddings(request: Body, vectors: list[list[float]] | None = None) -> Body:
    """The whole body of an answer with a vector for each input, (0.5, 0.25, 1.0) unless given, in base64 where the
    request asks for it, as the OpenAI SDK does by default."""
    given = request.get("input")
    inputs = given if isinstance(given, list) and not (given and isinstance(given[0], int)) else [given]
    found = vectors if vectors is not None else [[0.5, 0.25, 1.0] for _ in inputs]
    encoded = request.get("encoding_format") == "base64"
    data: list[Body] = [
        {"object": "embedding", "index": index, "embedding": _base64(vector) if encoded else vector}
        for index, vector in enumerate(found)
    ]
    sent = sum(len(text.split()) if isinstance(text, str) else 1 for text in inputs)
    usage = {"prompt_tokens": sent, "total_tokens": sent}
    return {"object": "list", "data": data, "model": request.get("model", "fake"), "usage": usage}


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


# Events as bytes


def data_lines(events: Iterator[Body] | list[Body]) -> Iterator[bytes]:
    """Events as OpenAI's completions send them: data only, and `[DONE]` at the end."""
    for event in events:
        yield b"data: " + json.dumps(event).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"


def named_events(events: Iterator[Body] | list[Body]) -> Iterator[bytes]:
    """Events with their type as the event's name, as Responses and Anthropic send them, and no marker at the end."""
    for event in events:
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
