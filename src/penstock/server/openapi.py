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
_ERROR_CONTENT: Mapping[str, Any] = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
_ANY_CONTENT: Mapping[str, Any] = {**_ERROR_CONTENT, "text/plain": {"schema": {"type": "string"}}}
_ANY_CALL: Mapping[int, str] = {
    400: "The request's head could be read in two ways.",
    403: "Authentication is off, and the call comes from a web page of another host.",
    408: "The request's head came too slowly.",
    431: "The request's head is too large.",
}
"""Answers of the server before a route is looked for."""
_FOR_OPERATORS: Mapping[int, str] = {
    401: "Nobody who is known calls.",
    403: "The caller may not read the server's own cluster.",
    429: "Too many wrong credentials came from there.",
}
_PLAIN_MEDIA = {"/metrics": "text/plain", "/docs": "text/html"}
_PLAIN_STATUSES: Mapping[str, Mapping[int, str]] = {
    "/healthz": {503: "It is not ready."},
    "/metrics": _FOR_OPERATORS,
}
_EXAMPLES = {"clusterId": "in01-local", "dbName": "default", "collectionName": "docs", "partitionName": "_default"}
"""Values of keys that many calls take."""


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
        paths[path] = {"get": _plain_operation(path, summary)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Penstock",
            "version": "2",
            "description": "Imports files of vectors into collections. Application errors answer with HTTP 200 and "
            "a `code` and `message` of their own; a successful answer has `code` and `data`. What is not a call of "
            "this document answers 404.",
        },
        "paths": dict(sorted(paths.items())),
        "security": [{"key": []}, {"password": []}, {}],
        "components": {
            "schemas": {"Error": _ERROR},
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "A key, or `user:password`."},
                "password": {"type": "http", "scheme": "basic"},
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    about = route.operation
    shown: dict[str, Any] = {
        "summary": about.summary,
        "tags": [about.tag],
        "operationId": f"{route.method.lower()}{route.path.replace('/', '_')}",
        "responses": {
            "200": {"description": "Success, or an error of the dialect.", "content": _content(about)},
            **_failures(route.dialect.statuses),
        },
    }
    if about.description:
        shown["description"] = about.description
    if about.query:
        shown["parameters"] = [
            {"name": name, "in": "query", "required": name in about.required, "schema": _with_example(name, schema)}
            for name, schema in about.query.items()
        ]
    if route.method == "POST":
        properties = {name: _with_example(name, schema) for name, schema in about.body.items()}
        body: dict[str, Any] = {"type": "object", "properties": properties}
        if about.required:
            body["required"] = list(about.required)
        shown["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return shown


def _plain_operation(path: str, summary: str) -> dict[str, Any]:
    media = _PLAIN_MEDIA.get(path, "application/json")
    content = {media: {"schema": {"type": "object" if media == "application/json" else "string"}}}
    return {
        "summary": summary,
        "tags": ["server"],
        "operationId": f"get{path.replace('/', '_')}",
        "responses": {
            "200": {"description": "OK", "content": content},
            **_failures(_PLAIN_STATUSES.get(path, {}), content),
        },
    }


def _failures(statuses: Mapping[int, str], content: Mapping[str, Any] = _ERROR_CONTENT) -> dict[str, Any]:
    """The responses of a route that are no success, and those of the server before a route is looked for."""
    found = {}
    for status in sorted({*statuses, *_ANY_CALL}):
        texts = filter(None, (statuses.get(status), _ANY_CALL.get(status)))
        own = content if status in statuses else {}
        others = _ANY_CONTENT if status in _ANY_CALL else {}
        found[str(status)] = {"description": " ".join(texts), "content": {**own, **others}}
    return found


def _content(about: Operation) -> dict[str, Any]:
    success = {
        "type": "object",
        "properties": {"code": {"type": "integer"}, "data": about.data},
        "required": ["code", "data"],
    }
    # Some successes have a message too, and so are of both kinds.
    return {"application/json": {"schema": {"anyOf": [success, {"$ref": "#/components/schemas/Error"}]}}}


def _with_example(name: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if name not in _EXAMPLES or "examples" in schema or schema.get("type") != "string":
        return schema
    return {**schema, "examples": [_EXAMPLES[name]]}
