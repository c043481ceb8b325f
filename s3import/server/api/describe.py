"""The OpenAPI description: what FastAPI finds out by itself, with every problem and the tokens added."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from s3import.server.api.models import Fault, Problem
from s3import.server.api.problems import MEDIA_TYPE

_SCHEMA = "#/components/schemas/{model}"
_WHEN = {
    400: "The request cannot be parsed.",
    401: "No token, or a wrong one.",
    403: "The source lies outside of those allowed.",
    404: "There is no such account, run or path.",
    405: "The path knows other methods.",
    408: "The body did not arrive in time.",
    409: "The pass that this needs is not finished, or what it needs was purged.",
    413: "The body is too large.",
    421: "A server without tokens was asked by a name that is not its own.",
    422: "A parameter or the body is not as described.",
    431: "The headers are too large.",
    500: "A fault of the server.",
    503: "The database cannot be used at the moment.",
}


def _problem(when: str) -> dict[str, Any]:
    schema = {"$ref": _SCHEMA.format(model=Problem.__name__)}
    return {"description": when, "content": {MEDIA_TYPE: {"schema": schema}}}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    **{status: _problem(when) for status, when in _WHEN.items()},
    "default": _problem("Any other error."),
}
"""What every operation may answer instead."""


def answers(model: Any, *statuses: int) -> dict[int | str, dict[str, Any]]:
    """The description of the documents that an operation gives with these statuses (none: 200)."""
    return {status: {"model": model, "description": HTTPStatus(status).phrase} for status in statuses or (200,)}


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            webhooks=app.webhooks.routes,
        )
        parts = document.setdefault("components", {})
        for model in (Problem, Fault):
            schema = model.model_json_schema(ref_template=_SCHEMA)
            schema.pop("$defs", None)
            parts["schemas"][model.__name__] = schema
        parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
        for path in ("/health", "/schemas/{name}.json"):
            document["paths"][path]["get"]["security"] = []
        document["webhooks"]["migration"]["post"]["security"] = []
        app.openapi_schema = document
    return app.openapi_schema
