"""Validates a dump for whoever writes dumps: all that can be said of it without a database."""

from s3import.operations.validate.validation import validate
from s3import.operations.validate.validation_report import ValidationReport

__all__ = ["ValidationReport", "validate"]
