"""Where bytes come from: objects, opened at an offset."""
