"""What a secret signs it knows again, and nothing else."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from s3import.core.errors import ConfigurationError
from s3import.core.signing import SigningKey, canonical

SECRET = "a secret of many letters, é"
KEY = SigningKey(SECRET)


def test_a_signature_is_what_every_library_makes() -> None:
    """HMAC-SHA256 with the bytes of the secret's text."""
    assert KEY.sign(b"x") == hmac.new(SECRET.encode(), b"x", hashlib.sha256).hexdigest()


def test_a_key_knows_its_signature_and_no_other() -> None:
    """Not that of other bytes, of another key, nor one that could be none."""
    signature = KEY.sign(b"x")
    assert KEY.has_signed(b"x", signature)
    assert not KEY.has_signed(b"y", signature)
    assert not SigningKey(SECRET + "!").has_signed(b"x", signature)
    assert not any(KEY.has_signed(b"x", wrong) for wrong in ("", "é", "\ud800", signature.upper()))


def test_a_canonical_document_is_the_same_in_whatever_order_it_was_made() -> None:
    """As RFC 8785 has it: names sorted, no white space, text as UTF-8."""
    one, other = {"b": [1, None], "a": {"d": "é", "c": True}}, {"a": {"c": True, "d": "é"}, "b": [1, None]}
    assert canonical(one) == canonical(other) == '{"a":{"c":true,"d":"é"},"b":[1,null]}'.encode()


def test_a_secret_that_could_be_guessed_is_refused() -> None:
    """The message says how to make one, and does not repeat it."""
    with pytest.raises(ConfigurationError, match="openssl rand -hex 32") as refused:
        SigningKey("hunter2")
    assert "hunter2" not in refused.value.message


def test_a_key_shows_nothing_of_its_secret() -> None:
    """Its name tells keys apart; neither that nor its text has the secret."""
    assert SECRET not in repr(KEY)
    assert KEY.name == SigningKey(SECRET).name != SigningKey(SECRET + "!").name
