"""Where a file is stored: keys made of ids and names, whatever these hold."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote

from s3import.core.records import Entity

FOLDERS = {Entity.ATTACHMENTS: "attachments", Entity.MESSAGES: "recordings"}
LONGEST_ID = 200  # bytes, escaped: names in a folder have at most 255
LONGEST_NAME = 100


def storage_key(entity: Entity, row_id: str, filename: str) -> str:
    """The key of an attachment's file, or of the recording of a message: ``attachments/<id>/<name>``.

    The escaped id alone tells files apart; the name is for people, and what it really is stands in a header.
    """
    return f"{FOLDERS[entity]}/{escaped(row_id)}/{safe_name(filename)}"


def escaped(row_id: str) -> str:
    """The id with all but letters, digits, ``_``, ``-`` and ``.`` percent-escaped; a long one by its SHA-256 after
    ``=``, which no other holds. Different ids stay different."""
    text = quote(row_id, safe="").replace("~", "%7E")
    if len(text) > LONGEST_ID:
        return "=" + hashlib.sha256(row_id.encode()).hexdigest()
    return text if text.strip(".") else text.replace(".", "%2E")


def safe_name(filename: str) -> str:
    """A name of at most 100 letters, digits, ``_``, ``-`` and ``.``; the end of a longer one, where its type stands."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", re.split(r"[/\\]", filename)[-1])
    return name[-LONGEST_NAME:].lstrip(".") or "file"
