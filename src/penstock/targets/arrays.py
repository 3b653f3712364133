"""Check NumPy files against the rules of targets, by their headers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from penstock.domain.schema import META_FIELD, CollectionSchema, DataType, Field
from penstock.targets import table
from penstock.targets.rule import Finding, Target

_SCALARS: Mapping[DataType, str] = {
    DataType.BOOL: "bool",
    DataType.INT8: "int8",
    DataType.INT16: "int16",
    DataType.INT32: "int32",
    DataType.INT64: "int64",
    DataType.FLOAT: "float32",
    DataType.DOUBLE: "float64",
}
_VECTORS: Mapping[DataType, Sequence[str]] = {
    DataType.FLOAT_VECTOR: ("float32", "float64"),
    DataType.FLOAT16_VECTOR: ("uint8", "float32", "float64"),
    DataType.BFLOAT16_VECTOR: ("uint8", "float32", "float64"),
    DataType.BINARY_VECTOR: ("uint8",),
    DataType.INT8_VECTOR: ("int8",),
}


def check_array(
    name: str,
    dtype: np.dtype[Any],
    *,
    column_major: bool,
    schema: CollectionSchema,
    targets: Sequence[Target],
    file: str,
) -> Iterator[Finding]:
    """Yield what the targets refuse of the array ``name`` of a NumPy set.

    ``column_major``: it is a matrix in Fortran order.
    """
    field = schema.get(name)
    findings: list[Finding | None] = []
    if field is None and name != META_FIELD:
        rule = table.DYNAMIC_COLUMN if schema.dynamic else table.NUMPY_UNKNOWN
        findings.append(rule.finding(targets, f"no field has the name of the file {name}.npy", file=file, field=name))
    elif field is not None:
        expected = _expected(field)
        if expected and dtype.name not in expected:
            message = f"the dtype is {dtype.name}, the field {field.type.value} needs {' or '.join(expected)}"
            findings.append(table.NUMPY_DTYPE.finding(targets, message, file=file, field=name))
        if field.type in (DataType.FLOAT16_VECTOR, DataType.BFLOAT16_VECTOR) and dtype.kind == "f":
            findings.append(
                table.HALF_AS_FLOATS.finding(targets, f"the dtype is {dtype.name}", file=file, field=name)
            )
    if dtype.kind == "S":
        findings.append(table.NUMPY_BYTES.finding(targets, f"the dtype is {dtype.str}", file=file, field=name))
    if column_major:
        findings.append(
            table.FORTRAN_ORDER.finding(targets, "the matrix is stored in Fortran order", file=file, field=name)
        )
    return (finding for finding in findings if finding is not None)


def _expected(field: Field) -> Sequence[str]:
    """The names of dtypes that the field takes; empty for texts, whose lengths are part of the name."""
    scalar = _SCALARS.get(field.type)
    return (scalar,) if scalar else _VECTORS.get(field.type, ())
