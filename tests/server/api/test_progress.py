"""What the status document says while an import runs: never less than before, never more than is committed."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from s3import.core.records import HALVES, Pass
from s3import.core.tables import messages
from s3import.operations.composition import operations_for_clients
from s3import.server.api.application import create_app
from s3import.writers import open_database
from tests.importing.dumps import ACCOUNT, simple_dump, write
from tests.importing.moving import migrate, settings_for
from tests.server.api.conftest import bearer
from tests.server.api.services import TOKEN

pytestmark = pytest.mark.integration

MESSAGES = 25
Document = dict[str, Any]


@pytest.fixture
def looks(database_url: str, tmp_path: Path) -> list[tuple[Document, int]]:
    """What two API servers said in turns while an account was imported, each time with the number of messages that
    were in the database a moment later."""
    write(simple_dump(MESSAGES), tmp_path)
    (tmp_path / ACCOUNT / "files").mkdir()
    for number in range(MESSAGES):
        (tmp_path / ACCOUNT / f"files/{number}").write_bytes(b"x" * 17)
    settings = settings_for(
        tmp_path, database_url, lease_seconds=15.0, files_to=str(tmp_path / "copies"), files_in_flight=1
    )
    importing = threading.Thread(target=migrate, args=(settings,))
    database = open_database(database_url)
    apps = [create_app(operations_for_clients(settings, database), tokens=[TOKEN]) for _ in range(2)]
    seen: list[tuple[Document, int]] = []
    with TestClient(apps[0], headers=bearer(TOKEN)) as first, TestClient(apps[1], headers=bearer(TOKEN)) as second:
        importing.start()
        last = False
        while not last:
            last = not importing.is_alive()
            seen += [_look(client, database.engine) for client in (first, second)]
    database.close()
    return [(document, rows) for document, rows in seen if "passes" in document]


def _look(client: TestClient, engine: sa.Engine) -> tuple[Document, int]:
    document = client.get(f"/check-migration?account_id={ACCOUNT}").json()
    with engine.connect() as connection:
        rows = connection.execute(sa.select(sa.func.count()).select_from(messages)).scalar_one()
    return document, rows


def test_what_is_said_is_true_at_every_moment(looks: list[tuple[Document, int]]) -> None:
    """Of progress, of counts and of the account's status."""
    _progress_never_goes_back(looks)
    _nothing_is_counted_before_it_is_committed(looks)
    _an_account_is_active_when_its_run_has_succeeded(looks)


def _progress_never_goes_back(looks: list[tuple[Document, int]]) -> None:
    """Progress grows, stage by stage, files too, and success comes last."""
    assert looks[-1][0]["account_status"] == "active"
    for pass_ in HALVES:
        shown = [document["passes"][pass_] for document, _ in looks if document["passes"][pass_]]
        for what in ("parts_done", "bytes_done", "fraction"):
            values = [one["progress"][what] for one in shown]
            assert values == sorted(values), what
        ended = [one for one in shown if one["state"] == "succeeded"]
        assert all(one["counts"]["messages"]["written"] == MESSAGES for one in ended)
        before = [one["progress"] for one in shown if one["state"] != "succeeded"]
        assert all(one["fraction"] < 1 for one in before)
        assert all(one["eta_seconds"] is None or one["eta_seconds"] >= 1 for one in before)
        _stages_follow_each_other([one["progress"] for one in shown])


STAGES = ["threads", "messages", "attachments", "files"]
ORDER = ["pending", "running", "done"]


def _stages_follow_each_other(shown: list[Document]) -> None:
    """Each goes from pending to done, one at a time, and tells of no more than there is."""
    planned = [one for one in shown if one["stages"]]
    for number, name in enumerate(STAGES):
        looks = [one["stages"][number] for one in planned]
        assert {stage["name"] for stage in looks} == {name}
        assert [stage["state"] for stage in looks] == sorted((stage["state"] for stage in looks), key=ORDER.index)
        assert [stage["done"] for stage in looks] == sorted(stage["done"] for stage in looks)
        assert all(stage["total"] is None or stage["done"] <= stage["total"] for stage in looks)
        assert (looks[-1]["state"], looks[-1]["done"]) == ("done", looks[-1]["total"])
    for one in planned:
        at_work = [stage["name"] for stage in one["stages"] if stage["state"] == "running"]
        assert at_work == ([one["stage"]] if one["stage"] else [])


def _nothing_is_counted_before_it_is_committed(looks: list[tuple[Document, int]]) -> None:
    """Whoever looks into the database after the status finds at least what the status says."""
    for document, rows in looks:
        passes = [one for one in document["passes"].values() if one]
        assert sum(one["counts"]["messages"]["written"] for one in passes) <= rows


def _an_account_is_active_when_its_run_has_succeeded(looks: list[tuple[Document, int]]) -> None:
    """Status of the account and state of the run change in one moment."""
    for document, _ in looks:
        states = {pass_: (document["passes"][pass_] or {}).get("state") for pass_ in HALVES}
        assert (document["account_status"] in ("active-recent-only", "active")) == (states[Pass.RECENT] == "succeeded")
        assert (document["account_status"] == "active") == (states[Pass.REMAINING] == "succeeded")
