"""Schema files: the ``schema`` of the REST call ``collections/create``, as JSON or TOML.

::

    {"schema": {"enableDynamicField": true, "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": true},
        {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 768}}]},
     "indexParams": [{"fieldName": "vector", "metricType": "COSINE", "indexType": "AUTOINDEX"}]}

The object within ``schema`` may also stand alone, with ``indexParams`` next to its ``fields``.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.errors import InvalidSchema


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaFile:
    """``schema``, ``indexParams`` and ``params`` of the call."""

    schema: Mapping[str, Any]
    indexes: Sequence[Mapping[str, Any]]
    params: Mapping[str, Any] | None


def read_schema_file(path: Path) -> SchemaFile:
    """Read a schema file; the server validates the schema.

    Raises:
        InvalidSchema: it is no JSON or TOML, or has no fields.
    """
    data = _parse(path)
    inner = data.get("schema", data)
    if not isinstance(inner, dict) or not inner.get("fields"):
        raise InvalidSchema(
            f"the schema file {path} has no fields. It must have the form of the REST call collections/create: "
            '{"schema": {"fields": [{"fieldName": …, "dataType": …}, …]}, "indexParams": […]}',
            file=str(path),
        )
    indexes = data.get("indexParams", ())
    if not isinstance(indexes, list | tuple):
        raise InvalidSchema(f"indexParams of the schema file {path} must be a list", file=str(path))
    # Without the key ``schema`` the whole file is the schema.
    outer_keys = () if "schema" in data else ("indexParams", "params")
    schema = {key: value for key, value in inner.items() if key not in outer_keys}
    return SchemaFile(schema=schema, indexes=indexes, params=data.get("params"))


def _parse(path: Path) -> dict[str, Any]:
    is_toml = path.suffix.lower() == ".toml"
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text) if is_toml else json.loads(text)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, tomllib.TOMLDecodeError) as error:
        kind = "TOML" if is_toml else "JSON"
        raise InvalidSchema(f"the schema file {path} cannot be read as {kind}: {error}", file=str(path)) from error
    if not isinstance(data, dict):
        raise InvalidSchema(f"the schema file {path} must contain an object", file=str(path))
    return data
