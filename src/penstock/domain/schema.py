"""Collection schemas: data types, fields and the rules that hold between them.

Sources: Milvus REST v2 ``collections/create`` (names of types and limits). Everything here is frozen and
independent of database, engine and wire.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from typing import Any

from penstock.domain.data_types import ELEMENT_TYPES, INTEGER_RANGES, DataType
from penstock.domain.functions import Function, check_functions
from penstock.domain.names import check_field_name
from penstock.domain.parameter_values import go_boolean
from penstock.domain.times import MAX_TIME, MIN_TIME, UTC_ZONE, InvalidTime, format_time, parse_time
from penstock.errors import FieldNotFound, InvalidSchema, shorten, shorten_name

__all__ = ["INTEGER_RANGES", "MAX_FIELDS", "META_FIELD", "CollectionSchema", "DataType", "Field"]

META_FIELD = "$meta"
MAX_FIELDS = 256
MAX_VECTOR_FIELDS = 10
MAX_DESCRIPTION = 65535
MAX_VARCHAR_BYTES = 65535
MAX_TEXT_BYTES = 2 << 20
"""Maximum of a Text field's values, as in Milvus."""
MAX_ARRAY_CAPACITY = 4096
MAX_DIMENSION = 32768
MAX_BINARY_DIMENSION = 262144

CLUSTERING_TYPES = frozenset({*INTEGER_RANGES, DataType.FLOAT, DataType.DOUBLE, DataType.VARCHAR})

