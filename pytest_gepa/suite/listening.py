"""Which sockets listen at a port of this machine, by the kernel's word (sock_diag(7), else the tables of `/proc`).

The tables list every connection besides, which takes milliseconds for each call to a model on this machine.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from urllib.parse import urlsplit

from pytest_gepa.trace.admission import LOOPBACK

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_LISTENING = 10  # TCP_LISTEN of the kernel's tcp_states.h

# The names are those of linux/netlink.h and linux/sock_diag.h, which the socket module has not.
_SOCK_DIAG, _BY_FAMILY = 4, 20
_REQUEST_DUMP = 0x301
_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
_QUESTION = struct.Struct("=BBBxI")  # family, protocol, extensions, a bit for each state
_PORTS = struct.Struct("!HH")  # the first of a socket's identity, which is 48 bytes
_IDENTITY = 48
_INODE = struct.Struct("=I")
_INODE_AT = _HEADER.size + 4 + _IDENTITY + 16
_ALIGNED = 4


def port_of(url: str) -> int:
    """The port of an address on this machine, 0 for one elsewhere. Raises `ValueError` for what is no address."""
    parts = urlsplit(url)
    if parts.hostname not in LOOPBACK:
        return 0
    return parts.port or (443 if parts.scheme == "https" else 80)


def listeners(port: int) -> tuple[str, ...]:
    """The inodes of the sockets that listen at a port; () where the system does not tell."""
    if not port:
        return ()
    try:
        return tuple(_asked(port))
    except (OSError, AttributeError):  # no netlink: another system, or a sandbox
        return tuple(_looked_up(port))


def _asked(port: int) -> Iterator[str]:
    # The type below `socket.socket`: that one may be replaced by what forbids a test the network.
    with contextlib.closing(socket.SocketType(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG)) as kernel:
        for family in (socket.AF_INET, socket.AF_INET6):
            question = _QUESTION.pack(family, socket.IPPROTO_TCP, 0, 1 << _LISTENING)
            identity = _PORTS.pack(port, 0).ljust(_IDENTITY, b"\0")
            length = _HEADER.size + len(question) + len(identity)
            kernel.send(_HEADER.pack(length, _BY_FAMILY, _REQUEST_DUMP, 0, 0) + question + identity)
            yield from _answers(kernel)


def _answers(kernel: socket.SocketType) -> Iterator[str]:
    """The inodes that the kernel tells of, up to the end of its list. Raises `OSError` where it refuses."""
    while True:
        data = kernel.recv(1 << 16)
        while data:
            length, kind, *_ = _HEADER.unpack_from(data)
            if kind == _DONE:
                return
            if kind == _ERROR:
                raise OSError("the kernel does not tell of its sockets")
            yield str(_INODE.unpack_from(data, _INODE_AT)[0])
            data = data[-(-length // _ALIGNED) * _ALIGNED :]


def _looked_up(port: int) -> Iterator[str]:
    wanted = f":{port:04X}"
    for table in _TABLES:
        with contextlib.suppress(OSError), open(table, encoding="ascii") as stream:
            for line in stream:
                fields = line.split()
                if fields[1].endswith(wanted) and fields[3] == f"{_LISTENING:02X}":
                    yield fields[9]
