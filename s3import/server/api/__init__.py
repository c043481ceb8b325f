"""The HTTP API of the contract's sections 6 and 7. The one place that knows FastAPI and uvicorn."""

from s3import.server.api.application import create_app
from s3import.server.api.loopback import check_binding
from s3import.server.api.process import api_process, require_serving
from s3import.server.api.server import make_server

__all__ = ["api_process", "check_binding", "create_app", "make_server", "require_serving"]
