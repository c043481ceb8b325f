"""What a worker says of a broker that it cannot use, and of one that it can."""

from __future__ import annotations

import datetime as dt
import ipaddress
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from s3import.core.errors import BrokerRefused, BrokerUnavailable, ConfigurationError
from s3import.importing.part_claims import Bundle
from s3import.server.workers import tasks
from s3import.server.workers.broker import require_login
from s3import.server.workers.tasks import CeleryQueue, make_celery
from tests.cli.commands import s3import
from tests.server.processes.processes import free_port, wait_until
from tests.server.workers.brokers import Broker

pytestmark = pytest.mark.integration


def log_in(url: str, queue: str = "none", retry_seconds: float = 0.1) -> None:
    """What a worker does first."""
    require_login(partial(tasks._log_in, make_celery(url, queue)), retry_seconds=retry_seconds, stop=threading.Event())


@pytest.mark.parametrize(
    "url",
    [
        "kafka://user:secret@host",
        "secret",
        "memory://secret",
        "amqp://user:secret@host:99999//",
        "redis://:sec/ret@host:6379/0",
        "amqp://user:secret@host;redis://host:secret/0",
    ],
)
def test_a_url_that_cannot_be_used_is_refused(url: str) -> None:
    """At once, by a sentence that says what to write and repeats nothing of it."""
    with pytest.raises(ConfigurationError, match="S3IMPORT_BROKER") as caught:
        make_celery(url, "none")
    assert "sec" not in str(caught.value)


def test_a_wrong_password_is_refused(rabbitmq: Broker) -> None:
    """Nobody tries it again: the message says what to correct."""
    with pytest.raises(BrokerRefused, match="password"):
        log_in(rabbitmq.url.replace(":guest@", ":wrong@"), retry_seconds=3600)


def test_a_wrong_database_is_refused(redis: Broker) -> None:
    """As a wrong password."""
    with pytest.raises(BrokerRefused, match="database"):
        log_in(f"{redis.url.rpartition('/')[0]}/99999", retry_seconds=3600)


def test_a_queue_of_another_kind_is_refused(rabbitmq: Broker) -> None:
    """Somebody else's queue under the same name is no queue of ours."""
    with make_celery(rabbitmq.url, "none").connection_for_write() as connection:
        connection.default_channel.queue_declare(
            rabbitmq.queue, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"}
        )
    with pytest.raises(BrokerRefused, match="S3IMPORT_QUEUE"):
        log_in(rabbitmq.url, rabbitmq.queue, retry_seconds=3600)


@pytest.fixture
def mute() -> Iterator[int]:
    """The port of a server that accepts and never speaks."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield int(listening.getsockname()[1])


@pytest.mark.parametrize("url", ["amqp://127.0.0.1:{}//", "redis://127.0.0.1:{}/0"])
def test_a_broker_that_never_speaks_is_unavailable(url: str, mute: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither who logs in nor who sends waits for it for long."""
    monkeypatch.setattr(tasks, "CONNECT_SECONDS", 0.2)
    with pytest.raises(BrokerUnavailable, match="does not answer"):
        log_in(url.format(mute))
    assert CeleryQueue(make_celery(url.format(mute), "none")).send_plan("0" * 32) is False


def test_a_worker_tells_by_its_exit_status(sqlite_url: str, rabbitmq: Broker, tmp_path: Path) -> None:
    """2 where somebody has to correct something, 75 where the broker may come back."""
    for url, status in (
        (rabbitmq.url.replace(":guest@", ":wrong@"), 2),
        ("kafka://host", 2),
        (f"amqp://127.0.0.1:{free_port()}//", 75),
    ):
        given = {"DATABASE": sqlite_url, "SOURCE": str(tmp_path), "BROKER": url, "RETRY_SECONDS": "0.1"}
        ended = s3import("worker", **{f"S3IMPORT_{name}": value for name, value in given.items()})
        said = [line for line in ended.err.splitlines() if line.startswith("s3import: ")]
        assert (ended.status, len(said)) == (status, 1)


def test_messages_do_not_pile_up_where_no_worker_is(redis: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that is full takes nothing more, so that the offers are withdrawn."""
    monkeypatch.setattr(tasks, "MOST_WAITING", 2)
    monkeypatch.setattr(tasks, "LOOK_SECONDS", 0.0)
    queue = CeleryQueue(make_celery(redis.url, redis.queue))
    assert [queue.send_parts("0" * 32, Bundle(number, number, -2)) for number in range(4)] == [True, True, False, False]


def test_rabbitmq_drops_what_is_old_by_its_own_clock(rabbitmq: Broker) -> None:
    """A message carries no instant of the sender's host, only how long it is worth something."""
    CeleryQueue(make_celery(rabbitmq.url, rabbitmq.queue)).send_plan("0" * 32)
    with make_celery(rabbitmq.url, rabbitmq.queue).connection_for_read() as connection:
        message = connection.default_channel.basic_get(rabbitmq.queue, no_ack=True)
    assert message.headers["expires"] is None
    assert message.properties["expiration"] == "15000"


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tls_redis(tmp_path: Path) -> Iterator[str]:
    """The URL of a Redis with a certificate that only itself vouches for, in `tmp_path`/ca.pem."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server in the path")
    _write_certificate(tmp_path)
    port = free_port()
    words = ["--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no", "--save", ""]
    files = ["--tls-cert-file", "ca.pem", "--tls-key-file", "key.pem", "--tls-ca-cert-file", "ca.pem"]
    with subprocess.Popen([program, *words, *files], cwd=tmp_path, stdout=subprocess.DEVNULL) as server:
        try:
            wait_until(lambda: _listens(port))
            yield f"rediss://127.0.0.1:{port}/0"
        finally:
            server.kill()


def _write_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "broker")])
    now = dt.datetime.now(dt.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "ca.pem").write_bytes(certificate.public_bytes(encoding))
    (folder / "key.pem").write_bytes(key.private_bytes(encoding, plain, serialization.NoEncryption()))


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_certificate_is_verified(tls_redis: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word in the URL: one that nobody vouches for is refused, one of an authority that is named is taken."""
    with pytest.raises(BrokerRefused, match="SSL_CERT_FILE"):
        log_in(tls_redis, retry_seconds=3600)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    log_in(tls_redis)


def test_a_url_may_forgo_verification(tls_redis: str) -> None:
    """Who says so is believed."""
    log_in(f"{tls_redis}?ssl_cert_reqs=CERT_NONE&ssl_check_hostname=false")
