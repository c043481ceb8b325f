"""Items on their way into a database: the same runs, counts, rejects and resumption as a dump's."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from s3import.cli import cli
from s3import.core import tables
from s3import.core.errors import ConfigurationError, DumpNotFound
from s3import.core.events import Advanced, Event
from s3import.core.records import HALVES, Pass
from s3import.core.settings import Settings
from s3import.importing.requests import Request, Result
from tests import commands as app
from tests.cli.commands import environment
from tests.readers.dynamodb.exports import write_export
from tests.readers.dynamodb.items import MAPPING, attachment, message, thread
from tests.readers.dynamodb.served import Served

pytestmark = pytest.mark.integration

OLD_TEXT, OLD_MILLISECONDS = "2020-08-01T00:00:00Z", 1585000000000
ACCOUNT = {"id": "acme", "name": "Acme", "brands": [{"id": "b1"}], "channels": [{"id": "c1", "brand_id": "b1"}]}
ITEMS = {
    "threads": [thread(1, created=OLD_TEXT), thread(2, created=OLD_TEXT), thread(3, status="LOST")],
    "messages": [message(n, thread=f"t{1 + n % 2}", created=OLD_MILLISECONDS) for n in range(20)],
    "attachments": [attachment(1, message="m1", created=OLD_TEXT), attachment(2, message="m9", size={"B": "AA=="})],
}


@pytest.fixture
def settings(tmp_path: Path, sqlite_url: str) -> Settings:
    """An export of all three tables, and account.json beside it."""
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "account.json").write_bytes(orjson.dumps(ACCOUNT))
    for table, items in ITEMS.items():
        write_export(tmp_path / "exports", table, [items[::2], items[1::2]])
    path = tmp_path / "mapping.toml"
    path.write_text(f'beside = "{tmp_path}/beside"\n{MAPPING}')
    lease: dict[str, Any] = {"lease_seconds": 0.0, "heartbeat_seconds": 3600.0}
    return Settings(source=f"{tmp_path}/exports", database=sqlite_url, mapping=str(path), block_bytes=600, **lease)


def migrate(settings: Settings, observe: Any = lambda event: None, stop: threading.Event | None = None) -> Result:
    request = Request("acme", HALVES, settings.source or "")
    return app.migrate(settings, [request], observe=observe, stop=stop or threading.Event())[0]


def counts(result: Result, pass_: str) -> dict[str, tuple[int, int, int]]:
    found = result.document["passes"][pass_]["counts"]
    return {name: (found[name]["read"], found[name]["written"], found[name]["rejected"]) for name in ITEMS}


def ids(settings: Settings, table: sa.Table) -> list[str]:
    engine = sa.create_engine(settings.database)
    with engine.connect() as connection:
        return sorted(connection.scalars(sa.select(table.c.id)))


def test_an_export_arrives(settings: Settings) -> None:
    """Both passes of an export are imported, each item once, and its rejects are kept with their text."""
    result = migrate(settings)
    assert result.error is None
    assert result.document["account_status"] == "active"
    total = [sum(counts(result, pass_)[name][0] for pass_ in ("recent", "remaining")) for name in ITEMS]
    assert total == [3, 20, 2]
    assert len(ids(settings, tables.messages)) == 20
    rejects = list(app.rejects(settings, "acme", HALVES))
    assert {(reject["id"], reject["reasons"][0]["code"]) for reject in rejects} == {
        ("t3", "invalid_value"),
        ("a2", "wrong_type"),
    }
    assert all('"Item"' in reject["raw"] for reject in rejects)


def test_an_export_is_taken_up_again(settings: Settings) -> None:
    """A run that was interrupted goes on where it was, divided by the same instants: nothing twice, nothing missing."""
    stop = threading.Event()

    def interrupt(event: Event) -> None:
        if isinstance(event, Advanced) and event.entity == "messages":
            stop.set()

    interrupted = migrate(settings, interrupt, stop)
    assert interrupted.error is not None
    result = migrate(settings)
    assert result.error is None
    whole = [sum(counts(result, pass_)[name][0] for pass_ in ("recent", "remaining")) for name in ITEMS]
    assert whole == [3, 20, 2]
    assert len(ids(settings, tables.messages)) == 20


def test_an_export_is_verified(settings: Settings) -> None:
    """`verify` reads the export again, divided as it was imported, and finds no difference."""
    migrate(settings)
    verified = app.verify(settings, "acme", observe=lambda event: None, stop=threading.Event())
    assert verified.findings.difference_count == 0


def test_a_dry_run(settings: Settings) -> None:
    """A dry run checks an export like a dump."""
    request = Request("acme", HALVES, settings.source or "")
    [result] = app.dry_run_accounts(settings, [request], observe=lambda event: None, stop=threading.Event())
    assert result.error is None
    assert result.rejected == 2


def test_tables_need_a_mapping(settings: Settings) -> None:
    """`dynamodb:` without a mapping is an error of the command."""
    with pytest.raises(ConfigurationError, match="give --mapping"):
        migrate(replace(settings, source="dynamodb:", mapping=None))


def test_tables_arrive(served: Served, settings: Settings, tmp_path: Path) -> None:
    """Both passes of tables are imported, resumed at the last key that was evaluated."""
    for table, items in ITEMS.items():
        served.put(table, *items)
    path = tmp_path / "tables.toml"
    path.write_text(f'beside = "{tmp_path}/beside"\n{served.mapping_text(MAPPING)}')
    result = migrate(replace(settings, source="dynamodb:", mapping=str(path)))
    assert result.error is None
    assert result.document["account_status"] == "active"
    assert len(ids(settings, tables.messages)) == 20
    assert ids(settings, tables.threads) == ["t1", "t2"]


def test_a_delta_of_tables_leaves_no_run(settings: Settings, aws: str) -> None:
    """A delta that is asked of tables is refused before there is a run of it, at which `verify` would stumble."""
    migrate(settings)
    request = Request("acme", (Pass.DELTA,), "dynamodb:")
    tables_ = replace(settings, source="dynamodb:")
    [refused] = app.migrate(tables_, [request], observe=lambda event: None, stop=threading.Event())
    assert isinstance(refused.error, DumpNotFound)
    assert "delta" not in refused.document["passes"]
    [queued] = app.queue(tables_, [request], observe=lambda event: None, stop=threading.Event())
    assert isinstance(queued.error, DumpNotFound)
    verified = app.verify(settings, "acme", observe=lambda event: None, stop=threading.Event())
    assert verified.findings.difference_count == 0


def test_maps_in_another_order(settings: Settings, tmp_path: Path) -> None:
    """Custom fields of a map are the same in whatever order its members come."""
    path = next((tmp_path / "exports").rglob("threads-*"))
    fields = {"plan": "gold", "seats": 5}
    for names in (("plan", "seats"), ("seats", "plan")):
        shutil.rmtree(path)
        custom = {name: fields[name] for name in names}
        write_export(tmp_path / "exports", "threads", [[thread(1, custom=custom), thread(2)]])
        migrate(settings)
    verified = app.verify(settings, "acme", observe=lambda event: None, stop=threading.Event())
    assert verified.findings.difference_count == 0


def test_a_mapping_is_tried(settings: Settings) -> None:
    """`mapping try` shows items beside what becomes of them, so many of each entity, of whatever pass."""
    variables = environment(S3IMPORT_SOURCE=settings.source or "", S3IMPORT_MAPPING=settings.mapping or "")
    words = ["mapping", "try", "--account", "acme", "--limit", "3"]
    shown = CliRunner().invoke(cli, words, env=variables)
    assert shown.output.count("  item    {") == 8
    assert "reject  status: must be one of" in shown.output
    assert "messages\n  item    {" in shown.output
    lines = CliRunner().invoke(cli, [*words, "--json"], env=variables).output.splitlines()
    first = orjson.loads(lines[0])
    assert orjson.loads(first["item"])["Item"]["id"] == {"S": first["record"]["id"]}


def test_a_mapping_that_finds_nothing(settings: Settings) -> None:
    """An account without any item is an error, not an empty answer."""
    variables = environment(S3IMPORT_SOURCE=settings.source or "", S3IMPORT_MAPPING=settings.mapping or "")
    shown = CliRunner().invoke(cli, ["mapping", "try", "--account", "nobody"], env=variables)
    assert isinstance(shown.exception, DumpNotFound)
    assert "no item of account nobody" in shown.exception.message


def test_an_account_that_nobody_made(settings: Settings, tmp_path: Path) -> None:
    """Where there is no account.json the message says where it was looked for, or that nothing is beside the items."""
    (tmp_path / "beside" / "account.json").unlink()
    assert f"and {tmp_path}/beside has no account.json" in str(migrate(settings).error)
    Path(settings.mapping or "").write_text(MAPPING)
    assert "the mapping names no source `beside` it" in str(migrate(settings).error)


def test_several_accounts_arrive(settings: Settings, tmp_path: Path) -> None:
    """Accounts that are asked for together read an export together, each its own items."""
    accounts = ("acme", "other")
    for account in accounts:
        (tmp_path / account).mkdir()
        (tmp_path / account / "account.json").write_bytes(orjson.dumps({**ACCOUNT, "id": account}))
    tables_of = {"threads": [thread(1, account=name) for name in accounts], "attachments": []}
    tables_of["messages"] = [message(n, account=accounts[n % 2]) for n in range(9)]
    for table, items in tables_of.items():
        write_export(tmp_path / "several", table, [items])
    path = tmp_path / "several.toml"
    path.write_text(f'beside = "{tmp_path}/{{account}}"\n{MAPPING}')
    together = replace(settings, source=f"{tmp_path}/several", mapping=str(path))
    requests = [Request(account, HALVES, together.source or "") for account in accounts]
    results = app.migrate(together, requests, observe=lambda event: None, stop=threading.Event())
    read = [[sum(counts(result, pass_)["messages"][:2]) for pass_ in ("recent", "remaining")] for result in results]
    assert [result.error for result in results] == [None, None]
    assert [sum(both) for both in read] == [10, 8]
