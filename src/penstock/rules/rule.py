"""A rule for the values of some types, and the error where a value breaks it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from penstock.domain.schema import DataType, Field
from penstock.errors import DataError

_Key = TypeVar("_Key")

Array: TypeAlias = Any
"""A ``pyarrow.Array``. Its type is known at run time only, and the stubs' overloads require it statically."""

WarningSink = Callable[[str, int], None]
"""Called with a description of a change to values, and the number of rows changed."""


@contextmanager
def undone_on_error(counts: Counter[_Key]) -> Iterator[None]:
    """Forget what is counted inside if that raises DataError: the rows may be converted again."""
    before = counts.copy()
    try:
        yield
    except DataError:
        counts.clear()
        counts.update(before)
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What values of ``types`` must be (``demand``), and the words of the error where one isn't.

    ``id`` names the rule in reports of rejected rows.

    ``message`` and ``remedy`` are format strings. Their fields are facts of the error, and of the schema's field:
    ``name``, ``type`` (its description), ``dim``, ``width``, ``max_length``, ``max_capacity``.
    """

    id: str
    types: Sequence[DataType]
    demand: str
    message: str
    remedy: str

    def error(
        self,
        field: Field,
        *,
        row: int | None = None,
        value: object = None,
        **facts: Any,
    ) -> DataError:
        """The error of a value of ``field``. ``facts`` are the format strings' other fields."""
        facts = {
            "name": field.name,
            "type": describe(field),
            "dim": field.dim,
            "width": field.width if field.type.is_dense_vector else None,
            "max_length": field.max_bytes,
            "max_capacity": field.max_capacity,
            **facts,
        }
        return DataError(
            self.message.format(**facts),
            row=row,
            field=field.name,
            value=value,
            remedy=self.remedy.format(**facts) or None,
            rule_id=self.id,
        )


def describe(field: Field) -> str:
    """Format the field's type for messages: ``VarChar(64)``, ``FloatVector(768)``, ``Array<Int64>``."""
    if field.type is DataType.ARRAY and field.element_type:
        return f"Array<{field.element_type.value}>"
    size = field.dim if field.type.is_vector else field.max_length
    return field.type.value if size is None else f"{field.type.value}({size})"
