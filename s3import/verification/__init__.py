"""The proof that a dump arrived: it is read again and compared with the database, record by record."""

from s3import.verification.findings import Finding, Findings, Kind, Verified
from s3import.verification.verification import Verification

__all__ = ["Finding", "Findings", "Kind", "Verification", "Verified"]
