"""What an object really holds, by its first bytes: a name that says something else is a mistake to be told at once."""

from __future__ import annotations

import re

from s3import.core.errors import PartUnreadable

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
SIGNATURE_BYTES = 16
"""How many of an object's first bytes tell."""

_KINDS = (
    (re.compile(rb"\x1f\x8b\x08"), "gzip", ".jsonl.gz"),
    (re.compile(rb"\x28\xb5\x2f\xfd"), "zstd", ".jsonl.zst"),
    (re.compile(rb"PAR1"), "Parquet", ".parquet"),
    (re.compile(rb"(\xef\xbb\xbf)?\s*\{"), "text", ".jsonl"),
    (re.compile(rb"BZh[1-9]1AY&SY"), "bzip2", None),
    (re.compile(rb"\xfd7zXZ\0"), "xz", None),
    (re.compile(rb"PK\x03\x04"), "a ZIP archive", None),
)


def require_signature(first_bytes: bytes, extension: str, object_name: str, remedy: str | None = None) -> None:
    """Raise PartUnreadable where an object that begins so is surely of another kind than its name's `extension`.

    `remedy`: what to do then, where another name would not help.
    """
    for pattern, kind, right in _KINDS:
        if pattern.match(first_bytes) and right != extension:
            said = "says otherwise" if remedy else f"ends with {extension}"
            renamed = f"let its name end with {right} (in a manifest too)" if right else "compress it as gzip or zstd"
            raise PartUnreadable(
                f"{object_name} cannot be read: it holds {kind}, though its name {said}; {remedy or renamed}, then run "
                "the same command"
            )
