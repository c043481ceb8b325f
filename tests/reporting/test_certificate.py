"""A certificate that was changed, or that another secret has signed, is found out."""

from __future__ import annotations

from html import escape
from typing import Any

import orjson
import pytest

from s3import.core.errors import CertificateInvalid, ConfigurationError
from s3import.core.settings import Settings
from s3import.core.signing import SigningKey
from s3import.reporting.certificate import MAX_NAMES, Names, Tally, checked, seal, signed, signing_key
from tests.reporting.certificates import CERTIFICATE, KEY

SIGNED = signed(CERTIFICATE.document(), KEY)


def test_a_certificate_is_right_however_it_is_written() -> None:
    """Its members may come in any order, and with any white space."""
    turned = dict(reversed(SIGNED.items()))
    for text in (orjson.dumps(SIGNED), orjson.dumps(turned, option=orjson.OPT_INDENT_2)):
        assert checked(text, KEY) == SIGNED


@pytest.mark.parametrize(
    "change",
    [
        {"issued_at": "2030-01-01T00:00:00Z"},
        {"totals": {}},
        {"version": 2},
        {"another": "member"},
        {"account": {**SIGNED["account"], "id": "other"}},
        {"signature": {**SIGNED["signature"], "value": "0" * 64}},
        {"signature": {**SIGNED["signature"], "algorithm": "none"}},
        {"signature": {**SIGNED["signature"], "another": "member"}},
    ],
    ids=str,
)
def test_whatever_is_changed_is_found_out(change: dict[str, Any]) -> None:
    """A member with another value, and one more of them."""
    with pytest.raises(CertificateInvalid, match="was changed after"):
        checked(orjson.dumps({**SIGNED, **change}), KEY)


def test_whatever_is_left_out_is_found_out() -> None:
    """Each member is covered by the signature."""
    for name in SIGNED:
        rest = {other: value for other, value in SIGNED.items() if other != name}
        with pytest.raises(CertificateInvalid):
            checked(orjson.dumps(rest), KEY)


def test_another_secret_is_told_from_a_change() -> None:
    """Whoever has replaced the secret learns that the old one is needed."""
    with pytest.raises(CertificateInvalid, match="another secret"):
        checked(orjson.dumps(SIGNED), SigningKey("some other secret, as long"))


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"7", b"[]", b"{}", b"null", b'{"signature":1}', b"<html></html>", b"<p id=document>{}"]
)
def test_what_is_no_certificate_is_said_to_be_none(content: bytes) -> None:
    """Whatever file it is."""
    with pytest.raises(CertificateInvalid, match="no certificate"):
        checked(content, KEY)


def test_a_document_of_another_kind_is_no_certificate() -> None:
    """Also if the same secret has signed it."""
    with pytest.raises(CertificateInvalid, match="no certificate"):
        checked(orjson.dumps(signed({"format": "invoice"}, KEY)), KEY)


def test_a_page_is_signed_as_a_whole() -> None:
    """Changed text is found out though the document within is as it was."""
    page = seal(f"<p>seventy</p><pre id='document'>{escape(orjson.dumps(SIGNED).decode())}</pre>\n", KEY)
    assert checked(page, KEY) == SIGNED
    for wrong in (page.replace(b"seventy", b"ninety"), page + b"<p>more</p>", page.rpartition(b"\n<!--")[0]):
        with pytest.raises(CertificateInvalid, match="what the page shows"):
            checked(wrong, KEY)


def test_a_secret_of_its_own_goes_before_that_of_the_callback() -> None:
    """Without either nothing is signed, and the message says what to set."""
    own, other = "the certificate's own secret", "whsec_of the callback, as long"
    assert signing_key(Settings(certificate_secret=own, callback_secret=other)) == SigningKey(own)
    assert signing_key(Settings(callback_secret=other)) == SigningKey(other)
    with pytest.raises(ConfigurationError, match="S3IMPORT_CERTIFICATE_SECRET"):
        signing_key(Settings())


def test_a_tally_adds_up_or_not() -> None:
    """Read is written, unchanged and rejected; what was sanitised is among them."""
    assert Tally(10, 7, 2, 1, 5).adds_up
    assert not Tally(10, 7, 2, 2, 0).adds_up
    assert Tally.total([Tally(10, 7, 2, 1, 5), Tally(1, 1, 0, 0, 0)]) == Tally(11, 8, 2, 1, 5)


def test_of_many_names_the_first_are_shown() -> None:
    """A certificate stays a few pages long."""
    names = Names.of(map(str, range(MAX_NAMES + 5)))
    assert (names.count, len(names.first)) == (MAX_NAMES + 5, MAX_NAMES)
