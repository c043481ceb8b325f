"""A certificate with something of everything, and a key."""

from s3import.core.signing import SigningKey
from s3import.reporting.certificate import (
    Certificate,
    CertifiedAccount,
    CertifiedFiles,
    CertifiedRun,
    Deleted,
    Listed,
    Names,
    Software,
    TableDigest,
    Tally,
    Verdict,
)

KEY = SigningKey("0123456789abcdef0123456789abcdef")
AT = "2026-11-29T10:00:00.000000Z"
COUNTED = {"expected": 9, "found": 9, "missing": 0, "unexpected": 0, "different": 0}
SINCE = {"changed_since": 1, "deleted_since": 2, "created_since": 3}
TALLY = Tally(12345, 12340, 3, 2, 1)
RUN = CertifiedRun(
    "run1",
    "recent",
    "s3://dumps/acme",
    AT,
    AT,
    AT,
    2,
    {"threads": TALLY},
    {"invalid_value": 2},
    1,
    Names.of(["threads.<b>x</b>"]),
    Names.of(["recent/README"]),
)
CERTIFICATE = Certificate(
    CertifiedAccount("acme", "<script>alert(1)</script> & Söhne", "active"),
    AT,
    Software("1.0", "0003", {"product": "postgresql", "version": "15.1", "name": "reamaze"}),
    Verdict(AT, 0, 2, {"threads": {**COUNTED, **SINCE}}),
    {"threads": TALLY},
    (RUN,),
    {"threads": Deleted(4, 5)},
    Listed(6, 700, "a" * 64),
    CertifiedFiles(8, {"copied": 7, "failed": 1}, 900, "b" * 64),
    {"threads": TableDigest(9, "c" * 64)},
    is_as_verified=True,
)
