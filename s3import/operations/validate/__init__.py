"""Validates a dump for whoever writes dumps: all that can be said of it without a database."""

from s3import.operations.validate.dump import validate
from s3import.operations.validate.report import Report

__all__ = ["Report", "validate"]
