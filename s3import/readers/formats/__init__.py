"""Bytes to records, a decoder for each format."""
