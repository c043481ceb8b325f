"""Real brokers: RabbitMQ and Redis where they usually listen, or where ``S3IMPORT_TEST_RABBITMQ`` and
``S3IMPORT_TEST_REDIS`` say; SQS by moto's server. Each test has a queue of its own."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest

RABBITMQ = "amqp://guest:guest@127.0.0.1:5672//"
REDIS = "redis://127.0.0.1:6379/9"


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker's URL and the name of a queue that nobody else uses."""

    url: str
    queue: str


@pytest.fixture
def rabbitmq() -> Iterator[Broker]:
    with _broker("RabbitMQ", "S3IMPORT_TEST_RABBITMQ", RABBITMQ) as broker:
        yield broker


@pytest.fixture
def redis() -> Iterator[Broker]:
    with _broker("Redis", "S3IMPORT_TEST_REDIS", REDIS) as broker:
        yield broker


@pytest.fixture
def sqs(s3_endpoint: tuple[str, object]) -> Broker:
    """Queues are gone with their server."""
    address = s3_endpoint[0].removeprefix("http://")
    return Broker(f"sqs://testing:testing@{address}//", _fresh_name())


@contextmanager
def _broker(name: str, variable: str, usual: str) -> Iterator[Broker]:
    broker = Broker(os.environ.get(variable) or usual, _fresh_name())
    problem = _problem(broker.url)
    if problem is not None:
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up(f"no {name} ({problem}): set {variable} to the URL of one, such as {usual}")
    yield broker
    with _app(broker.url, broker.queue).connection_for_write() as connection:
        _forget(connection.default_channel, broker.queue)


def _forget(channel: Any, queue: str) -> None:
    """Delete the queue, and what Redis keeps of it."""
    with suppress(*channel.connection.channel_errors):
        channel.queue_delete(queue)
        channel.exchange_delete(queue)
    if hasattr(channel, "client"):
        for key in channel.client.scan_iter(f"*{queue}*"):
            channel.client.delete(key)


def _problem(url: str) -> str | None:
    try:
        with _app(url, "none").connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=3)
    except Exception as error:  # noqa: BLE001 - every transport has errors of its own
        return type(error).__name__
    return None


def _app(url: str, queue: str) -> Any:
    from s3import.server.workers.tasks import make_celery  # every test process would pay for it

    return make_celery(url, queue)


def _fresh_name() -> str:
    return f"s3import-test-{uuid.uuid4().hex[:12]}"
