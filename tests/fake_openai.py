"""A scripted server of the OpenAI API on 127.0.0.1, for tests: chat and legacy completions, Responses, embeddings,
and Anthropic's messages, whole or streamed. No model in it; what it sends is built in `wire`."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from tests import wire
from tests.wire import Body, chunks, completion, tool_call

__all__ = ["Answer", "Body", "FakeOpenAI", "Reply", "Stream", "chunks", "completion", "tool_call"]


@dataclass(frozen=True)
class Stream:
    """A response of status 200 whose body is sent piece by piece as it stands; `cut_off` hangs up before the end."""

    pieces: Iterable[bytes]
    content_type: str = "text/event-stream"
    cut_off: bool = False


Answer = str | Body | list[Any] | tuple[int, Any] | Stream
Reply = Callable[[Body], Answer]


class FakeOpenAI:
    """A server that answers each request with what `reply(request)` returns, on a free port of 127.0.0.1.

    `reply` gets the request's JSON body and returns one of

    - a string: the content of the assistant's message;
    - a dict: the message (`{"content": ..., "refusal": ..., "tool_calls": [...], "reasoning_content": ...}`, see
      `wire` for what each API takes beside; a key `finish_reason` is moved to its place), or, if it has the field
      that makes it one (`choices`, `output`, `data`, a list as `content` for Anthropic) or the path is of no API
      known here, the whole response body;
    - a list: messages, each a string or a dict, for the choices of one chat completion; vectors for embeddings;
    - `(status, body)`: a plain response; a dict body is sent as JSON, a string as text. Never streamed;
    - a `Stream`: sent as it stands.

    Whole bodies of an API known here are sent as its events when the request asks for a stream.
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
        """The text of the last message (the last input of a response) of every request but those for embeddings,
        in order of arrival."""
        asked = zip(list(self.requests), list(self.paths), strict=False)
        texts = [_last_text(request) for request, path in asked if "/embeddings" not in path]
        return [text for text in texts if text is not None]

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


def _last_text(request: Body) -> str | None:
    if "messages" in request:
        return wire.text_of(request["messages"][-1].get("content"))
    given = request.get("input")
    if isinstance(given, list) and given and isinstance(given[-1], dict):
        return wire.text_of(given[-1].get("content"))
    return given if isinstance(given, str) else None


def _whole(path: str, request: Body, answer: Any) -> Any:
    """The whole body that answers a request; dicts that are one already stay as they are."""
    given = answer if isinstance(answer, dict) else {}
    messages = [{"content": one} if isinstance(one, str) else one for one in _listed(answer)]
    if path.endswith("/chat/completions"):
        return given if "choices" in given else completion(request, *messages)
    if path.endswith("/completions"):
        return given if "choices" in given else wire.text_completion(request, messages[0])
    if path.endswith("/responses"):
        return given if "output" in given else wire.response(request, messages[0])
    if path.endswith("/messages"):
        is_whole = isinstance(given.get("content"), list)
        return given if is_whole else wire.anthropic_message(request, messages[0])
    if path.endswith("/embeddings"):
        vectors = answer if isinstance(answer, list) else None
        return given if "data" in given else wire.embeddings(request, vectors)
    return {"content": answer} if isinstance(answer, str) else answer


def _listed(answer: Any) -> list[Any]:
    return answer if isinstance(answer, list) else [answer]


def _events(path: str, request: Body, whole: Any) -> Iterable[bytes] | None:
    """The same answer as a stream; None where an API of this path has none."""
    if path.endswith("/chat/completions"):
        return wire.data_lines(chunks(request, whole))
    if path.endswith("/completions"):
        return wire.data_lines(wire.text_chunks(request, whole))
    if path.endswith("/responses"):
        return wire.named_events(wire.response_events(whole))
    if path.endswith("/messages"):
        return wire.named_events(wire.anthropic_events(whole))
    return None


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
        length = int(self.headers.get("content-length") or 0)
        data = self.rfile.read(length)
        if len(data) < length:  # the client was ended between its headers and its body
            self.close_connection = True
            return
        body = json.loads(data or b"{}")
        fake.requests.append(body)
        fake.paths.append(self.path)
        try:
            answer = fake.reply(body)
        except Exception as error:
            fake.errors.append(error)
            answer = (400, f"the reply raised {error!r}")
        if isinstance(answer, tuple):
            self._send(*answer)
            return
        if isinstance(answer, Stream):
            self._stream(answer)
            return
        path = self.path.partition("?")[0].rstrip("/")
        whole = _whole(path, body, answer)
        events = _events(path, body, whole) if body.get("stream") else None
        if events is None:
            self._send(200, whole)
        else:
            self._stream(Stream(events))

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

    def _stream(self, stream: Stream) -> None:
        self.send_response(200)
        self.send_header("content-type", stream.content_type)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            for piece in stream.pieces:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()
        except OSError:
            raise
        except Exception as error:
            self.server.fake.errors.append(error)
            raise
        if stream.cut_off:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test's output clean."""
