"""`migrate --all-accounts`: whoever is found at the source is imported, and what cannot tell is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import Dump, Ended, account_document, s3import
from tests.readers.dynamodb.exports import write_export
from tests.readers.dynamodb.items import MAPPING, message, thread

pytestmark = pytest.mark.integration


def migrate_all(source: str, database_url: str, *words: str, **variables: str) -> Ended:
    where = ["--source", source, "--database", database_url]
    return s3import("migrate", "--all-accounts", *where, *words, **variables)


def statuses(ended: Ended) -> dict[str, str]:
    return {one["account_id"]: one["account_status"] for one in ended.document["accounts"]}


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    """A mapping; an export of three accounts beside it in `exports`, one of them without a thread."""
    for account in ("acme", "beta", "gamma"):
        folder = tmp_path / "beside" / account
        folder.mkdir(parents=True)
        document = account_document(account).replace(b'"b"', b'"b1"').replace(b'"c"', b'"c1"')
        (folder / "account.json").write_bytes(document)
    messages = [message(n, account=("acme", "beta", "gamma")[n % 3]) for n in range(9)]
    write_export(tmp_path / "exports", "threads", [[thread(1, account=name) for name in ("acme", "beta")]])
    write_export(tmp_path / "exports", "messages", [messages[:5], messages[5:]])
    write_export(tmp_path / "exports", "attachments", [])
    path = tmp_path / "mapping.toml"
    path.write_text(f'beside = "{tmp_path}/beside/{{account}}"\n{MAPPING}')
    return path


def test_the_accounts_of_a_folder(dump: Dump, sqlite_url: str) -> None:
    """Each folder of dumps is an account."""
    dump.fill("beta")
    ended = migrate_all(dump.source, sqlite_url, "--json")
    assert ended.status == 0
    assert statuses(ended) == {"acme": "active", "beta": "active"}


def test_the_accounts_of_an_export(exports: Path, sqlite_url: str) -> None:
    """Each account that has items of any entity is imported, what is wrong is told, and nothing is left behind."""
    (exports.parent / "scratch").mkdir()
    words = ["--mapping", str(exports), "--max-rejects", "100%", "--json"]
    source = str(exports.parent / "exports")
    ended = migrate_all(source, sqlite_url, *words, TMPDIR=str(exports.parent / "scratch"))
    assert ended.status == 3
    assert statuses(ended) == {"acme": "active", "beta": "active", "gamma": "active"}
    rejected = [one["passes"]["remaining"]["rejects"]["by_code"] for one in ended.document["accounts"]]
    recent = [one["passes"]["recent"]["rejects"]["by_code"] for one in ended.document["accounts"]]
    assert {"unknown_thread": 3} in (rejected[2], recent[2])
    assert list((exports.parent / "scratch").iterdir()) == []


def test_a_dry_run_of_all_accounts(exports: Path, bare_sqlite_url: str) -> None:
    """A dry run looks at the same accounts."""
    ended = migrate_all(
        str(exports.parent / "exports"), bare_sqlite_url, "--mapping", str(exports), "--dry-run", "--json"
    )
    assert [one["account_id"] for one in ended.document["accounts"]] == ["acme", "beta", "gamma"]


@pytest.mark.parametrize(
    ("source", "words", "complaint"),
    [
        ("dynamodb:", ["--mapping", "M"], "tables are asked by the key of an account that is known"),
        ("S", [], "the source needs {account}"),
        ("S/{account}", ["--account", "acme"], "give it without --account and --accounts-from"),
        ("S", ["--mapping", "M", "--pass", "delta"], "give --accounts-from with those that were imported"),
        ("s3://{account}/x", [], "names no bucket"),
    ],
)
def test_what_cannot_tell_is_refused(
    exports: Path, bare_sqlite_url: str, source: str, words: list[str], complaint: str
) -> None:
    """Where accounts cannot be found, that is wrong usage, and nothing is touched."""
    given = [word.replace("M", str(exports)) if word == "M" else word for word in words]
    ended = migrate_all(source.replace("S", str(exports.parent)), bare_sqlite_url, *given)
    assert (ended.status, ended.out) == (2, "")
    assert complaint in ended.err


def test_nobody_is_there(bare_sqlite_url: str, tmp_path: Path) -> None:
    """A source without any account fails, and says where it was looked for."""
    ended = migrate_all(f"{tmp_path}/{{account}}", bare_sqlite_url)
    assert ended.status == 1
    assert f"there is no account at {tmp_path}/{{account}}" in ended.err
