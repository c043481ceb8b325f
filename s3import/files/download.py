"""Files fetched by their URL: over HTTPS, from public addresses, within limits.

What a URL leads to is not trusted. Its host is resolved once for each step, and the connection goes to the very address
that was checked, so that no later answer of a name server can lead elsewhere; the certificate is that of the name.
Nothing of a URL but its host is ever said: the rest may hold a signature.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from typing import TypeVar
from urllib.parse import SplitResult, urljoin, urlsplit

import stamina

from s3import.core.errors import FileMissing
from s3import.files.addresses import AddressCheck, is_public, resolve
from s3import.files.encodings import canonical_encoding, decoded

T = TypeVar("T")
Host = tuple[str, int]  # and its port

PIECE_BYTES = 64 * 1024
REDIRECTS = (301, 302, 303, 307, 308)
TRY_AGAIN = (408, 425, 429, *range(500, 600))
_HEADERS = {"User-Agent": "s3import", "Accept": "*/*", "Accept-Encoding": "identity"}


class _Passing(Exception):
    """A failure that may pass; its text can be shown."""


class _Silent(_Passing):
    """No answer at all was had of a host."""

    def __init__(self, text: str, host: Host) -> None:
        super().__init__(text)
        self.host = host


class Hosts:
    """What a run knows of the hosts that it fetches from. One that answered to no try for a file, nor for another file
    meanwhile, is given up: every further try could take as long as a timeout."""

    def __init__(self) -> None:
        self._answers: Counter[Host] = Counter()
        self._given_up: dict[Host, str] = {}
        self._lock = threading.Lock()

    def answers(self, host: Host) -> int:
        """How often it answered so far. Raises: FileMissing where it was given up."""
        with self._lock:
            if host in self._given_up:
                raise FileMissing(
                    f"{self._given_up[host]}; it was given up after another file, and not asked for this one"
                )
            return self._answers[host]

    def answered(self, host: Host) -> None:
        """Count an answer, whatever it said."""
        with self._lock:
            self._answers[host] += 1

    def give_up(self, host: Host, answers: int, reason: str) -> None:
        """Have it asked no more, unless it has answered more often by now."""
        with self._lock:
            if self._answers[host] == answers:
                self._given_up.setdefault(host, reason)


@dataclass(frozen=True, slots=True)
class Downloads:
    """Fetches files of at most `max_bytes`, each try within `seconds` and over at most `max_redirects` redirects.

    A server may be silent for `stall_seconds`; what fails in passing is tried `tries` times, `wait_seconds` apart at
    first. `is_allowed` judges addresses, `tls` certificates (None: by this machine's authorities); `hosts` remembers
    those that do not answer.
    """

    max_bytes: int = 1024**3
    seconds: float = 600.0
    max_redirects: int = 5
    stall_seconds: float = 20.0
    tries: int = 4
    wait_seconds: float = 0.5
    is_allowed: AddressCheck = is_public
    tls: ssl.SSLContext | None = None
    hosts: Hosts = field(default_factory=Hosts, compare=False)

    def fetch(self, url: str, store: Callable[[Iterator[bytes]], T], *, size_bytes: int | None = None) -> T:
        """What `store` makes of the file's bytes in pieces; it may be called again from the start. What the server has
        encoded is decoded, unless it is then that it has `size_bytes`.

        Raises: FileMissing, FileDiffers, and what `store` raises.
        """
        retries = stamina.retry_context(
            _Passing,
            attempts=self.tries,
            timeout=None,
            wait_initial=self.wait_seconds,
            wait_jitter=self.wait_seconds,
        )
        asked: dict[Host, int] = {}
        try:
            for attempt in retries:
                with attempt:
                    return self._fetch(url, store, size_bytes, asked)
        except _Passing as error:
            if isinstance(error, _Silent):
                self.hosts.give_up(error.host, asked[error.host], str(error))
            raise FileMissing(str(error)) from error
        raise AssertionError("an attempt neither returned nor raised")

    def _fetch(
        self, url: str, store: Callable[[Iterator[bytes]], T], size_bytes: int | None, asked: dict[Host, int]
    ) -> T:
        """One try. `asked`: the hosts that were asked for the file, and how often each had answered before that."""
        ends_at = time.monotonic() + self.seconds
        for _ in range(self.max_redirects + 1):
            target = _checked(url)
            host = (target.hostname or "", target.port or 443)
            asked.setdefault(host, self.hosts.answers(host))
            with self._ask(target, host, ends_at) as answer:
                if answer.status not in REDIRECTS:
                    return store(self._pieces(answer, target, size_bytes))
                url = urljoin(url, answer.headers.get("Location", ""))
        raise FileMissing(f"{target.hostname}: more than {self.max_redirects} redirects")

    @contextmanager
    def _ask(self, target: SplitResult, where: Host, ends_at: float) -> Iterator[HTTPResponse]:
        """The answer to one request, sent to the address that was checked."""
        host, port = where
        is_answered = False
        try:
            address = resolve(host, port, self.is_allowed)
            plain = socket.create_connection((address, port), timeout=self.stall_seconds)
            with closing(plain), _cut_off(plain, ends_at), self._secured(plain, host) as secure:
                connection = HTTPSConnection(host, port)
                connection.sock = secure
                path = (target.path or "/") + (f"?{target.query}" if target.query else "")
                connection.request("GET", path, headers=_HEADERS)
                with connection.getresponse() as answer:
                    is_answered = True
                    self.hosts.answered(where)
                    yield answer
        except (HTTPException, OSError, UnicodeError, _Passing) as error:
            if time.monotonic() >= ends_at:
                raise FileMissing(f"{host}: more than {self.seconds:g} s for one file") from error
            if isinstance(error, _Passing):
                raise
            if is_answered:
                raise _Passing(f"{host} breaks off ({type(error).__name__})") from error
            raise _Silent(f"{host} does not answer ({type(error).__name__})", where) from error

    def _secured(self, plain: socket.socket, host: str) -> ssl.SSLSocket:
        # A body without a length ends where the connection is closed: only a close that TLS vouches for is that end.
        tls = self.tls or _tls_of_this_machine()
        return tls.wrap_socket(plain, server_hostname=host, suppress_ragged_eofs=False)

    def _pieces(self, answer: HTTPResponse, target: SplitResult, expected_bytes: int | None) -> Iterator[bytes]:
        """The file, if that is what was answered."""
        if answer.status != 200:
            said = f"{target.hostname} answers {answer.status}"
            raise _Passing(said) if answer.status in TRY_AGAIN else FileMissing(said)
        is_as_sent = answer.length is not None and answer.length == expected_bytes
        encoding = None if is_as_sent else canonical_encoding(answer.headers.get("Content-Encoding"))
        size_bytes = 0
        for piece in decoded(_sent(answer, target), encoding):
            size_bytes += len(piece)
            if size_bytes > self.max_bytes:
                raise FileMissing(f"{target.hostname}: the file is larger than {self.max_bytes} bytes")
            yield piece


def _sent(answer: HTTPResponse, target: SplitResult) -> Iterator[bytes]:
    """The body as it comes. Raises: _Passing, when it ends early."""
    yield from iter(lambda: answer.read(PIECE_BYTES), b"")
    if answer.length:
        raise _Passing(f"{target.hostname}: the file ends {answer.length} bytes early")


@cache
def _tls_of_this_machine() -> ssl.SSLContext:
    """Made once it is needed: reading the authorities takes longer than opening a database."""
    return ssl.create_default_context()


def _checked(url: str) -> SplitResult:
    """The URL in its pieces. Raises: FileMissing unless it is one of HTTPS."""
    try:
        target = urlsplit(url)
        is_right = target.scheme == "https" and bool(target.hostname) and target.port != 0
    except ValueError:
        is_right = False
    if not is_right or not url.isascii() or not url.isprintable() or " " in url:
        raise FileMissing("the url is none that files are fetched from: it must begin with https://")
    return target


@contextmanager
def _cut_off(connection: socket.socket, ends_at: float) -> Iterator[None]:
    """End the connection at that time, whatever it is doing: its own timeout begins anew with every byte that drips."""
    with connection.dup() as same:

        def end() -> None:
            with suppress(OSError):
                same.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(max(ends_at - time.monotonic(), 0), end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
