"""Validates a dump for whoever writes dumps: all that can be said of it without a database."""
