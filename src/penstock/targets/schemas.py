"""Check a collection's schema against the rules of targets."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.targets import table
from penstock.targets.rule import Finding, Target, TargetRule

_LATE_TYPES = (DataType.ARRAY_OF_STRUCT, DataType.GEOMETRY, DataType.TIMESTAMPTZ)
_NOT_IN_NUMPY = (DataType.ARRAY, DataType.ARRAY_OF_STRUCT, DataType.SPARSE_FLOAT_VECTOR)


def check_schema(
    schema: CollectionSchema, targets: Sequence[Target], formats: Collection[str] = ()
) -> Iterator[Finding]:
    """Yield what the targets refuse of a collection, into which files of ``formats`` are to be imported."""
    for field in schema:
        for rule, message in _broken(field, formats):
            finding = rule.finding(targets, message, field=field.name)
            if finding is not None:
                yield finding
    if schema.functions:
        finding = table.FUNCTIONS.finding(targets, f"the function {schema.functions[0].name!r}")
        if finding is not None:
            yield finding


def _broken(field: Field, formats: Collection[str]) -> Iterator[tuple[TargetRule, str]]:
    kind = field.type.value
    if field.type.is_vector:
        if field.nullable:
            yield table.NULLABLE_VECTOR, "the vector is nullable"
    elif field.nullable or field.default is not None:
        yield table.NULLABLE, f"the field {'is nullable' if field.nullable else 'has a default'}"
    if field.type is DataType.INT8_VECTOR:
        yield table.INT8_VECTOR, f"the field is {kind}"
    if field.type in _LATE_TYPES:
        yield table.LATE_TYPES, f"the field is {kind}"
    if field.type is DataType.TEXT:
        yield table.TEXT_TYPE, f"the field is {kind}"
    if field.type is DataType.ARRAY_OF_STRUCT and field.nullable:
        yield table.NULLABLE_STRUCT, "the struct array is nullable"
    if "Numpy" in formats and field.type in _NOT_IN_NUMPY:
        yield table.NUMPY_TYPES, f"the field is {kind}, and the files are NumPy's"
