"""The chat-completions protocol around the two simulated models: a request dict in, a reply dict out."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from offline_model import desk, reflector

DESK_MODEL = "simulated-desk"
REFLECTION_MODEL = "simulated-reflector"
MODELS = (DESK_MODEL, REFLECTION_MODEL)

Json = dict[str, Any]


class RequestError(Exception):
    """A request that cannot be answered; `status` is the HTTP status to say so with."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def complete(request: Json) -> Json:
    """Answer a chat-completions request. The same request gets the same answer. Raises `RequestError`."""
    model = request.get("model")
    if model not in MODELS:
        raise RequestError(404, f"The model {model!r} does not exist; the offline models are {', '.join(MODELS)}.")
    if request.get("stream"):
        raise RequestError(400, "The offline models do not stream.")
    messages = _messages(request)
    if model == DESK_MODEL:
        content = desk.answer(_of_role(messages, "system", "developer"), _of_role(messages, "user"))
    else:
        content = reflector.answer(_of_role(messages, "system", "developer", "user"), _schema(request))
    return _completion(str(model), messages, content)


def model_list() -> Json:
    """The reply to `GET /v1/models`."""
    return {
        "object": "list",
        "data": [{"id": name, "object": "model", "created": 0, "owned_by": "offline"} for name in MODELS],
    }


def error_body(message: str) -> Json:
    """An error as the protocol writes it."""
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}


def _messages(request: Json) -> list[tuple[str, str]]:
    messages = request.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise RequestError(400, "'messages' must be a list of messages.")
    return [(str(message.get("role", "")), _text(message.get("content"))) for message in messages]


def _text(content: object) -> str:
    """The text of a message, whose content is a string or a list of parts."""
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return "" if content is None else str(content)


def _of_role(messages: list[tuple[str, str]], *roles: str) -> str:
    return "\n\n".join(content for role, content in messages if role in roles)


def _schema(request: Json) -> Json:
    """The properties of the JSON schema that the reply must have, {} when none is asked for."""
    asked = request.get("response_format")
    if not isinstance(asked, dict) or asked.get("type") != "json_schema":
        return {}
    schema = asked.get("json_schema", {}).get("schema", {})
    properties = schema.get("properties", {}) if isinstance(schema, dict) else {}
    return properties if isinstance(properties, dict) else {}


def _completion(model: str, messages: list[tuple[str, str]], content: str) -> Json:
    asked, given = sum(_tokens(text) + 4 for _, text in messages), _tokens(content)
    mark = blake2b(repr((model, messages)).encode("utf-8", "replace"), digest_size=12).hexdigest()
    return {
        "id": f"chatcmpl-{mark}",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": asked, "completion_tokens": given, "total_tokens": asked + given},
    }


def _tokens(text: str) -> int:
    """About four characters to a token."""
    return -(-len(text) // 4)
