"""Writes a small dump of an invented shop, right or with faults, to try things with."""
