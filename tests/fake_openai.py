"""A scripted OpenAI-compatible server on 127.0.0.1, for tests: chat completions, whole or streamed. No model
in it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

Body = dict[str, Any]
Answer = str | Body | tuple[int, Any]
Reply = Callable[[Body], Answer]


class FakeOpenAI:
    """A server that answers each request with what `reply(request)` returns, on a free port of 127.0.0.1.

    `reply` gets the request's JSON body and returns one of

    - a string: the content of the assistant's message;
    - a dict: the message (`{"content": ..., "tool_calls": [...], "reasoning_content": ...}`; a key
      `finish_reason` is moved to its place), or, if it has `choices` or the path is no chat completion, the
      whole response body;
    - `(status, body)`: a plain response; a dict body is sent as JSON, a string as text. Never streamed.

    It may run in several threads at once, and may block. What it raises is raised again where the server is
    left. `requests` holds the bodies in order of arrival, `paths` the paths beside them. Use it as a context
    manager, or call `close()`:

        with FakeOpenAI(lambda request: "Paris") as server:
            client = openai.OpenAI(base_url=server.base_url, api_key="test")
    """

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.requests: list[Body] = []
        self.paths: list[str] = []
        self.errors: list[Exception] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.fake = self
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, name="fake-openai", daemon=True
        )
        self._thread.start()

    @property
    def prompts(self) -> list[str]:
        """The text of the last message of every chat request, in order of arrival."""
        return [
            _text(request["messages"][-1].get("content"))
            for request in self.requests
            if "messages" in request
        ]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> FakeOpenAI:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is None and self.errors:
            raise self.errors[0]


def tool_call(name: str, arguments: Any, id: str = "call_1") -> Body:
    """One entry of a message's `tool_calls`."""
    return {"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


def completion(request: Body, message: Body) -> Body:
    """The whole body of a chat completion that answers `request` with `message`. Tokens are counted as
    words."""
    message = {"role": "assistant", "content": None, **message}
    finish = message.pop("finish_reason", None) or ("tool_calls" if message.get("tool_calls") else "stop")
    sent = sum(len(_text(item.get("content")).split()) for item in request.get("messages", []))
    got = len(_text(message["content"]).split())
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": 1,
        "model": request.get("model", "fake"),
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        "usage": {"prompt_tokens": sent, "completion_tokens": got, "total_tokens": sent + got},
    }


def chunks(request: Body, whole: Body) -> Iterator[Body]:
    """The same completion as the chunks of a stream; the usage comes last, and only if the request asks for
    it."""
    head = {"id": whole["id"], "object": "chat.completion.chunk", "created": 1, "model": whole["model"]}

    def chunk(delta: Body, finish: str | None = None) -> Body:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    message = whole["choices"][0]["message"]
    yield chunk({"role": "assistant", "content": ""})
    for name in ("reasoning_content", "content", "refusal"):
        for word in re.findall(r"\S+\s*|\s+", message.get(name) or ""):
            yield chunk({name: word})
    for index, call in enumerate(message.get("tool_calls") or ()):
        arguments = call["function"]["arguments"]
        yield chunk(
            {"tool_calls": [{**call, "index": index, "function": {**call["function"], "arguments": ""}}]}
        )
        for start in range(0, len(arguments), 8):
            piece = {"arguments": arguments[start : start + 8]}
            yield chunk({"tool_calls": [{"index": index, "function": piece}]})
    yield chunk({}, whole["choices"][0]["finish_reason"])
    if (request.get("stream_options") or {}).get("include_usage"):
        yield {**head, "choices": [], "usage": whole["usage"]}


def _text(content: Any) -> str:
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content)
    return content or ""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    fake: FakeOpenAI

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing when a client hangs up early; that is often what is being tested."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        fake = self.server.fake
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        fake.requests.append(body)
        fake.paths.append(self.path)
        try:
            answer = fake.reply(body)
        except Exception as error:
            fake.errors.append(error)
            answer = (400, f"the reply raised {error!r}")
        if isinstance(answer, tuple):
            status, content = answer
            self._send(status, content)
            return
        message = {"content": answer} if isinstance(answer, str) else answer
        is_chat = self.path.partition("?")[0].rstrip("/").endswith("/chat/completions")
        if "choices" not in message and is_chat:
            message = completion(body, message)
        if body.get("stream") and is_chat:
            self._stream(chunks(body, message))
        else:
            self._send(200, message)

    def do_GET(self) -> None:
        self._send(
            200,
            {"object": "list", "data": [{"id": "fake", "object": "model", "created": 1, "owned_by": "t"}]},
        )

    def _send(self, status: int, content: Any) -> None:
        data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "text/plain" if isinstance(content, str) else "application/json")
        self.send_header("content-length", str(len(data)))
        if status >= 400:
            self.send_header("retry-after-ms", "1")
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, events: Iterator[Body]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for text in (*(json.dumps(event) for event in events), "[DONE]"):
            data = f"data: {text}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test's output clean."""
