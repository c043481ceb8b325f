"""Signatures that can be checked later: HMAC-SHA256 with a secret, over a document's canonical JSON or over bytes."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from s3import.core.errors import ConfigurationError

ALGORITHM = "HMAC-SHA256"
LEAST_CHARACTERS = 24  # of a secret
NAME_DIGITS = 16


def canonical(document: Mapping[str, Any]) -> bytes:
    """The document as RFC 8785 writes it, for one without floating-point numbers: sorted names, no white space."""
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A secret that signs: the bytes of its text, whatever that is.

    Raises: ConfigurationError for one that is too short to be a secret; it is never repeated.
    """

    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) < LEAST_CHARACTERS:
            raise ConfigurationError(
                f"the secret that signs certificates must have at least {LEAST_CHARACTERS} characters; "
                "`openssl rand -hex 32` makes one for S3IMPORT_CERTIFICATE_SECRET"
            )

    @property
    def name(self) -> str:
        """How the key is called where it must not stand itself: by the first digits of a hash of it."""
        return self.sign(b"the name of this key")[:NAME_DIGITS]

    def sign(self, content: bytes) -> str:
        """The signature of the content, in 64 hexadecimal digits."""
        return hmac.new(self.secret.encode(), content, hashlib.sha256).hexdigest()

    def has_signed(self, content: bytes, signature: str) -> bool:
        """Whether that is the content's signature by this key; takes the same time for every wrong one."""
        return hmac.compare_digest(self.sign(content).encode(), signature.encode("utf-8", "replace"))
