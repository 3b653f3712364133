"""Keys of structs: those of the schema, each once."""

from __future__ import annotations

from collections.abc import Iterable

from penstock.domain.schema import Field
from penstock.rules.table import STRUCT_FIELDS, STRUCT_KEYS


def check_struct_keys(field: Field, keys: Iterable[str], position: int | None = None, row: int | None = None) -> None:
    """Raise DataError unless ``keys`` are the names of the field's parts, each once.

    ``position`` is the struct's in its list, where structs have keys of their own.
    """
    names = [subfield.name for subfield in field.fields]
    expected = frozenset(names)
    fields = ", ".join(names)
    seen: set[str] = set()
    for key in keys:
        if key not in expected or key in seen:
            raise STRUCT_KEYS.error(field, row=row, value=key, key=key, fields=fields)
        seen.add(key)
    missing = [name for name in names if name not in seen]
    if missing:
        place = "" if position is None else f"position={position}, "
        raise STRUCT_FIELDS.error(field, row=row, missing=place + ", ".join(missing), fields=fields)
