"""A server on 127.0.0.1 that sends exactly the bytes it is told, in step with the client, and notes what happens."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from types import TracebackType

PATIENCE = 20.0
"""Seconds after which a test that hangs is given up."""


class Connection:
    """The server's end of one request."""

    def __init__(self, server: ByteServer, peer: socket.socket, number: int) -> None:
        self.server = server
        self.peer = peer
        self.number = number

    def send(self, data: bytes) -> None:
        self.peer.sendall(data)

    def head(self, *headers: str, status: str = "200 OK") -> None:
        lines = (f"HTTP/1.1 {status}", *headers, "", "")
        self.send("\r\n".join(lines).encode())

    def chunk(self, data: bytes) -> None:
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def wait_for_client(self) -> None:
        """Go on when the client says that it wants the next piece."""
        assert self.server.wanted.acquire(timeout=PATIENCE), "the client never asked"

    def wait_for_hang_up(self) -> None:
        """Go on when the client has closed the connection."""
        self.peer.settimeout(PATIENCE)
        try:
            while self.peer.recv(65536):
                pass
        except ConnectionError:
            pass
        self.server.hung_up.release()


Script = Callable[[Connection], bool]
"""What is done with a request; returns whether the connection is kept for another one."""


class ByteServer:
    """Runs `script` for every request. `events` is one list for both sides, in the order in which things happened."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.events: list[str] = []
        self.wanted = threading.Semaphore(0)
        self.errors: list[BaseException] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1/chat/completions"
        self.hung_up = threading.Semaphore(0)
        self._connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def note(self, event: str) -> None:
        self.events.append(event)

    def note_hang_up(self) -> None:
        """Note that the server has seen the client close the connection, which has no order with what else it does."""
        assert self.hung_up.acquire(timeout=PATIENCE), "the client never hung up"
        self.note("the client hung up")

    def want(self) -> None:
        """Said by the client: the next piece may be sent."""
        self.wanted.release()

    def forget(self) -> list[str]:
        """The events so far; the next run starts afresh."""
        events, self.events = self.events, []
        self.wanted, self.hung_up = threading.Semaphore(0), threading.Semaphore(0)
        self._connections = 0
        return events

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self._connections += 1
            threading.Thread(target=self._serve, args=(peer, self._connections), daemon=True).start()

    def _serve(self, peer: socket.socket, number: int) -> None:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with peer:
            try:
                while _read_request(peer):
                    self.note(f"request on connection {number}")
                    if not self.script(Connection(self, peer, number)):
                        return
            except ConnectionError:
                pass
            except BaseException as error:
                self.errors.append(error)

    def __enter__(self) -> ByteServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        if error is None and self.errors:
            raise self.errors[0]


def in_step(pieces: Iterable[bytes], then: Callable[[Connection], bool]) -> Script:
    """An event stream whose pieces are sent only when the client asks for them."""

    def script(connection: Connection) -> bool:
        connection.head("content-type: text/event-stream", "transfer-encoding: chunked")
        for number, piece in enumerate(pieces, start=1):
            connection.wait_for_client()
            connection.server.note(f"sent piece {number}")
            connection.chunk(piece)
        return then(connection)

    return script


def ends(connection: Connection) -> bool:
    """The body ends as it should."""
    connection.wait_for_client()
    connection.server.note("sent the end")
    connection.send(b"0\r\n\r\n")
    return True


def breaks_off(connection: Connection) -> bool:
    """The connection is lost in the middle of a piece."""
    connection.wait_for_client()
    connection.server.note("broke off")
    connection.send(b"64\r\nnot all of it")
    return False


def hangs(connection: Connection) -> bool:
    """Nothing more is sent, until the client gives up."""
    connection.wait_for_client()
    connection.wait_for_hang_up()
    return False


def _read_request(peer: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        received = peer.recv(65536)
        if not received:
            return b""
        data += received
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    length = int(lengths[0].partition(b":")[2])
    while len(body) < length:
        body += peer.recv(65536)
    return head
