"""Words that every room shares."""
