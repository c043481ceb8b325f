"""What one writes in an afternoon: JSON Lines into the tables by SQLAlchemy, a thousand rows at a time.

No checks, no rejects, no resume, no deletions. ``python plain_sqlalchemy.py FOLDER URL``
"""

import json
import sys
from pathlib import Path

import sqlalchemy as sa

BATCH = 1000
ORIGINS = {"call": "voice", "note": "api"}


def thread(r):
    customer = r.get("customer") or {}
    return {
        **{name: r.get(name) for name in ("account_id", "id", "brand_id", "channel_id", "subject", "assignee_id")},
        "status": {"open": "unresolved"}.get(r["status"], r["status"]),
        "tags": json.dumps(r.get("tags") or []),
        "custom_fields": json.dumps(r.get("custom_fields") or []),
        **{f"customer_{name}": customer.get(name) for name in ("id", "name", "email", "phone")},
        **{name: r.get(name) for name in ("created_at", "updated_at")},
    }


def message(r):
    author, call = r.get("author") or {}, r.get("telephony") or {}
    return {
        **{name: r.get(name) for name in ("account_id", "id", "thread_id", "direction", "body", "body_html")},
        "origin": ORIGINS.get(r["kind"], r["kind"]),
        "visibility": "internal_note" if r["kind"] == "note" else "regular",
        **{f"author_{name}": author.get(name) for name in ("type", "id", "name", "email", "phone")},
        "call_id": call.get("call_id"),
        "call_from": call.get("from"),
        "call_duration_seconds": call.get("duration_seconds"),
        **{name: r.get(name) for name in ("created_at", "updated_at")},
    }


def attachment(r):
    names = ("account_id", "id", "message_id", "filename", "content_type", "size_bytes", "sha256", "created_at")
    return {**{name: r.get(name) for name in names}, "source_key": r["key"], "state": "referenced"}


def insert(connection, table, rows):
    names = list(rows[0])
    places = ", ".join(f"CAST(:{n} AS jsonb)" if n in ("tags", "custom_fields") else f":{n}" for n in names)
    connection.execute(sa.text(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})"), rows)
    connection.commit()


def main(folder, url):
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    account = json.loads((folder / "account.json").read_bytes())
    with engine.connect() as connection:
        mine = {"account_id": account["id"]}
        insert_account = "INSERT INTO accounts VALUES (:id, :name, 'migrating', now(), now())"
        connection.execute(sa.text(insert_account), {"id": account["id"], "name": account["name"]})
        insert(connection, "brands", [{**mine, **one} for one in account["brands"]])
        insert(connection, "channels", [{**mine, **one} for one in account["channels"]])
        for pass_ in ("recent", "remaining"):
            for table, make in (("threads", thread), ("messages", message), ("attachments", attachment)):
                rows = []
                for path in sorted((folder / pass_ / table).glob("*.jsonl")):
                    with path.open("rb") as lines:
                        for line in lines:
                            rows.append(make(json.loads(line)))
                            if len(rows) == BATCH:
                                insert(connection, table, rows)
                                rows = []
                if rows:
                    insert(connection, table, rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
