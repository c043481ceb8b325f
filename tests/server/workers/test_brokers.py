"""Real workers on real brokers: processes that share an account, and what becomes of it when they or the broker go."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from s3import.core.settings import Settings
from tests.importing.moving import snapshot
from tests.importing.strikes import kill_process
from tests.server.processes.client import Client
from tests.server.processes.processes import Processes, free_port, processes, wait_until
from tests.server.workers.brokers import Broker
from tests.server.workers.cable import Cable
from tests.server.workers.conftest import prepared
from tests.server.workers.fleets import ask, holders, states, undisturbed

pytestmark = pytest.mark.integration
BOTH_DONE = ["succeeded", "succeeded"]


@pytest.fixture
def started() -> Iterator[Processes]:
    """Processes that do not outlive the test."""
    with processes() as started:
        yield started


def prepare(folder: Path, database_url: str, broker: Broker) -> Settings:
    """A dump, empty tables and a broker, with leases that end soon."""
    return replace(
        prepared(folder, database_url),
        broker=broker.url,
        queue=broker.queue,
        workers=2,
        lease_seconds=2.0,
        heartbeat_seconds=0.5,
    )


def done(settings: Settings) -> bool:
    return states(settings) == BOTH_DONE


@pytest.mark.parametrize(
    ("kind", "database"), [("rabbitmq", "postgres_url"), ("redis", "mariadb_url"), ("sqs", "postgres_url")]
)
def test_an_account_is_spread_over_processes(
    tmp_path: Path, request: pytest.FixtureRequest, started: Processes, kind: str, database: str
) -> None:
    """Several import its parts, and the result is that of a single process."""
    settings = prepare(tmp_path, request.getfixturevalue(database), request.getfixturevalue(kind))
    (slow := tmp_path / "slow").touch()
    workers = [started.work(settings, slow=slow) for _ in range(2)]
    ask(settings)
    wait_until(lambda: len(holders(settings)) == 2)
    slow.unlink()
    wait_until(lambda: done(settings))
    for worker in workers:
        worker.terminate()
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert snapshot(settings) == undisturbed()


@pytest.mark.parametrize("kind", ["rabbitmq", "redis"])
def test_hosts_need_not_agree_about_the_time(
    tmp_path: Path, postgres_url: str, request: pytest.FixtureRequest, started: Processes, kind: str
) -> None:
    """A worker whose clock is an hour ahead takes the calls that others send."""
    settings = prepare(tmp_path, postgres_url, request.getfixturevalue(kind))
    ask(settings)
    started.serve(settings, free_port())
    started.work(settings, ahead=dt.timedelta(hours=1))
    wait_until(lambda: done(settings))


@pytest.mark.parametrize("kind", ["rabbitmq", "redis"])
def test_a_mute_broker_holds_up_no_drain(
    tmp_path: Path, postgres_url: str, request: pytest.FixtureRequest, started: Processes, kind: str
) -> None:
    """Where the broker stops answering, a worker and a server that are asked to go are gone soon."""
    broker = request.getfixturevalue(kind)
    parts = urlsplit(broker.url)
    with Cable((parts.hostname, parts.port)) as cable:
        url = broker.url.replace(f":{parts.port}", f":{cable.port}")
        settings = prepare(tmp_path, postgres_url, Broker(url, broker.queue))
        (slow := tmp_path / "slow").touch()
        client = Client(free_port())
        both = [
            started.work(settings, slow=slow, patience=2.0),
            started.serve(settings, client.port, patience=2.0),
        ]
        client.wait_until_up()
        client.create_account()
        client.migrate()
        wait_until(lambda: "running" in states(settings))
        cable.mute()
        assert client.migrate()[0] == 200
        slow.unlink()
        for process in both:
            process.terminate()
        for process in both:
            process.join(60)
        assert [process.exitcode for process in both if process.exitcode not in (0, 143)] == []


def test_a_killed_worker_costs_its_batch(
    tmp_path: Path, postgres_url: str, rabbitmq: Broker, started: Processes
) -> None:
    """Another one goes on at its checkpoints once its leases have ended."""
    settings = prepare(tmp_path, postgres_url, rabbitmq)
    doomed = started.work(settings, k=5, strike=kill_process)
    ask(settings)
    doomed.join(120)
    assert doomed.exitcode == -9
    started.work(settings)
    wait_until(lambda: done(settings))
    assert snapshot(settings) == undisturbed()


@pytest.mark.parametrize("kind", ["rabbitmq", "redis"])
def test_a_broker_may_be_away_for_a_while(
    tmp_path: Path, postgres_url: str, request: pytest.FixtureRequest, started: Processes, kind: str
) -> None:
    """Whether it goes before the first call or in the midst of them, the run ends well once it is back."""
    broker = request.getfixturevalue(kind)
    parts = urlsplit(broker.url)
    with Cable((parts.hostname, parts.port)) as cable:
        url = broker.url.replace(f":{parts.port}", f":{cable.port}")
        settings = prepare(tmp_path, postgres_url, Broker(url, broker.queue))
        (slow := tmp_path / "slow").touch()
        started.work(settings, slow=slow)
        ask(settings)
        wait_until(lambda: "running" in states(settings))
        cable.cut()
        slow.unlink()
        time.sleep(0.5)
        cable.mend()
        wait_until(lambda: done(settings))
    assert snapshot(settings) == undisturbed()
