"""From Arrow rows to tables: one bulk loader per database, and the merge they share."""

from s3import.writers.database import Database, Dialect, open_database
from s3import.writers.merge import load_new, write
from s3import.writers.translation import translate, translated
from s3import.writers.writer import Writer

__all__ = [
    "Database",
    "Dialect",
    "Writer",
    "load_new",
    "open_database",
    "translate",
    "translated",
    "write",
]
