"""The proof that a dump arrived: it is read again and compared with the database, record by record."""

from s3import.operations.verify.findings import Finding, FindingKind, Findings, Verified
from s3import.operations.verify.verification import Verification

__all__ = ["Finding", "FindingKind", "Findings", "Verification", "Verified"]
