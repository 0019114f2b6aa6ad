"""What went over TCP connections, as this machine counts it."""

from __future__ import annotations

import os
import socket

import pytest

from sagemaker_autoshutdown.activity import tcp


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_what_goes_over_a_connection_is_counted_and_told_whose_it_is(
    family: socket.AddressFamily,
) -> None:
    own = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}[family]
    with (
        socket.create_server((own, 0), family=family) as server,
        socket.create_connection(server.getsockname()[:2]) as client,
        server.accept()[0] as here,
    ):
        before = tcp.connections()
        client.sendall(b"x" * 123_456)
        received = 0
        while received < 123_456:
            received += len(here.recv(65536))
        here.sendall(b"done")
        assert client.recv(10) == b"done"
        grown = tcp.grown(before, tcp.connections())
        ours = {os.fstat(each.fileno()).st_ino for each in (client, here)}
        assert ours <= {*tcp.inodes_of(os.getpid())}
        assert all(123_456 <= grown[inode] <= 123_460 for inode in ours)
        assert tcp.grown(before, before) == {}
        # A server that has sent all closes its end, and its client may still read.
        here.shutdown(socket.SHUT_WR)
        assert client.recv(10) == b""
        assert os.fstat(client.fileno()).st_ino in tcp.connections()


def test_all_that_goes_over_connections_goes_over_interfaces() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()[:2]) as client,
        server.accept()[0] as here,
    ):
        before, carried = tcp.connections(), tcp.carried()
        client.sendall(b"x" * 123_456)
        received = 0
        while received < 123_456:
            received += len(here.recv(65536))
        ours = {os.fstat(each.fileno()).st_ino for each in (client, here)}
        grown = tcp.grown(before, tcp.connections())
        now = tcp.carried()
        assert carried is not None
        assert now is not None
        assert now - carried >= sum(grown[inode] for inode in ours) >= 2 * 123_456


def test_a_process_that_is_gone_has_no_sockets() -> None:
    assert tcp.inodes_of(0) == []
