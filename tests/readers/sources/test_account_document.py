"""account.json: what it may hold, and how its faults are told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from s3import.core.errors import InvalidAccountDocument
from s3import.core.records import AccountDocument, Brand, Channel
from s3import.readers.dump.account_document import read_account_document
from tests.readers.sources.conftest import ACCOUNT, FolderPlace, Place

BRAND = {"id": "b1", "name": "Brand"}
CHANNEL = {"id": "c1", "brand_id": "b1", "kind": "email", "name": "Mail"}


def read(place: Place, document: Any) -> AccountDocument | None:
    place.put("account.json", document if isinstance(document, bytes) else json.dumps(document).encode())
    return read_account_document(place.source(), ACCOUNT)


def test_is_optional(place: Place) -> None:
    """A dump may come without the document."""
    assert read_account_document(place.source(), ACCOUNT) is None


def test_is_read_whole(place: Place) -> None:
    """Account, brands and channels come as they are written, in their order."""
    document = {"id": ACCOUNT, "name": "Acme", "brands": [BRAND], "channels": [CHANNEL], "more": 1}
    assert read(place, document) == AccountDocument(
        ACCOUNT, "Acme", (Brand("b1", "Brand"),), (Channel("c1", "b1", "email", "Mail"),)
    )


def test_needs_little(folder: FolderPlace) -> None:
    """Names, kinds and lists may be absent or null."""
    document = {"id": ACCOUNT, "brands": None, "channels": [{"id": "c1", "brand_id": "b", "kind": None}]}
    assert read(folder, document) == AccountDocument(ACCOUNT, None, (), (Channel("c1", "b", None, None),))


def test_repairs_nul(folder: FolderPlace) -> None:
    """NUL, which no database takes, is replaced in free text."""
    found = read(folder, {"id": ACCOUNT, "name": "A\0B"})
    assert found == AccountDocument(ACCOUNT, "A\ufffdB")


def test_repairs_lone_surrogates(folder: FolderPlace) -> None:
    """Half a surrogate pair, which UTF-8 cannot hold, is replaced in free text; a whole one is a character."""
    raw = rb'{"id": "acme", "name": "\ud83d\ude00 \udE00", "brands": [{"id": "b1", "name": "\uD83d!"}]}'
    assert read(folder, raw) == AccountDocument(ACCOUNT, "\N{GRINNING FACE} \ufffd", (Brand("b1", "\ufffd!"),))


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (b"", "is not JSON"),
        (b'{"id": "acme", "name": "\\ud800", "more": NaN}', "is not JSON"),
        (b'{"id": "acme\\ud800"}', "id must be 'acme'"),
        (b'{"id": "acme", "brands": [{"id": "\\ud800"}]}', r"brands\[0\]\.id holds a lone surrogate"),
        (b"null", "is not a JSON object"),
        (b'{"id": "acme", "brands": [{"id": "b"}], "brands": []}', "an object has two members 'brands'"),
        ({}, "id must be 'acme'"),
        ({"id": "Acme"}, "id must be 'acme'"),
        ({"id": ACCOUNT, "name": 1}, "name must be a string"),
        ({"id": ACCOUNT, "brands": {}}, "brands must be a list"),
        ({"id": ACCOUNT, "brands": ["b1"]}, r"brands\[0\] must be an object"),
        ({"id": ACCOUNT, "brands": [{"name": "B"}]}, r"brands\[0\]\.id is missing"),
        ({"id": ACCOUNT, "brands": [BRAND, BRAND]}, r"brands\[1\]\.id 'b1' is there a second time"),
        ({"id": ACCOUNT, "brands": [{"id": ""}]}, r"brands\[0\]\.id must be an id"),
        ({"id": ACCOUNT, "brands": [{"id": "a\nb"}]}, r"brands\[0\]\.id must be an id"),
        ({"id": ACCOUNT, "brands": [{"id": "b", "name": []}]}, r"brands\[0\]\.name must be a string"),
        ({"id": ACCOUNT, "channels": [{"id": "c1"}]}, r"channels\[0\]\.brand_id is missing"),
        ({"id": ACCOUNT, "channels": [{**CHANNEL, "id": "x" * 256}]}, r"channels\[0\]\.id must be an id"),
        ({"id": ACCOUNT, "channels": [{**CHANNEL, "kind": 1}]}, r"channels\[0\]\.kind must be a string"),
        ({"id": ACCOUNT, "channels": [CHANNEL, CHANNEL]}, r"channels\[1\]\.id 'c1' is there a second time"),
    ],
)
def test_names_the_place_of_a_fault(folder: FolderPlace, document: Any, complaint: str) -> None:
    """A fault is told with the document, the place in it, and what ought to be there."""
    with pytest.raises(InvalidAccountDocument, match=rf"account\.json.*{complaint}"):
        read(folder, document)
