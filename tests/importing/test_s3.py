"""Migrations out of S3: what the source does wrong on the way leaves no trace in the result."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from s3import.core.records import ROW_ENTITIES, Entity, Pass
from s3import.core.settings import Settings
from tests.faults import EarlyEnd, FaultyProxy, Meanwhile, Passed, Refusal, random_faults
from tests.importing.dumps import ACCOUNT, Dump, lines, manifest, records, seeded_dump, simple_dump, write
from tests.importing.moving import code_of, counts, migrate, rows, settings_for, snapshot
from tests.objects import Bucket

pytestmark = pytest.mark.integration

SEED = 1


@pytest.fixture
def from_s3(settings: Settings, s3: Bucket) -> Settings:
    """Settings for the bucket and an empty SQLite database."""
    return dataclasses.replace(settings, source=f"s3://{s3.bucket}/{{account}}")


def _upload(s3: Bucket, dump: Dump, account: str = ACCOUNT) -> None:
    for key, body in dump.items():
        s3.put(f"{account}/{key}", body)


def test_faults_that_pass_change_nothing(
    from_s3: Settings, s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resets, early ends, SlowDown and errors of the server: the result is that of the same dump in a folder."""
    write(seeded_dump(SEED, "account-f"), tmp_path, "account-f")
    migrate(settings_for(tmp_path, from_s3.database), "account-f")
    _upload(s3, seeded_dump(SEED, "account-s"), "account-s")
    with FaultyProxy(s3.endpoint_url, random_faults(SEED, 10, 300)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        assert code_of(migrate(from_s3, "account-s")) is None
    assert snapshot(from_s3, "account-s") == snapshot(from_s3, "account-f")


@pytest.mark.parametrize(
    ("refusal", "code"),
    [(Refusal(503, "SlowDown"), "source_unavailable"), (Refusal(403, "AccessDenied"), "source_denied")],
    ids=["busy", "forbidden"],
)
@pytest.mark.parametrize("after", [2, 4, 6])
def test_a_source_that_stays_broken_ends_the_run(
    from_s3: Settings, s3: Bucket, monkeypatch: pytest.MonkeyPatch, refusal: Refusal, code: str, after: int
) -> None:
    """Once the source is well again the same command completes what was left."""
    _upload(s3, simple_dump(5))
    impatient = dataclasses.replace(from_s3, retry_seconds=0.3)
    with FaultyProxy(s3.endpoint_url, [Passed()] * after, afterwards=refusal) as proxy, monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", proxy.url)
        assert code_of(migrate(impatient)) == code
    result = migrate(from_s3)
    assert (code_of(result), counts(result)) == (None, dict.fromkeys(ROW_ENTITIES, (5, 0, 0)))


def test_a_source_that_changes_under_the_run_ends_it(
    from_s3: Settings, s3: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The object that is replaced while it is read is never imported from two versions."""
    _upload(s3, simple_dump(200))
    key = f"{ACCOUNT}/recent/messages/part-0.jsonl"

    def replace() -> None:
        s3.put(key, lines(records(Entity.MESSAGES, 201, prefix="recent-")))

    fault = Meanwhile(replace, EarlyEnd(2000))
    with FaultyProxy(s3.endpoint_url, [fault], chosen=lambda method, path: "messages/part" in path) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        assert code_of(migrate(from_s3)) == "source_changed"
        assert code_of(migrate(from_s3)) is None
    assert len(rows(from_s3)["messages"]) == 400


@pytest.mark.parametrize("name", ["empty.jsonl", "empty.jsonl.gz", "empty.jsonl.zst", "empty.parquet"])
def test_empty_parts_and_checksums_are_fine(from_s3: Settings, s3: Bucket, name: str) -> None:
    """An empty object is an empty part, with its checksum promised or not."""
    dump = {**simple_dump(2), f"recent/threads/{name}": b"", f"remaining/threads/{name}": b""}
    _upload(s3, {**dump, "recent/manifest.json": manifest(dump, Pass.RECENT)})
    assert code_of(migrate(from_s3)) is None
