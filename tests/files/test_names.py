"""Keys and headers made of names that nobody may trust."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3import.core.ids import is_id
from s3import.core.records import Entity
from s3import.files.keys import escaped, storage_key
from s3import.files.labels import UNKNOWN, label

IDS = st.text(min_size=1, max_size=255).filter(is_id)


@given(IDS, st.text())
def test_a_key_is_a_safe_path_of_three_names(row_id: str, filename: str) -> None:
    """Whatever id and name hold: no steps up, nothing that a file system or a URL would take apart."""
    key = storage_key(Entity.ATTACHMENTS, row_id, filename)
    assert re.fullmatch(r"attachments/[A-Za-z0-9._%=-]{1,200}/[A-Za-z0-9._-]{1,100}", key)
    assert not {".", ".."} & set(PurePosixPath(key).parts)
    assert len(key.split("/")) == 3


@given(IDS, IDS)
def test_different_ids_have_different_keys(one: str, other: str) -> None:
    """No escape makes two ids one."""
    assert (escaped(one) == escaped(other)) == (one == other)


@pytest.mark.parametrize(
    ("row_id", "key"),
    [("a1", "a1"), ("a b", "a%20b"), ("a/b", "a%2Fb"), ("..", "%2E%2E"), ("a.b", "a.b"), ("ü~", "%C3%BC%7E")],
)
def test_ids_stay_readable(row_id: str, key: str) -> None:
    """An id of letters and digits stands in the key as it is."""
    assert escaped(row_id) == key


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("note.txt", "note.txt"),
        ("../../x", "x"),
        ("C:\\x\\y.doc", "y.doc"),
        (".htaccess", "htaccess"),
        ("ä ö.pdf", "_.pdf"),
    ],
)
def test_names_lose_their_folders_and_what_is_not_plain(filename: str, name: str) -> None:
    """The key's last name is for people and harmless."""
    assert storage_key(Entity.MESSAGES, "m", filename) == f"recordings/m/{name}"


@pytest.mark.parametrize(
    "content_type",
    [
        *(
            "text/html",
            "TEXT/HTML; charset=utf-8",
            "application/xhtml+xml",
            "image/svg+xml",
            "text/xml",
            "application/xml",
        ),
        *("application/rss+xml", "text/javascript", "application/javascript", "application/x-javascript", "text/css"),
        *(
            "text/xsl",
            "application/xslt+xml",
            "multipart/related",
            "message/rfc822",
            "nonsense",
            "",
            None,
            "a/b\r\nX: y",
        ),
        *("text/vbscript", "application/x-shockwave-flash", "text/x-component", "text/cache-manifest", " / "),
    ],
)
def test_what_a_browser_would_run_is_downloaded_as_bytes(content_type: str | None) -> None:
    """And so is what is no type at all."""
    made = label("x", content_type)
    assert (made.content_type, made.disposition.partition(";")[0]) == (UNKNOWN, "attachment")


@pytest.mark.parametrize(
    ("content_type", "place"),
    [
        *(("image/png", "inline"), ("image/jpeg", "inline"), ("audio/mpeg", "inline"), ("video/mp4", "inline")),
        *(("application/pdf", "attachment"), ("text/plain", "attachment"), ("image/tiff", "attachment")),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "attachment"),
    ],
)
def test_harmless_types_stay(content_type: str, place: str) -> None:
    """Pictures, sound and film are shown in place, documents are downloaded as what they are."""
    made = label("x", content_type.upper())
    assert (made.content_type, made.disposition.partition(";")[0]) == (content_type, place)


@given(st.text())
def test_a_disposition_is_one_line_of_ascii(filename: str) -> None:
    """No name ends the header or says a second thing in it."""
    disposition = label(filename, None).disposition
    assert disposition.isascii()
    assert re.fullmatch(r"attachment; filename=\"[^\"\\\r\n]+\"; filename\*=UTF-8''[A-Za-z0-9%._~-]+", disposition)
