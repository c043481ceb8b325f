"""`s3import schema`: one schema, or the list; and what the commands and callbacks give fits theirs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from click.testing import CliRunner

from s3import.cli import cli, run
from s3import.core.json_schemas import SCHEMA_NAMES, url_of
from tests.cli.commands import ACCOUNT, Dump, migrate, s3import


def printed(*words: str) -> str:
    return CliRunner().invoke(cli, ["schema", *words], catch_exceptions=False).output


def fits(name: str, document: Any) -> bool:
    """Whether the document is as the schema of that name says. Raises: ValidationError, which tells why not."""
    jsonschema_rs.Draft202012Validator(json.loads(printed(name))).validate(document)
    return True


@pytest.mark.parametrize("name", SCHEMA_NAMES)
def test_prints_a_schema(name: str) -> None:
    """A name gives the schema, and nothing beside it."""
    assert json.loads(printed(name))["$id"] == url_of(name)


def test_lists_the_schemas() -> None:
    """Without a name there is a line for each, with what it describes."""
    lines = printed().splitlines()
    assert [line.split()[0] for line in lines] == list(SCHEMA_NAMES)
    assert lines[0] == "thread\tA thread: a line of a part below threads/"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("threads", "did you mean thread?"), ("manifest.json", "did you mean manifest?"), ("x", "there are thread, mess")],
)
def test_refuses_a_name_that_there_is_not(name: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown name is wrong usage; the message has the right one."""
    assert run(["schema", name]) == 2
    assert f"there is no schema {name}; {hint}" in capsys.readouterr().err


@pytest.mark.integration
def test_a_status_document_fits_its_schema(dump: Dump, sqlite_url: str) -> None:
    """Whatever became of the passes, with a verification, and where the database does not answer."""
    dump.fill(bad=1)
    dump.put("remaining/messages/b.jsonl.gz").write_bytes(b"no gzip at all")
    assert migrate(dump, sqlite_url).status == 1
    assert s3import("verify", "--account", ACCOUNT, "--database", sqlite_url).status == 1
    known = s3import("status", "--account", ACCOUNT, "--database", sqlite_url, "--json").document
    assert {known["passes"][name]["state"] for name in ("recent", "remaining")} == {"succeeded", "failed"}
    assert fits("status", known)
    away = s3import("status", "--account", ACCOUNT, "--database", "postgresql://me@127.0.0.1:1/reamaze", "--json")
    assert fits("status", away.document)
    with pytest.raises(jsonschema_rs.ValidationError):
        fits("status", {**known, "account_status": "lost"})


def test_an_account_document_and_a_manifest_of_a_real_dump_fit() -> None:
    """The dump of the project's own fixtures."""
    folder = Path(__file__).parents[2] / "fixtures/dump/tidewater"
    assert fits("account", json.loads((folder / "account.json").read_text()))
    assert fits("manifest", json.loads((folder / "recent/manifest.json").read_text()))
