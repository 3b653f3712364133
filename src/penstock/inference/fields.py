"""Choose the field for a column: its type, parameters and reason."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from penstock.domain.data_types import DataType
from penstock.domain.names import check_field_name
from penstock.domain.schema import (
    MAX_ARRAY_CAPACITY,
    MAX_BINARY_DIMENSION,
    MAX_DIMENSION,
    MAX_VARCHAR_BYTES,
    META_FIELD,
    Field,
)
from penstock.errors import InvalidName
from penstock.inference.inferred import DynamicColumn, InferredField
from penstock.inference.observations import Kind, Observation
from penstock.rules.table import MAX_JSON_BYTES

LEAST_LENGTH, LEAST_CAPACITY = 512, 64
"""Least ``max_length`` and ``max_capacity``: rows outside of the sample may have longer values."""
HEADROOM = 4
"""Factor of ``max_length`` and ``max_capacity`` over the longest value of the sample."""
CLEAR_DIMENSION = 8
"""Numbers in lists of one length, from which on they are a vector whatever its name."""

_VECTOR_NAME = re.compile(r"vec|emb|^v$", re.IGNORECASE)
_DROP = "import with unknown_columns=drop to leave it out"
_VECTOR_STORAGE: Mapping[str, DataType] = {
    "halffloat": DataType.FLOAT16_VECTOR,
    "int8": DataType.INT8_VECTOR,
    "uint8": DataType.BINARY_VECTOR,
}


def vector_type(seen: Observation) -> tuple[DataType, int | None] | None:
    """The vector type and dimension that hold the values of a column; None if none does."""
    if seen.kind is Kind.SPARSE:
        return DataType.SPARSE_FLOAT_VECTOR, None
    if seen.length is None or not seen.fits_vector or not (seen.kind is Kind.BYTES or seen.has_numbers):
        return None
    kind = DataType.BINARY_VECTOR
    if seen.element is not None:
        kind = _VECTOR_STORAGE.get(seen.element.storage, DataType.FLOAT_VECTOR)
    is_binary = kind is DataType.BINARY_VECTOR
    dim = 8 * seen.length if is_binary else seen.length
    return (kind, dim) if 2 <= dim <= (MAX_BINARY_DIMENSION if is_binary else MAX_DIMENSION) else None


def is_clear_vector(name: str, seen: Observation) -> bool:
    """Whether a column is a vector by its type, its name or its length."""
    if vector_type(seen) is None:
        return False
    if seen.kind in (Kind.SPARSE, Kind.BYTES) or _VECTOR_NAME.search(name):
        return True
    assert seen.element is not None
    is_long = seen.is_fixed or seen.longest >= CLEAR_DIMENSION
    return is_long and (seen.element.kind is Kind.FLOAT or seen.element.storage in _VECTOR_STORAGE)


def is_possible_vector(seen: Observation) -> bool:
    """Whether a column may be a vector where the files have no clearer one: short lists, or long ones of integers."""
    if vector_type(seen) is None or seen.element is None:
        return False
    return seen.element.kind is Kind.FLOAT or seen.longest >= CLEAR_DIMENSION


def unfit_name(name: str) -> str | None:
    """Why a column's name can't be a field's; None if it can."""
    if name == META_FIELD:
        return f"{META_FIELD} is the dynamic field itself"
    try:
        check_field_name(name)
    except InvalidName as error:
        return error.message
    return None


def vector_field(name: str, seen: Observation, *, why: str) -> InferredField:
    """The vector field for a column that has a :func:`vector_type`."""
    chosen = vector_type(seen)
    assert chosen is not None
    kind, dim = chosen
    alternatives = [] if seen.kind in (Kind.SPARSE, Kind.BYTES) else ["Array"]
    if kind is DataType.BINARY_VECTOR and seen.kind is Kind.LIST:
        alternatives.append(f"FloatVector of {seen.length} dimensions, if the bytes are numbers and not bits")
    if seen.kind is Kind.SPARSE:
        alternatives.append("JSON")
    nulls = f"; {seen.nulls:,} of {seen.rows:,} are null" if seen.nulls else ""
    field = Field(name=name, type=kind, dim=dim, nullable=seen.nulls > 0)
    few = f" but for {seen.misfits:,} rows" if seen.misfits else ""
    return InferredField(field=field, reason=f"{seen.describe()}{why}{few}{nulls}", alternatives=alternatives)


