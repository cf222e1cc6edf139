"""The simulated models behind HTTP on this machine: `/v1/chat/completions` and `/v1/models`, in threads."""

from __future__ import annotations

import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from offline_model.chat import RequestError, complete, error_body, model_list

LATENCY = "DESK_OFFLINE_LATENCY"
"""Environment variable: seconds to wait before each answer, 0 by default."""


class OfflineServer(ThreadingHTTPServer):
    """A server on a free port of the loopback interface. It counts the completions that it has served."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.latency = float(os.environ.get(LATENCY) or 0)
        self.served = 0
        self._lock = threading.Lock()
        # A short poll, as `stop` waits for the end of one.
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name="offline-model", daemon=True)

    @property
    def url(self) -> str:
        """The base URL for an OpenAI client."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def start(self) -> None:
        """Serve in a thread of its own until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and free the port."""
        self.shutdown()
        self.server_close()
        self._thread.join()

    def count(self) -> None:
        """Note that a completion was served."""
        with self._lock:
            self.served += 1

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing is printed when a client goes away in the middle of an answer, as stopped test runs do."""


class _Handler(BaseHTTPRequestHandler):
    server: OfflineServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        if self.path.rstrip("/") == "/v1/models":
            self._reply(200, model_list())
        else:
            self._reply(404, error_body(f"There is nothing at {self.path}."))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.rstrip("/") != "/v1/chat/completions":
            self._reply(404, error_body(f"There is nothing at {self.path}."))
            return
        try:
            request = json.loads(body)
            if not isinstance(request, dict):
                raise RequestError(400, "The body must be a JSON object.")
            reply = complete(request)
        except RequestError as error:
            self._reply(error.status, error_body(str(error)))
        except ValueError:
            self._reply(400, error_body("The body is not JSON."))
        else:
            time.sleep(self.server.latency)
            self.server.count()
            self._reply(200, reply)

    def _reply(self, status: int, body: object) -> None:
        data = json.dumps(body, ensure_ascii=False).encode("utf-8")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged."""
