"""The story of a run: claim, plan, import, finish."""
