"""Schema files: the fields and indexes of a collection, as JSON or TOML.

::

    {"dynamic": true, "fields": [
        {"name": "id", "type": "int64", "primary": true},
        {"name": "vector", "type": "float_vector", "dim": 768, "index": {"metric": "COSINE"}}]}

A file may also have the ``schema`` and ``indexParams`` of the REST call ``collections/create`` with its names, or mix
both: ``docs/schema-files.md`` has every name.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.domain.data_types import DataType
from penstock.errors import InvalidSchema, shorten

_SPELLINGS: Mapping[str, str] = {
    "name": "fieldName",
    "type": "dataType",
    "elementtype": "elementDataType",
    "primary": "isPrimary",
    "primarykey": "isPrimary",
    "partitionkey": "isPartitionKey",
    "default": "defaultValue",
    "params": "elementTypeParams",
    "typeparams": "elementTypeParams",
}
"""Other spellings of a field's names in the REST call, without case and underscores."""
_REST_NAMES = (
    *("fieldName", "dataType", "elementDataType", "isPrimary", "isPartitionKey", "isClusteringKey", "nullable"),
    *("defaultValue", "description", "elementTypeParams"),
)
_TYPE_PARAMS: Mapping[str, str] = {
    "dim": "dim",
    "dimension": "dim",
    "maxlength": "max_length",
    "maxcapacity": "max_capacity",
}
"""Type parameters that may stand in the field itself."""
_SCHEMA_SPELLINGS: Mapping[str, str] = {
    "dynamic": "enableDynamicField",
    "enabledynamicfield": "enableDynamicField",
    "autoid": "autoId",
    "structs": "structFields",
    "structfields": "structFields",
}
_INDEX_SPELLINGS: Mapping[str, str] = {
    "field": "fieldName",
    "fieldname": "fieldName",
    "name": "indexName",
    "indexname": "indexName",
    "type": "indexType",
    "indextype": "indexType",
    "metric": "metricType",
    "metrictype": "metricType",
    "params": "params",
}
_CONTAINERS = ("ArrayOfVector",)
"""Type names of the REST call that stand for no :class:`DataType`."""
_MEANT: Mapping[str, DataType] = {
    "string": DataType.VARCHAR,
    "str": DataType.VARCHAR,
    "text": DataType.VARCHAR,
    "boolean": DataType.BOOL,
    "int": DataType.INT64,
    "integer": DataType.INT64,
    "long": DataType.INT64,
    "bigint": DataType.INT64,
    "real": DataType.FLOAT,
    "vector": DataType.FLOAT_VECTOR,
    "object": DataType.JSON,
    "list": DataType.ARRAY,
}
"""Types of other programs, and the nearest of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaFile:
    """``schema``, ``indexParams`` and ``params`` of the call."""

    schema: Mapping[str, Any]
    indexes: Sequence[Mapping[str, Any]]
    params: Mapping[str, Any] | None


def read_schema_file(path: Path) -> SchemaFile:
    """Read a schema file; the server validates the schema.

    Raises:
        InvalidSchema: it is not JSON or TOML, or has no fields.
    """
    data = _parse(path)
    inner = data.get("schema", data)
    if not isinstance(inner, dict) or not inner.get("fields"):
        raise InvalidSchema(
            f"the schema file {path} has no fields. It must have the form of the REST call collections/create: "
            '{"schema": {"fields": [{"fieldName": …, "dataType": …}, …]}, "indexParams": […]}',
            file=str(path),
        )
    rest = {_plain(key): value for key, value in {**inner, **data}.items()}
    indexes = rest.get("indexparams") or rest.get("indexes") or ()
    if not isinstance(indexes, list | tuple) or not all(isinstance(index, dict) for index in indexes):
        raise InvalidSchema(f"indexParams of the schema file {path} must be a list of objects", file=str(path))
    # Without the key ``schema`` the whole file is the schema.
    outer_keys = ("indexparams", "indexes", *(() if "schema" in data else ("params",)))
    schema: dict[str, Any] = {}
    for key, value in inner.items():
        plain = _plain(key)
        if plain not in outer_keys:
            schema[_SCHEMA_SPELLINGS.get(plain, key)] = value
    own: list[Mapping[str, Any]] = [_renamed(index, _INDEX_SPELLINGS) for index in indexes]
    schema["fields"] = [_field(item, path, own) for item in _objects(schema["fields"], "fields", path)]
    if "structFields" in schema:
        schema["structFields"] = [
            _struct(item, path) for item in _objects(schema["structFields"], "structFields", path)
        ]
    return SchemaFile(schema=schema, indexes=own, params=data.get("params"))


def _objects(items: Any, what: str, path: Path) -> Sequence[Mapping[str, Any]]:
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise InvalidSchema(f"{what} of the schema file {path} must be a list of objects", file=str(path))
    return items


def _field(item: Mapping[str, Any], path: Path, indexes: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """A field with the names of the REST call; its index goes to ``indexes``."""
    field: dict[str, Any] = {}
    params: dict[str, Any] = {}
    index: Any = None
    for key, value in item.items():
        plain = _plain(key)
        if plain == "index":
            index = value
        elif plain in _TYPE_PARAMS:
            params[_TYPE_PARAMS[plain]] = value
        else:
            field[_SPELLINGS.get(plain) or _REST_BY_PLAIN.get(plain, key)] = value
    name = field.get("fieldName", "")
    for key in ("dataType", "elementDataType"):
        if isinstance(field.get(key), str):
            field[key] = _type_named(field[key], str(name), path)
    given = field.get("elementTypeParams")
    if params and isinstance(given, dict | None):
        field["elementTypeParams"] = {**(given or {}), **params}
    if index is not None:
        if not isinstance(index, dict):
            raise InvalidSchema(
                f"the index of field {name} in the schema file {path} must be an object, such as "
                '{"type": "AUTOINDEX", "metric": "COSINE"}',
                file=str(path),
                field=name,
            )
        indexes.append({"fieldName": name, **_renamed(index, _INDEX_SPELLINGS)})
    return field


def _struct(item: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """A struct field with the names of the REST call."""
    struct = dict(_field(item, path, []))
    if "elementTypeParams" in struct:
        struct["typeParams"] = struct.pop("elementTypeParams")
    if "fields" in struct:
        struct["fields"] = [_field(part, path, []) for part in _objects(struct["fields"], "structFields", path)]
    return struct


def _type_named(name: str, field: str, path: Path) -> str:
    """The type's name in the REST call. Raises InvalidSchema for an unknown one."""
    known = {_plain(word): word for word in (*(data_type.value for data_type in DataType), *_CONTAINERS)}
    plain = _plain(name)
    if plain in known:
        return known[plain]
    near = _MEANT.get(plain) or next(iter(difflib.get_close_matches(plain, known, n=1)), "")
    hint = f" Did you mean {known.get(near, near)}?" if near else ""
    raise InvalidSchema(
        f"the schema file {path} has the unknown type {shorten(name)} for field {field}.{hint} Types are "
        f"{', '.join(data_type.value for data_type in DataType)}",
        file=str(path),
        field=field,
        type=name,
    )


def _renamed(item: Mapping[str, Any], spellings: Mapping[str, str]) -> dict[str, Any]:
    return {spellings.get(_plain(key), key): value for key, value in item.items()}


def _plain(name: str) -> str:
    """A name without case, underscores and hyphens."""
    return re.sub("[_-]", "", name).lower()


_REST_BY_PLAIN = {_plain(name): name for name in _REST_NAMES}


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
