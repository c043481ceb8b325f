"""Processes that stay."""
