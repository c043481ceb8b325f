"""Pure rules: Arrow in, Arrow out."""
