"""What a dump consists of."""