def key_field(name: str, seen: Observation, *, reason: str, alternatives: Sequence[str]) -> InferredField:
    """The primary key from a column of whole numbers or texts."""
    is_text = seen.kind is Kind.TEXT
    field = Field(
        name=name,
        type=DataType.VARCHAR if is_text else DataType.INT64,
        max_length=_with_headroom(seen.longest, LEAST_LENGTH, MAX_VARCHAR_BYTES) if is_text else None,
        primary=True,
    )
    return InferredField(field=field, reason=reason, alternatives=alternatives)


def plain_field(name: str, seen: Observation, *, is_complete: bool) -> InferredField | DynamicColumn:
    """The field for a column that is neither key nor vector, or why it fits none."""
    nullable, null_reason = _nullability(seen, is_complete=is_complete)
    reason = _sentence(seen) + null_reason
    kind = seen.kind
    if kind is Kind.NULL:
        return DynamicColumn(name=name, reason="nothing but nulls in the sample")
    if kind is Kind.BOOL:
        return InferredField(field=Field(name=name, type=DataType.BOOL, nullable=nullable), reason=reason)
    if kind in (Kind.INTEGER, Kind.FLOAT):
        assert seen.type is not None
        return InferredField(field=Field(name=name, type=seen.type, nullable=nullable), reason=reason)
    if kind is Kind.TEXT and seen.longest <= MAX_VARCHAR_BYTES:
        length = _with_headroom(seen.longest, LEAST_LENGTH, MAX_VARCHAR_BYTES)
        field = Field(name=name, type=DataType.VARCHAR, max_length=length, nullable=nullable)
        return InferredField(field=field, reason=reason)
    if kind in (Kind.JSON, Kind.SPARSE) and seen.longest <= MAX_JSON_BYTES:
        return InferredField(field=Field(name=name, type=DataType.JSON, nullable=nullable), reason=reason)
    if kind is Kind.LIST and seen.longest <= MAX_ARRAY_CAPACITY and _element_fits(seen):
        return _array_field(name, seen, nullable=nullable, reason=reason)
    if kind in (Kind.TEXT, Kind.JSON, Kind.LIST):
        return DynamicColumn(name=name, reason=f"{seen.describe()}, more than a field holds; {_DROP}")
    return DynamicColumn(name=name, reason=f"no field holds {seen.describe()}")


def _element_fits(seen: Observation) -> bool:
    return seen.element is None or seen.element.longest <= MAX_VARCHAR_BYTES


def _array_field(name: str, seen: Observation, *, nullable: bool, reason: str) -> InferredField:
    element = seen.element
    if element is None:
        return InferredField(
            field=Field(name=name, type=DataType.JSON, nullable=nullable),
            reason=f"lists without elements, so that their type is unknown{reason.removeprefix(_sentence(seen))}",
            alternatives=["Array"],
        )
    types = {Kind.BOOL: DataType.BOOL, Kind.TEXT: DataType.VARCHAR}
    is_text = element.kind is Kind.TEXT
    field = Field(
        name=name,
        type=DataType.ARRAY,
        element_type=types.get(element.kind) or element.type,
        max_capacity=_with_headroom(seen.longest, LEAST_CAPACITY, MAX_ARRAY_CAPACITY),
        max_length=_with_headroom(element.longest, LEAST_LENGTH, MAX_VARCHAR_BYTES) if is_text else None,
        nullable=nullable,
    )
    return InferredField(
        field=field, reason=reason, alternatives=["JSON"] if vector_type(seen) is None else ["FloatVector", "JSON"]
    )


def _nullability(seen: Observation, *, is_complete: bool) -> tuple[bool, str]:
    if seen.nulls:
        return True, f"; {seen.nulls:,} of {seen.rows:,} are null"
    if seen.is_required or is_complete:
        return False, ""
    return True, "; nullable, since other rows than the sample's may have nulls"


def _sentence(seen: Observation) -> str:
    text = seen.describe()
    return text if not seen.note or seen.note == text else f"{text} ({seen.note})"


def _with_headroom(longest: int, least: int, most: int) -> int:
    """The next power of two from ``HEADROOM`` times the longest on, within bounds."""
    return min(most, max(least, 1 << (HEADROOM * longest - 1).bit_length() if longest else least))
