"""Taking an import back, and forgetting what was kept of it."""
