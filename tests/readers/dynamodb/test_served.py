"""The servers of these tests are fit for tests that kill their clients."""

from __future__ import annotations

import socket
import struct
from urllib.parse import urlsplit

import pytest

from tests.readers.dynamodb.served import Served

pytestmark = pytest.mark.integration

ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: close() resets the connection, as the end of a killed process may


def test_a_server_outlives_a_client_that_is_killed_in_the_middle_of_a_request(served: Served) -> None:
    """The next request is answered."""
    for _ in range(20):
        server = urlsplit(served.url)
        with socket.create_connection((server.hostname, server.port)) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n")
            assert b"100" in client.recv(100)  # the server reads the request's body now
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    assert served.client.list_tables()["TableNames"]
