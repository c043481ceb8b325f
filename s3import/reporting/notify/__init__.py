"""Notices of runs to Slack and to Conversations: recorded with what they tell of, delivered by other threads."""
