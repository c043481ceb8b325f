"""A use case gives the same result and the same notice, whoever asks for it and whoever does the work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from s3import.core.events import Advanced, Event, Observer
from s3import.core.limits import RejectLimit
from s3import.core.settings import Settings
from s3import.core.tables import import_notices, import_runs
from s3import.importing.part_claims import Capacity
from s3import.importing.retries import Retries
from s3import.operations.composition import assemble, opened_for_clients
from s3import.operations.db import create_tables
from s3import.server.api.application import create_app
from s3import.server.workers.background import BackgroundWorker
from s3import.server.workers.fleet import FleetWorker
from tests import commands
from tests.cli.commands import s3import
from tests.importing.dumps import ACCOUNT
from tests.importing.moving import ignore, migrate, snapshot
from tests.reporting.notify.receiver import Receiver
from tests.reporting.notify.runs import SECRET
from tests.server.api.conftest import bearer
from tests.server.api.services import TOKEN, open_service, put_account
from tests.server.workers.conftest import prepared
from tests.server.workers.fleets import FakeQueue, Fleet, states

pytestmark = pytest.mark.integration
Way = Callable[[Settings], object]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Whoever is told."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def told(tmp_path: Path, sqlite_url: str, receiver: Receiver) -> Settings:
    """Settings for a dump, of an account that exists, and for the places that are told."""
    settings = prepared(tmp_path, sqlite_url)
    put_account(open_service(settings.database))
    return replace(
        settings, slack_webhook_url=f"{receiver.url}/slack", callback_url=f"{receiver.url}/", callback_secret=SECRET
    )


@contextmanager
def api(settings: Settings) -> Iterator[TestClient]:
    """A client of the API over the settings' database."""
    with (
        opened_for_clients(settings, wake=lambda: None) as operations,
        TestClient(create_app(operations, tokens=[TOKEN]), headers=bearer(TOKEN)) as client,
    ):
        yield client


def command(settings: Settings, name: str, *words: str) -> Any:
    """What a command prints."""
    variables = {
        "S3IMPORT_SLACK_WEBHOOK_URL": settings.slack_webhook_url or "",
        "S3IMPORT_CALLBACK_URL": settings.callback_url or "",
        "S3IMPORT_CALLBACK_SECRET": settings.callback_secret or "",
    }
    ended = s3import(name, "--account", ACCOUNT, "--database", settings.database, *words, **variables)
    assert ended.status == 0, ended.err
    return ended


# --- asking ----------------------------------------------------------------------------------------------------------


def test_status_is_the_same_document(told: Settings) -> None:
    """What the command prints is what the API answers."""
    migrate(told)
    with api(told) as client:
        answer = client.get("/check-migration", params={"account_id": ACCOUNT}).json()
    assert command(told, "status", "--json").document == answer


def test_rejects_are_the_same_list(told: Settings) -> None:
    """The command lists in one go what the API gives page by page."""
    migrate(told)
    with api(told) as client:
        pages = [client.get(f"/accounts/{ACCOUNT}/rejects", params={"limit": 5}).json()]
        while after := pages[-1]["next"]:
            pages.append(client.get(f"/accounts/{ACCOUNT}/rejects", params={"limit": 5, "after": after}).json())
    listed = command(told, "rejects", "--json").lines
    assert len(listed) > 5
    assert listed == [reject for page in pages for reject in page["items"]]


def queue_by_command(settings: Settings) -> None:
    """`s3import migrate --detach`."""
    command(settings, "migrate", "--source", settings.source or "", "--detach")


def queue_by_request(settings: Settings) -> None:
    """`POST /migrate`."""
    with api(settings) as client:
        assert client.post("/migrate", json={"account_id": ACCOUNT}).status_code in (200, 202)


def test_queueing_makes_the_same_runs(told: Settings) -> None:
    """Both ask for both passes of the same source; who asks second finds the runs of who asked first."""
    made = []
    for ways in ((queue_by_command, queue_by_request), (queue_by_request, queue_by_command)):
        for way in ways:
            way(told)
        made.append(_runs(told))
        _forget(told)
    assert made[0] == made[1]
    assert [(run["pass"], run["state"]) for run in made[0]] == [("recent", "queued"), ("remaining", "queued")]


def cancel_by_command(settings: Settings) -> None:
    """`s3import cancel`."""
    command(settings, "cancel")


def cancel_by_request(settings: Settings) -> None:
    """`DELETE /migrations/{run_id}`, for each run."""
    with api(settings) as client:
        for run in client.get("/migrations", params={"account_id": ACCOUNT}).json()["items"]:
            assert client.delete(f"/migrations/{run['run_id']}").status_code == 200


