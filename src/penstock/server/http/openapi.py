"""Generate the OpenAPI document from the route tables: 3.0, since the page that shows it supports no later one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.wire.http import JSON_MEDIA_TYPE, Operation, Route

_ERROR: Mapping[str, Any] = {
    "type": "object",
    "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
    "required": ["code", "message"],
}
_ERROR_CONTENT: Mapping[str, Any] = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
_ANY_CONTENT: Mapping[str, Any] = {**_ERROR_CONTENT, "text/plain": {"schema": {"type": "string"}}}
_ANY_CALL: Mapping[int, str] = {
    400: "Ambiguous request head.",
    403: "Authentication is off, and the call comes from a web page of another host.",
    408: "Timeout while reading the request head.",
    431: "Request head too large.",
}
"""Error answers of the server before routing."""
_FOR_OPERATORS: Mapping[int, str] = {
    401: "Missing or invalid credentials.",
    403: "No read access to the server's own cluster.",
    429: "Too many wrong credentials from this address.",
}
_OWN_TAG = "server"
_PLAIN_MEDIA = {"/metrics": "text/plain", "/": "text/html", "/docs": "text/html"}
_PLAIN_STATUSES: Mapping[str, Mapping[int, str]] = {
    "/readyz": {503: "Not ready, or stopping."},
    "/healthz": {503: "Not ready."},
    "/metrics": _FOR_OPERATORS,
}
_EXAMPLES: Mapping[str, Any] = {
    "clusterId": "in01-local",
    "collectionName": "docs",
    "data": [[0.1, 0.2]],
    "dbName": "default",
    "id": [1],
    "indexName": "vector",
    "indexParams": [{"fieldName": "vector", "indexType": "AUTOINDEX", "metricType": "COSINE"}],
    "jobId": "448761313698322011",
    "partitionName": "_default",
    "partitionNames": ["_default"],
    "roleName": "reader",
    "userName": "alice",
}
"""Example values of request keys, for the page's "Try it out"."""


def openapi_document(routes: Sequence[Route], plain: Mapping[str, str]) -> dict[str, Any]:
    """The OpenAPI document as a JSON object.

    Args:
        routes: those of the dialects; the document keeps their order.
        plain: the server's own GET routes that belong to no dialect, with their summaries.
    """
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    for path, summary in plain.items():
        paths[path] = {"get": _plain_operation(path, summary)}
    tags = [*dict.fromkeys(route.operation.tag for route in routes), _OWN_TAG]
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Penstock",
            "version": "v1 and v2",
            "description": "Imports files of vectors into collections. Most errors return HTTP 200 with "
            "their own `code` and `message`; a successful response has `code` and `data`. Paths outside this "
            "document return 404.",
        },
        "tags": [{"name": tag} for tag in sorted(tags, key=_is_unserved)],
        "paths": paths,
        "security": [{"key": []}, {"password": []}, {}],
        "components": {
            "schemas": {"Error": _ERROR},
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key, or `user:password`."},
                "password": {"type": "http", "scheme": "basic"},
            },
        },
    }


def _is_unserved(tag: str) -> bool:
    return tag == "not served"


def _operation(route: Route) -> dict[str, Any]:
    about = route.operation
    operation: dict[str, Any] = {
        "summary": about.summary,
        "tags": [about.tag],
        "operationId": f"{route.method.lower()}{re.sub('[^A-Za-z0-9]', '_', route.path)}",
        "responses": {
            **_success(about),
            **_failures(route.dialect.statuses),
        },
    }
    if about.description:
        operation["description"] = about.description
    parameters = [
        {"name": name, "in": place, "required": name in about.required, "schema": _with_example(name, schema)}
        for place, schemas in (("query", about.query), ("header", about.headers))
        for name, schema in schemas.items()
    ]
    parameters += [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    if parameters:
        operation["parameters"] = parameters
    if about.media_type:
        content = {about.media_type: {"schema": {"type": "string", "format": "binary"}}}
        operation["requestBody"] = {"required": True, "content": content}
    if route.method == "POST" and not about.headers:
        properties = {name: _with_example(name, schema) for name, schema in about.body.items()}
        # Not all of its keys: "Try it out" would also send the optional ones, some of which exclude each other.
        example_keys = [name for name in properties if name in about.required or "example" in about.body[name]]
        example = {name: properties[name].get("example", "string") for name in example_keys}
        body: dict[str, Any] = {"type": "object", "properties": properties, "example": example}
        if about.required:
            body["required"] = list(about.required)
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return operation


def _plain_operation(path: str, summary: str) -> dict[str, Any]:
    media = _PLAIN_MEDIA.get(path, "application/json")
    content = {media: {"schema": {"type": "object" if media == "application/json" else "string"}}}
    return {
        "summary": summary,
        "tags": [_OWN_TAG],
        "operationId": f"get{path.replace('/', '_')}",
        "responses": {
            "200": {"description": "OK", "content": content},
            **_failures(_PLAIN_STATUSES.get(path, {}), content),
        },
    }


def _failures(statuses: Mapping[int, str], content: Mapping[str, Any] = _ERROR_CONTENT) -> dict[str, Any]:
    """The error responses of a route, and those of the server before routing."""
    responses = {}
    for status in sorted({*statuses, *_ANY_CALL}):
        texts = filter(None, (statuses.get(status), _ANY_CALL.get(status)))
        own = content if status in statuses else {}
        others = _ANY_CONTENT if status in _ANY_CALL else {}
        responses[str(status)] = {"description": " ".join(texts), "content": {**own, **others}}
    return responses


def _content(about: Operation) -> dict[str, Any]:
    if about.reply_media_type != JSON_MEDIA_TYPE:
        return {about.reply_media_type: {"schema": {"type": "string"}}, **_ERROR_CONTENT}
    success = {
        "type": "object",
        "properties": {"code": {"type": "integer"}, "data": about.data},
        "required": ["code", "data"],
    }
    # Some successes have a message too, and so match both schemas.
    return {"application/json": {"schema": {"anyOf": [success, {"$ref": "#/components/schemas/Error"}]}}}


def _success(about: Operation) -> dict[str, Any]:
    if about.success == 204:
        return {"204": {"description": "Success."}}
    if about.success != 200:
        return {str(about.success): {"description": "Success.", "content": _content(about)}}
    return {"200": {"description": "Success, or an error of the dialect.", "content": _content(about)}}


def _with_example(name: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"example": _EXAMPLES[name], **schema} if name in _EXAMPLES else schema
