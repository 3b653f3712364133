"""Collection schemas: data types, fields and the rules that hold between them.

Sources: Milvus REST v2 ``collections/create`` (names of types and limits). Everything here is frozen and knows no
database, engine or wire.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from penstock.domain.data_types import ELEMENT_TYPES, INTEGER_RANGES, DataType
from penstock.domain.names import check_field_name
from penstock.errors import FieldNotFound, InvalidSchema, shorten

__all__ = ["INTEGER_RANGES", "MAX_FIELDS", "META_FIELD", "CollectionSchema", "DataType", "Field"]

META_FIELD = "$meta"
MAX_FIELDS = 256
MAX_VECTOR_FIELDS = 10
MAX_DESCRIPTION = 65535
MAX_VARCHAR_BYTES = 65535
MAX_ARRAY_CAPACITY = 4096
MAX_DIMENSION = 32768
MAX_BINARY_DIMENSION = 262144


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a collection.

    ``dim`` counts vector elements (bits for BinaryVector); ``max_length`` counts UTF-8 bytes; ``max_capacity`` counts
    array elements. ``default`` is a plain bool, int, float or str, or None for "no default". ``params`` are further
    type parameters that Penstock keeps and shows but does not act on (``mmap.enabled`` …).

    An ArrayOfStruct holds up to ``max_capacity`` structs, each with one value for every one of ``fields``. These have
    the type that a single value has (Int64, FloatVector …; on the wire they are ``Array`` and ``ArrayOfVector``).
    """

    name: str
    type: DataType
    element_type: DataType | None = None
    dim: int | None = None
    max_length: int | None = None
    max_capacity: int | None = None
    primary: bool = False
    partition_key: bool = False
    nullable: bool = False
    default: bool | int | float | str | None = None
    description: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    fields: tuple[Field, ...] = ()

    @property
    def parts(self) -> tuple[Field, ...]:
        """The fields within a struct under the names that messages give them, ``struct[field]``."""
        return tuple(replace(field, name=f"{self.name}[{field.name}]") for field in self.fields)

    @property
    def width(self) -> int:
        """Values per row of a dense vector as they are stored: ``dim``, or ``dim / 8`` bytes for BinaryVector."""
        assert self.dim is not None, f"{self.name} is not a dense vector"
        return self.dim // 8 if self.type is DataType.BINARY_VECTOR else self.dim

    def to_json(self) -> dict[str, Any]:
        return {
            key: value
            for key, value in (
                ("name", self.name),
                ("type", self.type.value),
                ("element_type", self.element_type.value if self.element_type else None),
                ("dim", self.dim),
                ("max_length", self.max_length),
                ("max_capacity", self.max_capacity),
                ("primary", self.primary or None),
                ("partition_key", self.partition_key or None),
                ("nullable", self.nullable or None),
                ("default", self.default),
                ("description", self.description or None),
                ("params", dict(self.params) or None),
                ("fields", [field.to_json() for field in self.fields] or None),
            )
            if value is not None
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Field:
        values = dict(data)
        values["type"] = DataType(values["type"])
        if values.get("element_type"):
            values["element_type"] = DataType(values["element_type"])
        values["fields"] = tuple(cls.from_json(each) for each in values.get("fields", ()))
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSchema:
    """The fields of a collection, whether unknown keys are kept (``dynamic``) and whether ids are made (``auto_id``).

    Construct, then call :meth:`check` before storing; a schema from the catalog has been checked.
    """

    fields: tuple[Field, ...]
    auto_id: bool = False
    dynamic: bool = False
    description: str = ""

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields)

    def __getitem__(self, name: str) -> Field:
        found = self.get(name)
        if found is None:
            raise FieldNotFound(f"field {name} not exist", field=name)
        return found

    def get(self, name: str) -> Field | None:
        return next((field for field in self.fields if field.name == name), None)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields)

    @property
    def primary(self) -> Field:
        return next(field for field in self.fields if field.primary)

    @property
    def partition_key(self) -> Field | None:
        return next((field for field in self.fields if field.partition_key), None)

    @property
    def vectors(self) -> tuple[Field, ...]:
        return tuple(field for field in self.fields if field.type.is_vector)

    def is_generated(self, field: Field) -> bool:
        """True for the primary key of a collection that makes its own ids: files must not carry it."""
        return field.primary and self.auto_id

    def to_json(self) -> dict[str, Any]:
        return {
            "fields": [field.to_json() for field in self.fields],
            "auto_id": self.auto_id,
            "dynamic": self.dynamic,
            "description": self.description,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CollectionSchema:
        values = dict(data)
        values["fields"] = tuple(Field.from_json(each) for each in values["fields"])
        return cls(**values)

    def check(self, collection: str = "") -> CollectionSchema:
        """Return self, or raise :class:`InvalidSchema` with Milvus's text for the first rule that is broken."""
        _check_schema(self, collection)
        return self

    def with_description(self, description: str) -> CollectionSchema:
        return replace(self, description=description)


def _fail(message: str, **details: Any) -> None:
    raise InvalidSchema(message, **details)


def _check_schema(schema: CollectionSchema, collection: str) -> None:
    seen: set[str] = set()
    if sum(len(field.fields) or 1 for field in schema) > MAX_FIELDS:
        _fail(f"maximum field's number should be limited to {MAX_FIELDS}")
    if len(schema.description) > MAX_DESCRIPTION:
        _fail(f"the description of a collection has at most {MAX_DESCRIPTION} characters")
    for each in schema:
        check_field_name(each.name)
        if len(each.description) > MAX_DESCRIPTION:
            _fail(f"the description of field {each.name} has more than {MAX_DESCRIPTION} characters")
        if each.name in seen:
            _fail(f"duplicated field name {each.name} found", field=each.name)
        seen.add(each.name)
        _check_field(each, collection)
    primaries = [field.name for field in schema if field.primary]
    if not primaries:
        _fail("primary key is not specified", rule="primary")
    if len(primaries) > 1:
        _fail(f"there are more than one primary key, field name = {', '.join(primaries)}", rule="primary")
    if schema.primary.type not in (DataType.INT64, DataType.VARCHAR):
        _fail("the data type of primary key should be Int64 or VarChar", rule="primary")
    if schema.primary.nullable:
        _fail("primary field not support null")
    if schema.primary.default is not None:
        _fail("primary field not support default_value")
    if not schema.vectors:
        _fail("schema does not contain vector field")
    if len(schema.vectors) > MAX_VECTOR_FIELDS:
        _fail(f"maximum vector field's number should be limited to {MAX_VECTOR_FIELDS}")
    _check_partition_key(schema)


def _check_partition_key(schema: CollectionSchema) -> None:
    keys = [field for field in schema if field.partition_key]
    if len(keys) > 1:
        _fail(f"there are more than one partition key, field name = {keys[0].name}, {keys[1].name}")
    for key in keys:
        if key.primary:
            _fail(f"the partition key field must not be primary field, field name = {key.name}")
        if key.nullable:
            _fail(f"partition key field not support nullable, field name = {key.name}")
        if key.type not in (DataType.INT64, DataType.VARCHAR):
            _fail(f"the data type of partition key should be Int64 or VarChar, field name = {key.name}")


def _check_field(each: Field, collection: str) -> None:
    if each.type.is_dense_vector:
        _check_dimension(each)
    elif each.dim is not None:
        kind = "sparse vector" if each.type.is_vector else each.type.value
        _fail(f"dim should not be specified for {kind} field {each.name}", field=each.name)
    if each.type is DataType.VARCHAR or (each.type is DataType.ARRAY and each.element_type is DataType.VARCHAR):
        _check_max_length(each, collection)
    if each.type is DataType.ARRAY_OF_STRUCT:
        _check_struct(each, collection)
    if each.type is DataType.ARRAY:
        _check_array(each, collection)
    elif each.element_type is not None:
        _fail(f"elementDataType is for Array fields only, field name = {each.name}", field=each.name)
    if each.default is not None:
        _check_default(each)


def _check_dimension(each: Field) -> None:
    if each.dim is None:
        _fail(
            f"dimension is not defined in field type params of field {each.name}, "
            "check type param `dim` for vector field",
            field=each.name,
        )
        return
    binary = each.type is DataType.BINARY_VECTOR
    top = MAX_BINARY_DIMENSION if binary else MAX_DIMENSION
    kind = re.sub(r"(?<!^)(?=[A-Z])", " ", each.type.value).lower()
    if not 2 <= each.dim <= top:
        _fail(
            f"invalid dimension: {each.dim} of field {each.name}. {kind} dimension should be in range 2 ~ {top}",
            field=each.name,
        )
    if binary and each.dim % 8:
        _fail(
            f"invalid dimension: {each.dim} of field {each.name}. binary vector dimension should be multiple of 8. ",
            field=each.name,
        )


def _check_max_length(each: Field, collection: str) -> None:
    if each.max_length is None:
        _fail(
            f"type param(max_length) should be specified for the field({each.name}) of collection {collection}",
            field=each.name,
            missing="max_length",
        )
    elif not 0 < each.max_length <= MAX_VARCHAR_BYTES:
        _fail(
            f"the maximum length specified for the field({each.name}) should be in (0, {MAX_VARCHAR_BYTES}], "
            f"but got {each.max_length} instead",
            field=each.name,
        )


def _check_array(each: Field, collection: str) -> None:
    if each.element_type not in ELEMENT_TYPES:
        _fail(f"element type {each.element_type} is not supported for array field {each.name}", field=each.name)
    _check_capacity(each, collection)


def _check_capacity(each: Field, collection: str) -> None:
    if each.max_capacity is None:
        _fail(
            f"type param(max_capacity) should be specified for array field {each.name} of collection {collection}",
            field=each.name,
            missing="max_capacity",
        )
    elif not 0 < each.max_capacity <= MAX_ARRAY_CAPACITY:
        _fail(
            f"the maximum capacity specified for the field({each.name}) should be in (0, {MAX_ARRAY_CAPACITY}], "
            f"but got {each.max_capacity} instead",
            field=each.name,
        )


def _check_struct(each: Field, collection: str) -> None:
    """What Milvus demands of the fields of a struct, and that the struct itself has no more than its fields."""
    if not each.fields:
        _fail(f"empty fields in StructArrayField, field name = {each.name}", field=each.name)
    _check_capacity(each, collection)
    _check_plain(each, each.name)
    seen: set[str] = set()
    for inner, part in zip(each.fields, each.parts, strict=True):
        check_field_name(inner.name)
        if inner.name in seen:
            _fail(f"duplicated field name {part.name} found", field=part.name)
        seen.add(inner.name)
        if inner.type not in ELEMENT_TYPES and not inner.type.is_dense_vector:
            _fail(
                f"data type {inner.type.value} is not supported in StructArrayField, field name = {part.name}",
                field=part.name,
            )
        _check_plain(inner, part.name)
        if inner.nullable:
            _fail(f"nullable is not supported for struct field, field name = {part.name}", field=part.name)
        _check_field(part, collection)


def _check_plain(each: Field, name: str) -> None:
    rules = {
        "primary key": each.primary,
        "partition key": each.partition_key,
        "default value": each.default is not None,
    }
    for rule, given in rules.items():
        if given:
            _fail(f"{rule} is not supported for struct field, field name = {name}", field=name)


def _check_default(each: Field) -> None:
    value = each.default
    if each.type is DataType.BOOL:
        fits = isinstance(value, bool)
    elif each.type.is_integer:
        low, high = INTEGER_RANGES[each.type]
        fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    elif each.type.is_number:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    elif each.type is DataType.VARCHAR:
        fits = isinstance(value, str) and len(value.encode()) <= (each.max_length or 0)
    else:
        fits = False
    if not fits:
        _fail(
            f"convert defaultValue fail, err: the default {shorten(value)} does not fit the type {each.type.value} "
            f"of field {each.name}",
            field=each.name,
        )
