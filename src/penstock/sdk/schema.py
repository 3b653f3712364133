"""Collections, databases and partitions as servers describe them: frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "CollectionInfo",
    "CollectionStats",
    "DatabaseInfo",
    "DynamicColumn",
    "FieldInfo",
    "IndexInfo",
    "InferredField",
    "InferredSchema",
    "PartitionStats",
    "collection_from_wire",
    "inferred_from_wire",
    "unwrap_union",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldInfo:
    """A field. ``type`` and ``element_type`` are Milvus's names, e.g. ``FloatVector``; ``params`` are texts.

    An ``ArrayOfStruct`` has the fields of its structs in ``fields``, each an ``Array`` or ``ArrayOfVector``.
    """

    name: str
    type: str
    element_type: str | None = None
    dim: int | None = None
    is_primary: bool = False
    is_partition_key: bool = False
    auto_id: bool = False
    nullable: bool = False
    default: bool | int | float | str | None = None
    description: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    fields: tuple[FieldInfo, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexInfo:
    field: str
    name: str
    metric: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionInfo:
    """A collection; ``raw`` is the server's own description. Struct fields are the last of ``fields``."""

    name: str
    fields: tuple[FieldInfo, ...]
    id: str = ""
    description: str = ""
    auto_id: bool = False
    dynamic: bool = False
    load_state: str = ""
    partitions: int | None = None
    indexes: tuple[IndexInfo, ...] = ()
    aliases: tuple[str, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def primary(self) -> FieldInfo:
        return next(field for field in self.fields if field.is_primary)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionStats:
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionStats:
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseInfo:
    name: str
    id: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class InferredField:
    """A field of an inferred schema: why it has its type, and what else it could be."""

    name: str
    type: str
    reason: str
    alternatives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicColumn:
    """A column that fits no field and becomes a dynamic value, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InferredSchema:
    """A schema that was inferred from files.

    ``schema`` and ``indexes`` are what ``client.collections.create`` takes. ``rows`` counts those of the sample,
    which is ``is_complete`` if the files have no others. ``mapping`` is what ``client.imports.create`` needs besides
    the mapping that was given: the columns of a vector that was chosen by a pattern.
    """

    schema: Mapping[str, Any]
    indexes: tuple[Mapping[str, Any], ...]
    fields: tuple[InferredField, ...]
    dynamic: tuple[DynamicColumn, ...] = ()
    notes: tuple[str, ...] = ()
    rows: int = 0
    files: tuple[str, ...] = ()
    is_complete: bool = False
    mapping: Mapping[str, Any] = field(default_factory=dict)


def inferred_from_wire(data: Mapping[str, Any]) -> InferredSchema:
    """Parse the ``data`` of ``jobs/import/infer``. Raises KeyError, TypeError if it is malformed."""
    return InferredSchema(
        schema=data["schema"],
        indexes=tuple(data["indexParams"]),
        fields=tuple(
            InferredField(
                name=field["fieldName"],
                type=field["dataType"],
                reason=field["reason"],
                alternatives=tuple(field["alternatives"]),
            )
            for field in data["fields"]
        ),
        dynamic=tuple(DynamicColumn(name=column["name"], reason=column["reason"]) for column in data["dynamic"]),
        notes=tuple(data["notes"]),
        rows=data["sampledRows"],
        files=tuple(data["sampledFiles"]),
        is_complete=data["isComplete"],
        mapping=data.get("mapping") or {},
    )


def collection_from_wire(data: Mapping[str, Any]) -> CollectionInfo:
    """Parse the ``data`` of ``collections/describe``. Raises KeyError, TypeError, ValueError if it is malformed."""
    return CollectionInfo(
        name=data["collectionName"],
        fields=(
            *(_field(item) for item in data["fields"]),
            *(_field({"type": "ArrayOfStruct", **struct}) for struct in data.get("structFields") or ()),
        ),
        id=str(data.get("collectionID", "")),
        description=data.get("description") or "",
        auto_id=bool(data.get("autoId")),
        dynamic=bool(data.get("enableDynamicField")),
        load_state=data.get("load") or "",
        partitions=data.get("partitionsNum"),
        indexes=tuple(
            IndexInfo(field=index["fieldName"], name=index["indexName"], metric=index.get("metricType") or "")
            for index in data.get("indexes") or ()
        ),
        aliases=tuple(data.get("aliases") or ()),
        raw=data,
    )


def unwrap_union(value: Any) -> Any:
    """Return the plain value in Milvus's ``{"Data": {"LongData": …}}``; a list is ``{"data": [...]}`` within it."""
    if not (isinstance(value, Mapping) and isinstance(value.get("Data"), Mapping)):
        return value
    inner = next(iter(value["Data"].values()), None)
    return inner.get("data") or [] if isinstance(inner, Mapping) else inner


def _field(data: Mapping[str, Any]) -> FieldInfo:
    params = {str(param["key"]): str(param["value"]) for param in data.get("params") or ()}
    return FieldInfo(
        name=data["name"],
        type=data["type"],
        element_type=data.get("elementType") or None,
        dim=int(params["dim"]) if "dim" in params else None,
        is_primary=bool(data.get("primaryKey")),
        is_partition_key=bool(data.get("partitionKey")),
        auto_id=bool(data.get("autoId")),
        nullable=bool(data.get("nullable")),
        default=unwrap_union(data.get("defaultValue")),
        description=data.get("description") or "",
        params=params,
        fields=tuple(_field(subfield) for subfield in data.get("fields") or ()),
    )
