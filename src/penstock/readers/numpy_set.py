"""Check the file names of NumPy sets, whose ``.npy`` files each hold one field and are named as it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import ImportRefused
from penstock.readers.base import FileSet

_MAX_LISTED = 4


def _check(names: Sequence[str], schema: CollectionSchema) -> None:
    required = _required_fields(schema)
    structs = [field.name for field in required if field.type is DataType.ARRAY_OF_STRUCT]
    if structs:
        raise ImportRefused(
            f"NumPy files cannot hold struct arrays, which the collection requires for {', '.join(structs)}: use "
            "Parquet, JSON, JSON Lines or CSV",
            rule="numpy_fields",
            fields=structs,
        )
    present = {field_of(name) for name in names}
    missing = [field.name for field in required if field.name not in present]
    if missing:
        raise ImportRefused(
            f"the NumPy set has {len(present)} files and the collection {len(required)} required fields; "
            f"missing: {', '.join(f'{name}.npy' for name in missing)}",
            rule="numpy_fields",
            missing=missing,
        )


def _check_inputs(inputs: Sequence[Sequence[str]], schema: CollectionSchema) -> None:
    singles = [names[0] for names in inputs if len(names) == 1]
    fields = {field_of(name) for name in singles}
    required = {field.name for field in _required_fields(schema)}
    if len(singles) > 1 and required <= fields and not any(required <= {field_of(name)} for name in singles):
        listing = ", ".join(json.dumps(name) for name in singles[:_MAX_LISTED])
        raise ImportRefused(
            f"each of the {len(singles)} NumPy files is in a separate list, and so a set of one field. Put the "
            f"files of a set into one list: [[{listing}{', …' if len(singles) > _MAX_LISTED else ''}]]",
            rule="numpy_fields",
        )


NUMPY_SET = FileSet(check=_check, check_inputs=_check_inputs)
"""Its errors have the ``rule`` ``numpy_fields``."""


def field_of(name: str) -> str:
    """The field that a file is named as."""
    return name.rpartition("/")[2].rpartition(".")[0]


def _required_fields(schema: CollectionSchema) -> list[Field]:
    """The fields without which no row is valid."""
    return [
        field
        for field in schema.fields
        if not schema.is_computed(field) and not field.nullable and field.default is None
    ]
