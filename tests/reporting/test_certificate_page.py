"""The page of a certificate: what it shows, and that nothing in it runs or is fetched."""

from __future__ import annotations

import re
from html import unescape

from s3import.core.explanations import explanations
from s3import.reporting.certificate import checked, seal, signed
from s3import.reporting.certificate_page import page_of
from tests.reporting.certificates import CERTIFICATE, KEY

SIGNED = signed(CERTIFICATE.document(), KEY)
PAGE = page_of(SIGNED)


def test_the_page_has_the_document_within_it() -> None:
    """Whoever has the page alone can check it, whatever letters it holds."""
    assert checked(seal(PAGE, KEY), KEY) == SIGNED


def test_what_a_dump_says_is_escaped() -> None:
    """Neither a name nor a field becomes markup."""
    assert "<script" not in PAGE
    assert "<b>" not in PAGE
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; Söhne" in PAGE


def test_the_page_needs_nothing_but_itself() -> None:
    """No address is named by any attribute, no style sheet imports one, and nothing may run."""
    assert re.findall(r"\b(?:src|href|action)\s*=|@import|url\(|\bon\w+\s*=", PAGE) == []
    assert "default-src &#39;none&#39;" in PAGE or "default-src 'none'" in PAGE
    assert "@page" in PAGE


def test_the_numbers_and_their_identity_are_shown() -> None:
    """As a sum that anybody can do again, with the meaning of each code."""
    shown = " ".join(unescape(re.sub(r"<[^>]+>", " ", PAGE)).split())
    assert "threads 12,345 = 12,340 + 3 + 2 1" in shown
    assert f"invalid_value 2 {explanations()['invalid_value'].meaning}" in shown
    for said in ("c" * 64, "postgresql 15.1", "threads 4 5", "The tables have changed since", "1: recent/README"):
        assert said in shown, said
