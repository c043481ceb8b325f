"""A small S3 that answers late: what benchmarks need of the protocol, in a process of its own, in memory.

moto's server takes longer for a request than the delay that is to be measured.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

REASONS = {200: "OK", 206: "Partial Content", 404: "Not Found"}
Answer = tuple[int, dict[str, str], bytes]


class Objects:
    """What is stored, by ``/bucket/key``."""

    def __init__(self) -> None:
        self._bodies: dict[str, bytes] = {}

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """What S3 would say, more or less."""
        url = urlsplit(target)
        path, query = unquote(url.path), parse_qs(url.query)
        if "list-type" in query:
            return 200, {}, self._listing(path.strip("/"), query)
        if method == "PUT":
            return self._put(path, headers, body)
        if path not in self._bodies:
            return 404, {}, b"<Error><Code>NoSuchKey</Code></Error>"
        found = self._bodies[path]
        described = {"ETag": _etag(found), "Content-Length": str(len(found)), "x-amz-checksum-sha256": _sha256(found)}
        return 200, described, b"" if method == "HEAD" else found

    def _put(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        source = headers.get("x-amz-copy-source")
        if source is None:
            self._bodies[path] = body
            return 200, {"ETag": _etag(body)}, b""
        copied = self._bodies.get("/" + unquote(source).lstrip("/"))
        if copied is None:
            return 404, {}, b"<Error><Code>NoSuchKey</Code></Error>"
        self._bodies[path] = copied
        told = f"<ETag>{escape(_etag(copied))}</ETag><ChecksumSHA256>{_sha256(copied)}</ChecksumSHA256>"
        return 200, {}, f"<CopyObjectResult>{told}</CopyObjectResult>".encode()

    def _listing(self, bucket: str, query: dict[str, list[str]]) -> bytes:
        prefix = f"/{bucket}/{query.get('prefix', [''])[0]}"
        after = f"/{bucket}/{query['start-after'][0]}" if "start-after" in query else ""
        keys = sorted(key for key in self._bodies if key.startswith(prefix) and key > after)
        rows = "".join(
            f"<Contents><Key>{quote(key.removeprefix(f'/{bucket}/'))}</Key><Size>{len(self._bodies[key])}</Size>"
            f"<ETag>{escape(_etag(self._bodies[key]))}</ETag></Contents>"
            for key in keys[:1000]
        )
        head = "<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>"
        return f"<ListBucketResult>{head}{rows}</ListBucketResult>".encode()


class _Connection(asyncio.Protocol):
    def __init__(self, objects: Objects, delay_seconds: float) -> None:
        self._objects, self._delay_seconds = objects, delay_seconds
        self._received = b""
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, received: bytes) -> None:
        self._received += received
        while b"\r\n\r\n" in self._received:
            head, _, rest = self._received.partition(b"\r\n\r\n")
            first, *lines = head.decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            size_bytes = int(headers.get("content-length", 0))
            if headers.pop("expect", None):
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if len(rest) < size_bytes:
                return
            self._received = rest[size_bytes:]
            method, target, _ = first.split(" ")
            made = _encoded(*self._objects.answer(method, target, headers, rest[:size_bytes]))
            asyncio.get_running_loop().call_later(self._delay_seconds, self._transport.write, made)


def _encoded(status: int, headers: dict[str, str], body: bytes) -> bytes:
    lines = {"Content-Length": str(len(body)), **headers}
    told = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} {REASONS[status]}\r\n{told}\r\n".encode() + body


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


def _sha256(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def _serve(ports: Any, delay_seconds: float, objects: Objects) -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Connection(objects, delay_seconds), "127.0.0.1", 0)
        ports.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


@contextmanager
def late_endpoint(delay_seconds: float, objects: Objects | None = None) -> Iterator[str]:
    """The endpoint's URL; every answer comes `delay_seconds` late. `objects`: what is there at first."""
    ports = multiprocessing.Queue()  # type: ignore[var-annotated]
    server = multiprocessing.Process(target=_serve, args=(ports, delay_seconds, objects or Objects()), daemon=True)
    server.start()
    try:
        yield f"http://127.0.0.1:{ports.get()}"
    finally:
        server.kill()
        server.join()
