"""Which sockets listen at a port: the kernel's own answer and the tables say the same."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from pytest_gepa.suite import listening
from pytest_gepa.suite.listening import listeners, port_of

ADDRESSES = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


@pytest.fixture(params=list(ADDRESSES), ids=["IPv4", "IPv6"])
def server(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    try:
        found = socket.create_server((ADDRESSES[request.param], 0), family=request.param)
    except OSError:
        pytest.skip("this machine has no such address")
    with found:
        yield found


@pytest.fixture(params=["asked", "looked up"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    def refused(port: int) -> Iterator[str]:
        raise OSError("no such socket")

    if request.param == "looked up":
        monkeypatch.setattr(listening, "_asked", refused)
    return str(request.param)


def inode(one: socket.socket) -> str:
    return str(os.fstat(one.fileno()).st_ino)


def test_a_listening_socket_is_found_by_its_port(server: socket.socket, way: str) -> None:
    assert listeners(server.getsockname()[1]) == (inode(server),)


def test_connections_and_ports_without_a_server_are_none(server: socket.socket, way: str) -> None:
    with socket.create_connection(server.getsockname()[:2]) as client:
        ours, theirs = client.getsockname()[1], server.getsockname()[1]
        accepted, _ = server.accept()
        with accepted:
            assert listeners(ours) == ()
            assert listeners(theirs) == (inode(server),)
    server.close()
    assert listeners(theirs) == ()


def test_several_sockets_at_a_port_are_all_told(way: str) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as first:
        port = first.getsockname()[1]
        with socket.create_server(("127.0.0.1", port), reuse_port=True) as second:
            assert sorted(listeners(port)) == sorted([inode(first), inode(second)])


def test_what_forbids_a_test_the_network_is_not_met(server: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise RuntimeError("a test should not use the network")

    port = server.getsockname()[1]
    monkeypatch.setattr(socket, "socket", forbidden)
    assert listeners(port) == (inode(server),)


def test_only_addresses_of_this_machine_have_a_port() -> None:
    assert port_of("http://127.0.0.1:8000/v1") == 8000
    assert (port_of("http://localhost/v1"), port_of("https://localhost/v1")) == (80, 443)
    assert port_of("https://api.example.com:8000/v1") == 0
    assert listeners(0) == ()


def test_the_kernel_s_own_answer_is_what_linux_is_asked_for(server: socket.socket) -> None:
    try:
        found = list(listening._asked(server.getsockname()[1]))
    except OSError:
        pytest.skip("a sandbox that has no netlink sockets")
    assert found == [inode(server)]