ENABLE_ANALYZER, ENABLE_MATCH, ANALYZER_PARAMS = "enable_analyzer", "enable_match", "analyzer_params"
"""Keys of :attr:`Field.params` of VarChar and Text fields: texts are analyzed, filters match words, and by which
analyzer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a collection.

    ``dim`` counts vector elements (bits for BinaryVector); ``max_length`` counts UTF-8 bytes; ``max_capacity`` counts
    array elements. ``timezone``, of times without an offset and of times as text, is that of the collection and isn't
    stored with the field. ``default`` is a plain bool, int, float or str, or None for "no default". ``params`` are
    further type parameters that Penstock stores and shows but does not act on (``mmap.enabled`` …).

    An ArrayOfStruct holds up to ``max_capacity`` structs, each with one value per field of ``fields``. Their type is
    that of one element (Int64, FloatVector …; on the wire they are ``Array`` and ``ArrayOfVector``).

    ``function_output``: a function of the collection computes it. ``clustering_key`` is described and has no effect:
    nothing sorts rows by it.
    """

    name: str
    type: DataType
    element_type: DataType | None = None
    dim: int | None = None
    max_length: int | None = None
    max_capacity: int | None = None
    primary: bool = False
    partition_key: bool = False
    clustering_key: bool = False
    nullable: bool = False
    default: bool | int | float | str | None = None
    description: str = ""
    params: Mapping[str, str] = dataclass_field(default_factory=dict)
    fields: tuple[Field, ...] = ()
    function_output: bool = False
    timezone: str = dataclass_field(default=UTC_ZONE, compare=False)

    @property
    def enable_analyzer(self) -> bool:
        return bool(go_boolean(self.params.get(ENABLE_ANALYZER)))

    @property
    def enable_match(self) -> bool:
        return bool(go_boolean(self.params.get(ENABLE_MATCH)))

    @property
    def shown_default(self) -> bool | int | float | str | None:
        """The default as clients write it: a time as text."""
        if self.type is DataType.TIMESTAMPTZ and isinstance(self.default, int):
            return format_time(self.default, self.timezone)
        return self.default

    @property
    def max_bytes(self) -> int | None:
        """Maximum UTF-8 bytes of a text. Text fields need no ``max_length``."""
        return MAX_TEXT_BYTES if self.type is DataType.TEXT and self.max_length is None else self.max_length

    @property
    def parts(self) -> tuple[Field, ...]:
        """The fields of the struct, named as in messages: ``struct[field]``."""
        return tuple(replace(field, name=f"{self.name}[{field.name}]") for field in self.fields)

    @property
    def width(self) -> int:
        """Stored values per row of a dense vector: ``dim``, or ``dim / 8`` bytes for BinaryVector."""
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
                ("clustering_key", self.clustering_key or None),
                ("nullable", self.nullable or None),
                ("default", self.default),
                ("description", self.description or None),
                ("params", dict(self.params) or None),
                ("fields", [field.to_json() for field in self.fields] or None),
                ("function_output", self.function_output or None),
            )
            if value is not None
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Field:
        values = dict(data)
        values["type"] = DataType(values["type"])
        if values.get("element_type"):
            values["element_type"] = DataType(values["element_type"])
        values["fields"] = tuple(cls.from_json(subfield) for subfield in values.get("fields", ()))
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSchema:
    """The fields of a collection, whether unknown keys are kept (``dynamic``) and ids generated (``auto_id``).

    ``functions`` compute the fields that have ``function_output``.

    Construct, then call :meth:`check` before storing; a schema from the catalog has been checked.
    """

    fields: tuple[Field, ...]
    auto_id: bool = False
    dynamic: bool = False
    description: str = ""
    functions: tuple[Function, ...] = ()

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields)

    def __getitem__(self, name: str) -> Field:
        field = self.get(name)
        if field is None:
            raise FieldNotFound(f"field {shorten_name(name)} not exist", field=name)
        return field

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
        """Whether the field is a primary key with generated ids: files must not contain it."""
        return field.primary and self.auto_id

    def is_computed(self, field: Field) -> bool:
        """Whether the field's values are made by the server, ids or function outputs: files must not contain it."""
        return field.function_output or self.is_generated(field)

    def function_input(self, output: Field) -> Field:
        """The field from whose texts a BM25 function computes ``output``."""
        return next(self[function.inputs[0]] for function in self.functions if output.name in function.outputs)

    def to_json(self) -> dict[str, Any]:
        functions = [function.to_json() for function in self.functions]
        return {
            "fields": [field.to_json() for field in self.fields],
            "auto_id": self.auto_id,
            "dynamic": self.dynamic,
            "description": self.description,
            **({"functions": functions} if functions else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CollectionSchema:
        values = dict(data)
        values["fields"] = tuple(Field.from_json(field) for field in values["fields"])
        values["functions"] = tuple(Function.from_json(function) for function in values.get("functions", ()))
        return cls(**values)

    def check(self, collection: str = "") -> CollectionSchema:
        """Return self, or raise :class:`InvalidSchema` with Milvus's text for the first broken rule."""
        _check_schema(self, collection)
        return self

    def with_field(self, field: Field) -> CollectionSchema:
        """The schema with one more field, the last; call :meth:`check` on it."""
        return replace(self, fields=(*self.fields, field))

    def first_fields(self, count: int | None) -> CollectionSchema:
        """The schema as it was when it had that many fields; None is as it is now."""
        return self if count is None or count >= len(self.fields) else replace(self, fields=self.fields[:count])

    def in_timezone(self, timezone: str) -> CollectionSchema:
        """The schema with this time zone for times as text."""
        fields = tuple(
            replace(field, timezone=timezone) if field.type is DataType.TIMESTAMPTZ else field
            for field in self.fields
        )
        return replace(self, fields=fields)

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
    for field in schema:
        check_field_name(field.name)
        if len(field.description) > MAX_DESCRIPTION:
            _fail(f"the description of field {field.name} has more than {MAX_DESCRIPTION} characters")
        if field.name in seen:
            _fail(f"duplicated field name {field.name} found", field=field.name)
        seen.add(field.name)
        _check_field(field, collection)
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
    _check_clustering_key(schema)
    check_functions(schema.functions, schema)


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


def _check_clustering_key(schema: CollectionSchema) -> None:
    keys = [field for field in schema if field.clustering_key]
    for key in keys:
        if key.type.is_vector:
            _fail(f"vector clustering key not allowed, field name = {key.name}", field=key.name)
        if key.type not in CLUSTERING_TYPES:
            _fail(f"clustering key field {key.name} has unsupported data type {key.type.value}", field=key.name)
    if len(keys) > 1:
        _fail(f"there are more than one clustering key, field name = {keys[0].name}, {keys[1].name}")


def _check_field(field: Field, collection: str) -> None:
    if field.type.is_dense_vector:
        _check_dimension(field)
    elif field.dim is not None:
        kind = "sparse vector" if field.type.is_vector else field.type.value
        _fail(f"dim should not be specified for {kind} field {field.name}", field=field.name)
    if field.type is DataType.TEXT:
        _check_text(field)
    if field.type is DataType.VARCHAR or (field.type is DataType.ARRAY and field.element_type is DataType.VARCHAR):
        _check_max_length(field, collection)
    if field.type is DataType.ARRAY_OF_STRUCT:
        _check_struct(field, collection)
    if field.type is DataType.ARRAY:
        _check_array(field, collection)
    elif field.element_type is not None:
        _fail(f"elementDataType is for Array fields only, field name = {field.name}", field=field.name)
    if field.default is not None:
        _check_default(field)
    _check_analysis(field)


def _check_analysis(field: Field) -> None:
    if not field.type.is_text and (field.enable_analyzer or field.enable_match):
        _fail(
            f"{ENABLE_ANALYZER} and {ENABLE_MATCH} are for VarChar and Text fields only, field name = {field.name}",
            field=field.name,
        )
    if field.enable_match and not field.enable_analyzer:
        _fail(f"field {field.name} is set to enable match or bm25 function but not enable analyzer", field=field.name)


def _check_dimension(field: Field) -> None:
    if field.dim is None:
        _fail(
            f"dimension is not defined in field type params of field {field.name}, "
            "check type param `dim` for vector field",
            field=field.name,
        )
        return
    binary = field.type is DataType.BINARY_VECTOR
    top = MAX_BINARY_DIMENSION if binary else MAX_DIMENSION
    kind = re.sub(r"(?<!^)(?=[A-Z])", " ", field.type.value).lower()
    if not 2 <= field.dim <= top:
        _fail(
            f"invalid dimension: {field.dim} of field {field.name}. {kind} dimension should be in range 2 ~ {top}",
            field=field.name,
        )
    if binary and field.dim % 8:
        _fail(
            f"invalid dimension: {field.dim} of field {field.name}. "
            "binary vector dimension should be multiple of 8. ",
            field=field.name,
        )


def _check_max_length(field: Field, collection: str) -> None:
    if field.max_length is None:
        _fail(
            f"type param(max_length) should be specified for the field({field.name}) of collection {collection}",
            field=field.name,
            missing="max_length",
        )
    elif not 0 < field.max_length <= MAX_VARCHAR_BYTES:
        _fail(
            f"the maximum length specified for the field({field.name}) should be in (0, {MAX_VARCHAR_BYTES}], "
            f"but got {field.max_length} instead",
            field=field.name,
        )


def _check_text(field: Field) -> None:
    if not 0 < (field.max_bytes or 0) <= MAX_TEXT_BYTES:
        _fail(
            f"the maximum length specified for the field({field.name}) should be in (0, {MAX_TEXT_BYTES}], "
            f"but got {field.max_length} instead",
            field=field.name,
        )


def _check_array(field: Field, collection: str) -> None:
    if field.element_type not in ELEMENT_TYPES:
        _fail(f"element type {field.element_type} is not supported for array field {field.name}", field=field.name)
    _check_capacity(field, collection)


def _check_capacity(field: Field, collection: str) -> None:
    if field.max_capacity is None:
        _fail(
            f"type param(max_capacity) should be specified for array field {field.name} of collection {collection}",
            field=field.name,
            missing="max_capacity",
        )
    elif not 0 < field.max_capacity <= MAX_ARRAY_CAPACITY:
        _fail(
            f"the maximum capacity specified for the field({field.name}) should be in (0, {MAX_ARRAY_CAPACITY}], "
            f"but got {field.max_capacity} instead",
            field=field.name,
        )


def _check_struct(struct: Field, collection: str) -> None:
    """Check Milvus's rules for struct fields, and that the struct itself has only its fields."""
    if not struct.fields:
        _fail(f"empty fields in StructArrayField, field name = {struct.name}", field=struct.name)
    _check_capacity(struct, collection)
    _check_plain(struct, struct.name)
    seen: set[str] = set()
    for subfield, part in zip(struct.fields, struct.parts, strict=True):
        check_field_name(subfield.name)
        if subfield.name in seen:
            _fail(f"duplicated field name {part.name} found", field=part.name)
        seen.add(subfield.name)
        if subfield.type not in ELEMENT_TYPES and not subfield.type.is_dense_vector:
            _fail(
                f"data type {subfield.type.value} is not supported in StructArrayField, field name = {part.name}",
                field=part.name,
            )
        _check_plain(subfield, part.name)
        if subfield.nullable:
            _fail(f"nullable is not supported for struct field, field name = {part.name}", field=part.name)
        _check_field(part, collection)


def _check_plain(field: Field, name: str) -> None:
    rules = {
        "primary key": field.primary,
        "partition key": field.partition_key,
        "clustering key": field.clustering_key,
        "default value": field.default is not None,
    }
    for rule, is_set in rules.items():
        if is_set:
            _fail(f"{rule} is not supported for struct field, field name = {name}", field=name)


def _is_time(field: Field) -> bool:
    """Whether the default is a time: as stored, or text of a schema that isn't stored yet."""
    if isinstance(field.default, str):
        try:
            parse_time(field.default, field.timezone)
        except InvalidTime as error:
            _fail(f"convert defaultValue fail, err: {error}, field name = {field.name}", field=field.name)
        return True
    return type(field.default) is int and MIN_TIME <= field.default <= MAX_TIME


def _is_stored(value: float, kind: DataType) -> bool:
    """Whether a Float or Double field stores the number: a finite one in its range."""
    if kind is DataType.FLOAT:
        try:
            struct.pack("<f", value)
        except OverflowError:
            return False
    return math.isfinite(value)


def _check_default(field: Field) -> None:
    value = field.default
    if field.type is DataType.BOOL:
        fits = isinstance(value, bool)
    elif field.type.is_integer:
        low, high = INTEGER_RANGES[field.type]
        fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    elif field.type.is_number:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and _is_stored(value, field.type)
    elif field.type is DataType.TIMESTAMPTZ:
        fits = _is_time(field)
    elif field.type is DataType.GEOMETRY:
        fits = isinstance(field.default, str)
    elif field.type.is_text:
        fits = isinstance(value, str) and len(value.encode()) <= (field.max_bytes or 0)
    else:
        fits = False
    if not fits:
        _fail(
            f"convert defaultValue fail, err: the default {shorten(value)} does not fit the type {field.type.value} "
            f"of field {field.name}",
            field=field.name,
        )
