"""Files fetched by their URL: from public addresses only, over HTTPS only, within limits, whole or not at all."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from s3import.core.errors import FileMissing
from s3import.files.addresses import is_public
from s3import.files.download import Downloads
from tests.files.servers import (
    HttpsServer,
    body,
    certificate,
    dripping,
    encoded,
    https_server,
    in_turn,
    redirect,
    status,
)

SECRET = "X-Amz-Signature=do-not-tell"


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"), "localhost", "files.example.com")


@pytest.fixture
def server(pem: Path) -> Iterator[HttpsServer]:
    with https_server(pem) as server:
        yield server


def downloads(pem: Path, **changes: Any) -> Downloads:
    """Limits that fit a test; loopback counts as public here."""
    small = {
        "max_bytes": 1000,
        "seconds": 20.0,
        "stall_seconds": 5.0,
        "wait_seconds": 0.01,
        "is_allowed": lambda _: True,
    }
    return Downloads(**{**small, "tls": ssl.create_default_context(cafile=str(pem)), **changes})


def fetched(downloads: Downloads, url: str) -> bytes:
    return downloads.fetch(url, b"".join)


def test_a_file_is_fetched(server: HttpsServer, pem: Path) -> None:
    """Its bytes, asked for by path and query, with the name as Host."""
    server.answers["/a/b?c=d"] = body(b"hello")
    assert fetched(downloads(pem), server.url("/a/b?c=d")) == b"hello"
    assert server.hosts == [f"localhost:{server.server_address[1]}"]


def test_redirects_are_followed_up_to_a_limit(server: HttpsServer, pem: Path) -> None:
    """Relative or not; one too many is the end."""
    server.answers |= {"/1": redirect("/2"), "/2": redirect(server.url("/3")), "/3": body(b"here")}
    assert fetched(downloads(pem, max_redirects=2), server.url("/1")) == b"here"
    with pytest.raises(FileMissing, match="redirects"):
        fetched(downloads(pem, max_redirects=1), server.url("/1"))


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://localhost/x",
            "ftp://localhost/x",
            "file:///etc/passwd",
            "//localhost/x",
            "localhost/x",
            "https://",
            "",
        ),
        *(
            "https://localhost:0/x",
            "https://localhost:99999/x",
            "https://[::1/x",
            "https://a b/x",
            "https://localhost/\r\nx",
        ),
    ],
)
def test_what_is_no_https_url_is_not_fetched(pem: Path, url: str) -> None:
    """Other schemes, and what is no URL at all, are set aside without a connection."""
    with pytest.raises(FileMissing, match="https://"):
        fetched(downloads(pem), url)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "127.8.8.8",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
        ),
        *("224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "192.0.0.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "fec0::1", "ff02::1", "2001:db8::1"),
        *(
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        ),
    ],
)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    """Private, loopback, link-local, shared, multicast, reserved, and those in which another one hides."""
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "52.216.0.1", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_allowed(address: str) -> None:
    """The public internet, in either version."""
    assert is_public(address)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"])
def test_a_host_at_a_private_address_is_never_asked(server: HttpsServer, pem: Path, host: str) -> None:
    """However its address is written, and whatever listens there."""
    with pytest.raises(FileMissing, match="never fetched from"):
        fetched(downloads(pem, is_allowed=is_public), server.url("/x", host))
    assert server.paths == []


def test_each_redirect_is_checked_again(server: HttpsServer, pem: Path) -> None:
    """A public host that leads to a private one is followed no further."""
    asked = iter([True, False])
    server.answers |= {"/1": redirect("/secret"), "/secret": body(b"secret")}
    with pytest.raises(FileMissing, match="never fetched from"):
        fetched(downloads(pem, is_allowed=lambda _: next(asked)), server.url("/1"))
    assert server.paths == ["/1"]


def test_the_address_that_was_checked_is_the_one_that_is_asked(
    server: HttpsServer, pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that answers differently the second time is not asked a second time."""
    port = server.server_address[1]
    answers = iter([[(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]])
    resolve = socket.getaddrinfo

    def rebinding(host: str, *rest: Any, **named: Any) -> Any:
        return next(answers) if host == "files.example.com" else resolve(host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    server.answers["/x"] = body(b"hello")
    assert fetched(downloads(pem), server.url("/x", "files.example.com")) == b"hello"
    assert server.hosts == [f"files.example.com:{port}"]


def test_the_certificate_must_be_that_of_the_name(
    server: HttpsServer, pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else at the address is nobody to fetch from."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.server_address[1]))]
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **named: found if host == "bank.example.com" else resolve(host, *rest, **named),
    )
    server.answers["/x"] = body(b"hello")
    with pytest.raises(FileMissing, match="SSLCertVerificationError"):
        fetched(downloads(pem, tries=1), server.url("/x", "bank.example.com"))
    assert server.paths == []


def test_what_fails_in_passing_is_tried_again(server: HttpsServer, pem: Path) -> None:
    """Errors of the server, and a body that ends early: the file comes as a whole in the end."""
    server.answers["/x"] = in_turn(status(503), status(429), body(b"hel", promised=5), body(b"hello"))
    assert fetched(downloads(pem), server.url("/x")) == b"hello"


@pytest.mark.parametrize("code", [401, 403, 404, 410, 204, 206])
def test_what_is_refused_is_not_asked_for_again(server: HttpsServer, pem: Path, code: int) -> None:
    """An answer that stays is believed at once, and says only host and status."""
    server.answers[f"/x?{SECRET}"] = status(code)
    with pytest.raises(FileMissing) as raised:
        fetched(downloads(pem), server.url(f"/x?{SECRET}"))
    assert raised.value.message == f"localhost answers {code}"
    assert len(server.paths) == 1


def test_a_server_that_stays_broken_is_given_up(server: HttpsServer, pem: Path) -> None:
    """After some tries the file is set aside: it must not hold up the pass."""
    server.answers["/x"] = status(500)
    with pytest.raises(FileMissing, match="answers 500"):
        fetched(downloads(pem, tries=3), server.url("/x"))
    assert len(server.paths) == 3


def test_a_file_that_is_too_large_is_given_up(server: HttpsServer, pem: Path) -> None:
    """However long it says it is."""
    server.answers["/x"] = body(b"x" * 1001)
    with pytest.raises(FileMissing, match="larger than 1000 bytes"):
        fetched(downloads(pem), server.url("/x"))


def test_a_file_that_drips_is_cut_off(server: HttpsServer, pem: Path) -> None:
    """Bytes that come now and then do not keep a connection for ever."""
    ended = threading.Event()
    server.answers["/x"] = dripping(ended)
    with pytest.raises(FileMissing, match="for one file"):
        fetched(downloads(pem, seconds=0.3), server.url("/x"))
    ended.set()


def test_a_host_that_does_not_answer_is_given_up_for_all_files(pem: Path) -> None:
    """Its timeouts are waited for once, and the others say why they were not tried."""
    asked: list[str] = []

    def is_allowed(address: str) -> bool:
        asked.append(address)
        return True

    with socket.create_server(("127.0.0.1", 0)) as mute:  # it accepts, and never says a word
        url = f"https://localhost:{mute.getsockname()[1]}"
        fetching = downloads(pem, tries=2, stall_seconds=0.2, is_allowed=is_allowed)
        with pytest.raises(FileMissing, match=r"^localhost does not answer \(TimeoutError\)$"):
            fetched(fetching, f"{url}/1")
        tried = len(asked)
        with pytest.raises(FileMissing, match=r"localhost does not answer .* given up after another file"):
            fetched(fetching, f"{url}/2")
    assert len(asked) == tried


def test_a_host_that_answers_other_files_is_not_given_up(server: HttpsServer, pem: Path) -> None:
    """An error is an answer, and so is one to another file while this one waits."""
    server.answers |= {"/broken": status(500), "/x": body(b"hello")}
    fetching = downloads(pem, tries=2)
    for _ in range(2):
        with pytest.raises(FileMissing, match="answers 500"):
            fetched(fetching, server.url("/broken"))
    hosts, where = fetching.hosts, ("localhost", server.server_address[1])
    before = hosts.answers(where)
    assert fetched(fetching, server.url("/x")) == b"hello"
    hosts.give_up(where, before, "localhost does not answer")
    assert fetched(fetching, server.url("/x")) == b"hello"


@pytest.mark.parametrize("promised", [True, False], ids=["with a length", "without a length"])
def test_what_a_server_encodes_unasked_is_decoded(server: HttpsServer, pem: Path, promised: bool) -> None:
    """The file is what was there before; a limit is one on that; what ends early is tried again."""
    packed = gzip.compress(b"hello" * 100)
    whole = encoded(packed, len(packed) if promised else None)
    server.answers["/x"] = in_turn(encoded(packed[:-4], len(packed)), whole) if promised else whole
    assert fetched(downloads(pem), server.url("/x")) == b"hello" * 100
    server.answers["/x"] = encoded(packed, None)
    with pytest.raises(FileMissing, match="larger than 100 bytes"):
        fetched(downloads(pem, max_bytes=100), server.url("/x"))


def test_what_is_as_long_as_was_promised_is_no_encoding(server: HttpsServer, pem: Path) -> None:
    """Servers call a .tar.gz so that is meant to be one."""
    packed = gzip.compress(b"hello")
    server.answers["/x.gz"] = encoded(packed, len(packed))
    assert downloads(pem).fetch(server.url("/x.gz"), b"".join, size_bytes=len(packed)) == packed