@contextmanager
def background(settings: Settings, observe: Observer) -> Iterator[None]:
    """The worker of `s3import serve`, for as long as the block runs."""
    with (
        closing(assemble(settings, observe, threading.Event())) as machinery,
        machinery.importer as importer,
        BackgroundWorker(importer, limit=RejectLimit(), poll_seconds=0.05),
    ):
        yield


def cancel_at_work(settings: Settings, cancel: Way) -> None:
    """Cancel the recent pass while a worker imports it."""
    cancelled = threading.Event()

    def observe(event: Event) -> None:
        if not cancelled.is_set() and isinstance(event, Advanced):
            cancelled.set()
            cancel(settings)

    with background(settings, observe):
        assert _comes(lambda: set(states(settings)) == {"cancelled"})


@pytest.mark.parametrize("at_work", [False, True], ids=["queued", "at work"])
def test_cancelling_gives_the_same_result_and_notice(told: Settings, at_work: bool) -> None:
    """Whether queued or at work, the runs end the same and the same is told, once."""
    ended, notices = [], []
    for cancel in (cancel_by_command, cancel_by_request):
        queue_by_request(told)
        cancel_at_work(told, cancel) if at_work else cancel(told)
        ended.append(_runs(told))
        notices.append(_notices(told))
        _forget(told)
    assert ended[0] == ended[1]
    assert [(run["state"], run["error_code"]) for run in ended[0]] == [("cancelled", "cancelled")] * 2
    assert notices[0] == notices[1]
    assert [kind for _, kind, *_ in notices[0]].count("cancelled") == 4


# --- doing -----------------------------------------------------------------------------------------------------------


def work_by_command(settings: Settings) -> None:
    """`s3import migrate`."""
    migrate(settings)


def work_in_background(settings: Settings) -> None:
    """`s3import serve` without a broker."""
    queue_by_request(settings)
    with background(settings, ignore):
        assert _comes(lambda: states(settings) == ["succeeded"] * 2)


def work_in_fleet(settings: Settings) -> None:
    """`s3import worker`."""
    queue_by_request(settings)
    stop, calls = threading.Event(), FakeQueue()
    with closing(assemble(settings, ignore, stop)) as machinery, machinery.importer as importer:
        worker = FleetWorker(importer, calls, limit=RejectLimit(), retries=Retries(), capacity=Capacity())
        Fleet(settings, calls, [worker], [stop]).work()


@pytest.mark.parametrize("work", [work_in_background, work_in_fleet])
def test_workers_give_the_same_result_and_notice_as_the_command(
    tmp_path: Path, told: Settings, work: Callable[[Settings], None]
) -> None:
    """The rows, the status, the rejects and what is told do not depend on whose process it was."""
    other = replace(told, database=f"sqlite:///{tmp_path}/other.db")
    create_tables(other)
    put_account(open_service(other.database))
    work_by_command(told)
    work(other)
    assert snapshot(other) == snapshot(told)
    assert _notices(other) == _notices(told)


# --- how it is seen --------------------------------------------------------------------------------------------------


def _runs(settings: Settings) -> list[dict[str, Any]]:
    """The runs, but for what is another one each time."""
    kept = ("pass", "number", "state", "source", "again", "error_code", "error_message", "files_to")
    query = sa.select(*(import_runs.c[name] for name in kept)).order_by(import_runs.c["pass"])
    with closing(commands.connect(settings)) as database, database.read() as connection:
        return [{str(name): value for name, value in row.items()} for row in connection.execute(query).mappings()]


def _notices(settings: Settings) -> list[tuple[Any, ...]]:
    """What was told and to whom, in an order of its own."""
    with closing(commands.connect(settings)) as database, database.read() as connection:
        rows = connection.execute(sa.select(import_notices.c.channel, import_notices.c.payload)).all()
    kept = ("kind", "account_id", "pass")
    return sorted((row.channel, *(str(row.payload.get(name)) for name in kept)) for row in rows)


def _forget(settings: Settings) -> None:
    """Begin anew: no runs, no notices."""
    with closing(commands.connect(settings)) as database, database.begin() as connection:
        connection.execute(import_notices.delete())
        connection.execute(import_runs.delete())


def _comes(condition: Callable[[], bool]) -> bool:
    """Whether it comes about within two minutes."""
    waiting = threading.Event()
    return any(condition() or waiting.wait(0.05) for _ in range(2400))
