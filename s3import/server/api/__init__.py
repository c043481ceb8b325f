"""The HTTP API: the one place that knows FastAPI and uvicorn."""
