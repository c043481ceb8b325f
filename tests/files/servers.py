"""An HTTPS server on loopback that answers as it is told, with a certificate of its own making."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Answer = Callable[[BaseHTTPRequestHandler], None]


def certificate(folder: Path, *names: str) -> Path:
    """A file with a key and a certificate for these host names and for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "s3import test")])
    now = dt.datetime.now(dt.UTC)
    known = [*map(x509.DNSName, names), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + dt.timedelta(1))
        .add_extension(x509.SubjectAlternativeName(known), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


class HttpsServer(ThreadingHTTPServer):
    """`answers` by path; `paths` and `hosts` are what was asked for."""

    daemon_threads = True

    def __init__(self, certificate: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.answers: dict[str, Answer] = {}
        self.paths: list[str] = []
        self.hosts: list[str] = []

    def url(self, path: str, host: str = "localhost") -> str:
        return f"https://{host}:{self.server_address[1]}{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are the point; they are no news."""


class _Request(BaseHTTPRequestHandler):
    server: HttpsServer

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        self.server.hosts.append(self.headers["Host"])
        self.server.answers.get(self.path, status(404))(self)

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""


@contextmanager
def https_server(certificate: Path) -> Iterator[HttpsServer]:
    """The server, at work for as long as the block lasts."""
    with HttpsServer(certificate) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


# --- answers --------------------------------------------------------------------------------------------------------


def body(content: bytes, *, promised: int | None = None) -> Answer:
    """The content, of which Content-Length may say something else."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(content) if promised is None else promised))
        request.end_headers()
        request.wfile.write(content)

    return answer


def status(code: int, **headers: str) -> Answer:
    """An answer without a body."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        for name, value in {**headers, "Content-Length": "0"}.items():
            request.send_header(name, value)
        request.end_headers()

    return answer


def redirect(to: str) -> Answer:
    return status(302, Location=to)


def in_turn(*answers: Answer) -> Answer:
    """One answer after the other."""
    left = iter(answers)

    def answer(request: BaseHTTPRequestHandler) -> None:
        next(left)(request)

    return answer


def dripping(ended: threading.Event) -> Answer:
    """A byte now and then, without an end."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while not ended.wait(0.02):
            request.wfile.write(b".")

    return answer


def encoded(content: bytes, length: int | None) -> Answer:
    """A body of gzip, whatever was asked for; in chunks where no length is told."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Encoding", "gzip")
        request.send_header(*("Transfer-Encoding", "chunked") if length is None else ("Content-Length", str(length)))
        request.end_headers()
        request.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content) if length is None else content)

    return answer
