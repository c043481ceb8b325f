"""Word of what happens to runs, to Slack and to Conversations: recorded with what it tells of, delivered beside it."""
