"""A row has the same fingerprint in Arrow and in every database."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s3import.core.records import Entity, one_array
from s3import.core.tables import TARGETS, accounts, brands, channels
from s3import.transform.fingerprints import RANGES, fingerprint_in, fingerprints_of, key_range_in, key_ranges_of
from s3import.transform.rows import to_rows
from s3import.transform.validators import check
from s3import.writers import open_database, schema
from tests.records import ACCOUNT, batch_of, right

AT = "2024-05-06T07:08:09Z"
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
optional = st.none() | texts
instants = st.datetimes().map(lambda at: f"{at.replace(year=1970 + at.year % 230).isoformat()}Z")
fields = st.fixed_dictionaries(
    {
        "subject": optional,
        "assignee_id": optional,
        "customer": st.none() | st.fixed_dictionaries({"id": optional, "name": optional}),
        "tags": st.lists(texts, max_size=3),
        "custom_fields": st.lists(st.fixed_dictionaries({"name": texts, "value": optional}), max_size=2),
        "updated_at": st.none() | instants,
    }
)


def mapped(entity: Entity, records: list[dict[str, Any]]) -> pa.Table:
    return to_rows(entity, check(batch_of(entity, records), entity, ACCOUNT).accepted)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=st.lists(fields, min_size=1, max_size=40))
def test_is_the_same_on_both_sides(database_url: str, found: list[dict[str, Any]]) -> None:
    """Any text, NULL and empty, lists, and times to the microsecond; the key ranges of ids too."""
    rows = mapped(Entity.THREADS, [right(Entity.THREADS, id=f"é{n}", **each) for n, each in enumerate(found)])
    database = open_database(database_url)
    with database.begin() as connection:
        schema.require(connection)
        connection.execute(sa.delete(accounts))
        connection.execute(
            accounts.insert().values(id=ACCOUNT, status="active", created_at=sa.func.now(), updated_at=sa.func.now())
        )
        connection.execute(brands.insert().values(account_id=ACCOUNT, id="b1"))
        connection.execute(channels.insert().values(account_id=ACCOUNT, id="c1", brand_id="b1"))
        database.writer.load(connection, TARGETS[Entity.THREADS], rows)
        look = sa.select(TARGETS[Entity.THREADS].c.id, fingerprint_in(Entity.THREADS), key_range_in(Entity.THREADS))
        stored = {row_id: (fingerprint, key_range) for row_id, fingerprint, key_range in connection.execute(look)}
    database.close()
    made = zip(fingerprints_of(Entity.THREADS, rows), key_ranges_of(one_array(rows["id"])), strict=True)
    ids = rows["id"].to_pylist()
    assert stored == dict(zip(ids, ((one.as_py(), two.as_py()) for one, two in made), strict=True))


def test_tells_apart_where_text_ends() -> None:
    """A character that moves from one column to the next, NULL and the empty string make other fingerprints."""
    bodies = [("ab", "c"), ("a", "bc"), ("", None), (None, ""), (None, None), ("-", None), ("1:a", "")]
    records = [right(Entity.MESSAGES, body=body, body_html=html) for body, html in bodies]
    assert len(set(fingerprints_of(Entity.MESSAGES, mapped(Entity.MESSAGES, records)).to_pylist())) == len(bodies)


def test_spreads_ids_over_the_ranges() -> None:
    """Ranges are even, whatever ids look like."""
    found = key_ranges_of(pa.array([f"message-{number:09}" for number in range(8 * RANGES)])).to_pylist()
    assert (min(found), max(found)) == (0, RANGES - 1)
    assert max(map(found.count, range(0, RANGES, 64))) < 30
