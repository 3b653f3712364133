"""The OpenAPI document, made from the route tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.wire.http import Operation, Route

__all__ = ["openapi_document"]

_ERROR: Mapping[str, Any] = {
    "type": "object",
    "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
    "required": ["code", "message"],
}


def openapi_document(routes: Sequence[Route], plain: Mapping[str, str]) -> dict[str, Any]:
    """The document as an object.

    Args:
        routes: those of the dialects.
        plain: the server's own GET routes that belong to no dialect, with what each gives.
    """
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    for path, summary in plain.items():
        paths[path] = {"get": {"summary": summary, "tags": ["server"], "responses": {"200": {"description": "OK"}}}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Penstock",
            "version": "2",
            "description": "Imports files of vectors into collections. Application errors answer with HTTP 200 and "
            "a `code` and `message` of their own; a successful answer has `code` and `data`.",
        },
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {"Error": _ERROR},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    about = route.operation
    shown: dict[str, Any] = {
        "summary": about.summary,
        "tags": [about.tag],
        "operationId": f"{route.method.lower()}{route.path.replace('/', '_')}",
        "responses": {"200": {"description": "Success, or an error of the dialect.", "content": _content(about)}},
    }
    if about.description:
        shown["description"] = about.description
    if about.query:
        shown["parameters"] = [
            {"name": name, "in": "query", "required": name in about.required, "schema": schema}
            for name, schema in about.query.items()
        ]
    if route.method == "POST":
        body: dict[str, Any] = {"type": "object", "properties": dict(about.body)}
        if about.required:
            body["required"] = list(about.required)
        shown["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return shown


def _content(about: Operation) -> dict[str, Any]:
    success = {
        "type": "object",
        "properties": {"code": {"type": "integer"}, "data": about.data},
        "required": ["code", "data"],
    }
    return {"application/json": {"schema": {"oneOf": [success, {"$ref": "#/components/schemas/Error"}]}}}
