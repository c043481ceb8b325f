"""Writes a pass of a dump: its parts first, its manifest last."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def write_part(folder: Path, entity: str, number: int, records: Iterable[Record]) -> Record:
    """Write a part; what the manifest says of it."""
    lines = [json.dumps(record, ensure_ascii=False, allow_nan=False) for record in records]
    stored = gzip.compress("".join(f"{line}\n" for line in lines).encode())
    key = f"{entity}/part-{number}.jsonl.gz"
    (folder / key).parent.mkdir(parents=True, exist_ok=True)
    (folder / key).write_bytes(stored)
    digest = hashlib.sha256(stored).hexdigest()
    return {"entity": entity, "key": key, "rows": len(lines), "bytes": len(stored), "sha256": digest}


def write_pass(folder: Path, account_id: str, pass_: str, records: dict[str, Iterable[Record]]) -> None:
    """Write a pass: `records` by entity."""
    parts = [write_part(folder / pass_, entity, 0, some) for entity, some in records.items()]
    manifest = {"version": 1, "account_id": account_id, "pass": pass_, "parts": parts}
    (folder / pass_ / "manifest.json").write_text(json.dumps(manifest))


if __name__ == "__main__":
    thread = {"id": "t1", "account_id": "acme", "brand_id": "b1", "channel_id": "c1", "status": "open"}
    message = {"id": "m1", "account_id": "acme", "thread_id": "t1", "kind": "email", "direction": "inbound"}
    noon = "2026-01-02T12:00:00Z"
    recent: dict[str, Iterable[Record]] = {
        "threads": [{**thread, "created_at": noon, "subject": "Où est ma commande ?"}],
        "messages": [{**message, "created_at": noon, "body": "Bonjour"}],
    }
    write_pass(Path("dumps/acme"), "acme", "recent", recent)
