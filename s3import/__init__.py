"""s3import moves an account's threads, messages and attachments from a dump into the Re:amaze database."""

__version__ = "0.1.0"
