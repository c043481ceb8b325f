"""The readers of JSON Lines: every promise holds on the column path and on the line path."""
