"""MySQL 8's own way to log in, caching_sha2_password, against a server that speaks just that much of its protocol."""

from __future__ import annotations

import secrets
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import IO, cast

import pymysql
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from s3import.core.errors import DatabaseMisconfigured, S3ImportError
from s3import.writers import open_database
from tests.databases import _execute

PASSWORD = "pass wörd"
PLUGIN = b"caching_sha2_password"
CAPABILITIES = (
    0x0000_0001 | 0x0000_0008 | 0x0000_0200 | 0x0000_8000 | 0x0008_0000
)  # nothing beside what logging in needs
QUERY, ASKS_FOR_KEY = b"\x03", b"\x02"
WANTS_FULL_LOGIN = b"\x01\x04"
OK = b"\x00\x00\x00\x02\x00\x00\x00"


@dataclass
class Server:
    """Has never seen the user, so that its cache is of no help, and talks without TLS."""

    passwords: list[str] = field(default_factory=list)
    queries: int = 0

    def __post_init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Serve no more: else its thread might take what comes to the next server, whose socket has its number."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as stream:
                _Login(cast("IO[bytes]", stream)).go(self)

    def decrypt(self, sent: bytes, salt: bytes) -> str:
        """What a client sent as its password."""
        sha1 = hashes.SHA1()
        mixed = self._key.decrypt(sent, padding.OAEP(padding.MGF1(sha1), sha1, None))
        plain = bytes(one ^ salt[index % len(salt)] for index, one in enumerate(mixed))
        return plain.removesuffix(b"\0").decode()

    @property
    def public_key(self) -> bytes:
        kind = serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key.public_key().public_bytes(serialization.Encoding.PEM, kind)


class _Login:
    """One connection, from its greeting to its first query, which is refused by a number of its own."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._sequence = stream, 0

    def go(self, server: Server) -> None:
        salt = secrets.token_bytes(20).replace(b"\0", b"x")
        self._send(_greeting(salt))
        self._receive()
        self._send(WANTS_FULL_LOGIN)
        if self._receive() == ASKS_FOR_KEY:
            self._send(b"\x01" + server.public_key)
            sent = self._receive()
            server.passwords += [server.decrypt(sent, salt)] if sent else []
        if server.passwords[-1:] != [PASSWORD]:
            self._send(_error(1045, "canary"))
            return
        self._send(OK)
        while self._receive()[:1] == QUERY:
            server.queries += 1
            self._send(_error(1049, "canary"))

    def _send(self, payload: bytes) -> None:
        self._stream.write(struct.pack("<I", len(payload))[:3] + bytes([self._sequence]) + payload)
        self._stream.flush()

    def _receive(self) -> bytes:
        head = self._stream.read(4)
        if len(head) < 4:
            return b""
        self._sequence = head[3] + 1
        return self._stream.read(int.from_bytes(head[:3], "little"))


def _greeting(salt: bytes) -> bytes:
    low, high = CAPABILITIES & 0xFFFF, CAPABILITIES >> 16
    before = b"\x0a8.4.0\0" + struct.pack("<I", 1) + salt[:8] + b"\0"
    return before + struct.pack("<HBHHB", low, 45, 2, high, 21) + bytes(10) + salt[8:] + b"\0" + PLUGIN + b"\0"


def _error(number: int, text: str) -> bytes:
    return b"\xff" + struct.pack("<H", number) + b"#HY000" + text.encode()


@pytest.fixture
def server() -> Iterator[Server]:
    with closing(Server()) as server:
        yield server


def log_in(server: Server, password: str) -> S3ImportError:
    """What became of a transaction: this server knows no query."""
    url = f"mysql://user:{password}@127.0.0.1:{server.port}/reamaze?connect_timeout=100"
    with closing(open_database(url)) as database, pytest.raises(S3ImportError) as raised, database.begin():
        pass
    assert "canary" not in str(raised.value)
    return raised.value


def test_the_default_login_of_mysql_8_works(server: Server) -> None:
    """Without TLS the password goes by the server's public key; then the first query is asked."""
    ended = log_in(server, "pass%20w%C3%B6rd")
    assert (server.passwords, server.queries) == ([PASSWORD], 1)
    assert "there is no such database" in str(ended)


def test_a_wrong_password_is_refused_at_once(server: Server) -> None:
    """By one sentence."""
    ended = log_in(server, "wrong")
    assert isinstance(ended, DatabaseMisconfigured)
    assert (server.passwords, "wrong user or password" in str(ended)) == (["wrong"], True)


def test_a_login_without_its_package_says_what_to_install(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where somebody installed the driver without its extra."""
    monkeypatch.setattr(pymysql._auth, "_have_cryptography", False)
    assert "pip install 'PyMySQL[rsa]'" in str(log_in(server, "wrong"))


@pytest.mark.integration
def test_a_password_may_hold_any_letter(mariadb_server: sa.URL) -> None:
    """A server that was told it in UTF-8 takes it."""
    name = f"u{secrets.token_hex(6)}"
    _execute(mariadb_server, f"CREATE USER {name} IDENTIFIED BY '{PASSWORD} \u20ac'", autocommit=True)
    try:
        url = mariadb_server.set(username=name, password=f"{PASSWORD} \u20ac", database="information_schema")
        with (
            closing(open_database(url.render_as_string(hide_password=False))) as database,
            database.begin() as connection,
        ):
            assert connection.exec_driver_sql("SELECT CURRENT_USER()").scalar_one().startswith(name)
    finally:
        _execute(mariadb_server, f"DROP USER {name}", autocommit=True)
