"""The OpenAPI document (spec.openapis.org/oas/v3.1.0), made from the same classes that check bodies."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from yanmo.serving.response_schemas import content_of

_REFERENCE = "#/components/schemas/{model}"
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_ERROR_ANSWER = {
    "description": "Refused, or failed.",
    "content": {"application/json": {"schema": {"$ref": _REFERENCE.format(model="Error")}}},
}
# Of those that a route of /v1 can give; what they mean stands in the error object.
_STATUSES = ("400", "401", "403", "404", "408", "413", "429", "500", "503", "504")


def describe(app: FastAPI, bodies: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """The document of all routes that an application has.

    Args:
        app: with the routes.
        bodies: the class of the body of each POST route, by path.
    """
    _, definitions = models_json_schema(
        [(kind, "validation") for kind in bodies.values()], ref_template=_REFERENCE
    )
    document = get_openapi(
        title="yanmo",
        version=version("yanmo"),
        summary="Models of your own, on an API that OpenAI's clients speak.",
        routes=app.routes,
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    # FastAPI's own error, which never leaves this server.
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    schemas |= {**definitions.get("$defs", {}), "Error": _ERROR}
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"key": []}, {}]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            operation["responses"].pop("422", None)
            operation["responses"]["200"] = {"description": "The answer.", "content": content_of(path)}
            if method == "post":
                schema = {"$ref": _REFERENCE.format(model=bodies[path].__name__)}
                content = {"application/json": {"schema": schema}}
                operation["requestBody"] = {"required": True, "content": content}
            if path.startswith(("/v1/", "/api/")):
                operation["responses"] |= dict.fromkeys(_STATUSES, _ERROR_ANSWER)
    return document
