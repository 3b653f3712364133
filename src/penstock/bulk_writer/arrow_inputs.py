"""Convert data frames, tables, readers and dicts of NumPy arrays to Arrow record batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from penstock.bulk_writer.json_texts import json_text
from penstock.bulk_writer.masks import is_absent, masked_rows
from penstock.bulk_writer.values import cell_maker
from penstock.domain.arrow_schema import canonical_type
from penstock.domain.schema import META_FIELD, CollectionSchema, DataType, Field
from penstock.errors import DataError, InvalidParameter
from penstock.readers.arrow_values import is_list
from penstock.rules.forms import FORMS, type_error
from penstock.rules.rule import Array
from penstock.writers.base import META
from penstock.writers.file_schema import WRITTEN_AS_TEXT

__all__ = ["SLICE_BYTES", "Batches", "to_batches"]

SLICE_BYTES = 2 << 20
"""Arrow bytes that are checked and written at a time; a slice of this size stays in the CPU caches."""

_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
_OBJECTS = (DataType.JSON, DataType.SPARSE_FLOAT_VECTOR)
_MADE_ALIKE = (int, dict, list, set, frozenset, np.ndarray)
"""Classes whose values, and those of their subclasses, Arrow would make alike: dicts get each other's keys."""
_SETS = frozenset({set, frozenset})
_BOOLS = frozenset({bool, np.bool_})
_MISSING = frozenset({"NAType", "NaTType"})
"""Names of the types of what stands for a missing value in pandas, which need not be installed."""
_STRING = pa.string()
_COARSE_UNITS = frozenset({"Y", "M", "W", "h", "m"})
"""Units of times that Arrow lacks."""


@dataclass(frozen=True, slots=True)
class Batches:
    """Record batches of moderate size.

    ``whole`` holds all of them if they are in memory already, so that they can be iterated twice; otherwise they come
    from ``stream``. ``borrowed``: they share memory with arrays that the caller may change.
    """

    whole: pa.Table | None = None
    stream: Iterable[pa.RecordBatch] = ()
    borrowed: bool = False

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        batches = self.stream if self.whole is None else self.whole.to_batches()
        for batch in batches:
            if not isinstance(batch, pa.RecordBatch):
                yield from Batches(whole=_table(batch))
                continue
            rows = max(1, len(batch) * SLICE_BYTES // max(1, batch.nbytes))
            yield from (batch.slice(start, rows) for start in range(0, len(batch), rows))


def to_batches(data: Any, schema: CollectionSchema) -> Batches:
    """Convert an Arrow table, batch or reader, a pandas or polars frame, a dict of columns, or an iterable of tables
    and batches. Arrow, polars and NumPy columns are not copied.

    Raises:
        DataError: a column's values are not of one type, or columns differ in length.
        InvalidParameter: ``data`` is none of these.
    """
    if isinstance(data, pa.Table | pa.RecordBatch):
        return Batches(whole=_table(data))
    if isinstance(data, pa.RecordBatchReader):
        return Batches(stream=data)
    if isinstance(data, Mapping):
        return Batches(whole=_columns(data, schema), borrowed=True)
    family = type(data).__module__.partition(".")[0]
    if family == "pandas" and hasattr(data, "columns"):
        _check_names(list(map(str, data.columns)))
        return Batches(whole=_columns({name: data[name].array for name in data.columns}, schema), borrowed=True)
    if family == "polars":
        frame = data.collect() if hasattr(data, "collect") else data
        return Batches(whole=frame.to_arrow())
    if hasattr(data, "__arrow_c_stream__"):
        return Batches(stream=pa.RecordBatchReader.from_stream(data))
    if isinstance(data, Iterable) and not isinstance(data, str | bytes | np.ndarray):
        return Batches(stream=_checked_batches(data))
    raise InvalidParameter(
        f"append_batch takes Arrow tables, batches and readers, pandas and polars frames, and dicts of columns, "
        f"not {type(data).__name__}; for single rows there is append_row"
    )


def _table(data: Any) -> pa.Table:
    return data if isinstance(data, pa.Table) else pa.Table.from_batches([data])


def _checked_batches(data: Iterable[Any]) -> Iterator[pa.RecordBatch]:
    for table in data:
        if not isinstance(table, pa.Table | pa.RecordBatch):
            raise InvalidParameter(
                f"an iterable for append_batch holds Arrow tables or record batches, not {type(table).__name__}; "
                "for single rows there is append_row"
            )
        yield from _table(table).to_batches()


def _columns(data: Mapping[Any, Any], schema: CollectionSchema) -> pa.Table:
    _check_names(list(map(str, data)))
    arrays = {str(name): _column(str(name), values, schema.get(str(name))) for name, values in data.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"'{name}' has {length}" for name, length in lengths.items())
        raise DataError(f"the columns differ in length: {listed}", remedy="Give each column one value per row.")
    return pa.table(arrays)


def _check_names(names: list[str]) -> None:
    name, count = max(Counter(names).items(), key=lambda item: item[1], default=("", 0))
    if count > 1:
        raise DataError(
            f"there are {count} columns with the name '{name}'", field=name, remedy="Give each a name of its own."
        )


def _column(name: str, values: Any, field: Field | None) -> Array:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    if isinstance(values, np.ndarray) and values.dtype != object:
        return _from_numpy(values, name, field)
    if isinstance(values, np.ma.MaskedArray):
        values = [None if value is np.ma.masked else value for value in values]
    if hasattr(values, "to_arrow"):
        return values.to_arrow()
    is_of_pandas = type(values).__module__.startswith("pandas")
    if hasattr(values, "to_dense"):
        values = values.to_dense()  # a sparse array of pandas
    if is_of_pandas and getattr(values.dtype, "kind", "O") in "biuf":
        return pa.array(values, from_pandas=True)
    if isinstance(values, str | bytes | Mapping | Set) or not isinstance(values, Iterable):
        raise DataError(
            f"a column is a list or array with one value per row, not {type(values).__name__}",
            field=name,
            value=values,
            remedy="Repeat a value that all rows have.",
        )
    return _from_objects(list(values), name, field)


def _from_numpy(values: np.ndarray[Any, Any], name: str, field: Field | None) -> Array:
    masked = masked_rows(values, name)
    if masked is not None:
        whole = _from_numpy(np.ma.getdata(values), name, field)
        return pc.if_else(pa.array(~masked), whole, pa.scalar(None, whole.type))
    if values.dtype == _BFLOAT16:
        # Arrow has no bfloat16; bfloat16 fields accept the bytes.
        values = np.ascontiguousarray(values)
        values = values.view(np.uint8) if values.ndim == 2 else values.astype(np.float32)
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    if values.ndim == 1:
        return _to_arrow(values, name)
    if values.ndim != 2:
        raise DataError(f"the array has {values.ndim} dimensions; columns have one, vector columns two", field=name)
    if field is not None and field.type is DataType.BINARY_VECTOR and values.shape[1] == field.dim:
        values = _packed_bits(values, name)
    if not values.shape[1]:
        raise DataError("the vectors have no elements", field=name)
    return pa.FixedSizeListArray.from_arrays(
        _to_arrow(np.ascontiguousarray(values).reshape(-1), name), values.shape[1]
    )


def _to_arrow(values: np.ndarray[Any, Any], name: str) -> Array:
    source: Any = values
    if values.dtype.kind in "US":
        source = values.tolist()  # Arrow ends the texts of an array at their first NUL
    elif values.dtype.kind == "M" and np.datetime_data(values.dtype)[0] in _COARSE_UNITS:
        source = values.astype("datetime64[s]")
    try:
        return pa.array(source)
    except (pa.ArrowException, UnicodeError) as error:
        raise DataError(
            f"the array has the type {values.dtype}, which can't be converted: {' '.join(str(error).split())[:200]}",
            field=name,
            remedy="Give numbers, booleans, texts or times.",
        ) from None


def _packed_bits(bits: np.ndarray[Any, Any], name: str) -> np.ndarray[Any, Any]:
    wrong = (bits != 0) & (bits != 1)
    if wrong.any():
        row, at = (int(indices[0]) for indices in wrong.nonzero())
        raise DataError("a binary vector given as bits holds 0 and 1 only", row=row, field=name, value=bits[row, at])
    return np.packbits(bits.astype(np.uint8, copy=False), axis=1)


def _from_objects(values: list[Any], name: str, field: Field | None) -> Array:
    """Convert Python objects to a column: vectors as arrays or lists, dicts for JSON and sparse fields, scalars."""
    # Data frames store missing values as NaN; in a column of numbers the later checks decide.
    nan_is_missing = field is None or not field.type.is_number
    values = [
        None if is_absent(value, field, row) or _is_missing(value, nan=nan_is_missing) else value
        for row, value in enumerate(values)
    ]
    if name == META_FIELD:
        return _converted(values, lambda value: json_text(value, META))
    if field is None:
        return _dynamic_column(values, name)
    if field.type in _OBJECTS:
        return _converted(values, lambda value: json_text(value, field))
    if field.type in WRITTEN_AS_TEXT:
        return _converted(values, lambda value: cell_maker(field)(value)[0])
    if field.type is DataType.ARRAY_OF_STRUCT:
        # Arrow converts dicts with different keys to structs with nulls.
        return _converted(values, lambda value: cell_maker(field)(value)[0], canonical_type(field))
    if field.type.is_vector:
        values = [_without_bfloat16(value) for value in values]
    _refuse_types(values, _SETS, field)
    array = _inferred(values, name)
    if _has_ones(array):
        _refuse_types(values, _BOOLS, field)
    return array


def _is_missing(value: Any, *, nan: bool) -> bool:
    """Whether a value of a data frame stands for none: NaN (with ``nan``), NaT, or NA."""
    if isinstance(value, float | np.floating):
        return nan and value != value
    return type(value).__name__ in _MISSING or (isinstance(value, np.datetime64) and bool(np.isnat(value)))


def _dynamic_column(values: list[Any], name: str) -> Array:
    """Convert dynamic values: to JSON where they are of several types, nested, or whole numbers of any size, since
    Arrow would make them alike."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) <= 1 and not any(map(_is_made_alike, kinds)):
        return _inferred(values, name)
    column = Field(name=name, type=DataType.JSON)
    # Text in a list is no JSON text.
    texts = _converted(values, lambda value: json_text([value], column)[1:-1])
    return pa.ExtensionArray.from_storage(pa.json_(pa.string()), texts)


def _is_made_alike(kind: type) -> bool:
    # A tuple with names is none: JSON has no form for it.
    return kind is tuple or (kind is not bool and issubclass(kind, _MADE_ALIKE))


def _converted(values: list[Any], convert: Callable[[Any], Any], kind: Any = _STRING) -> Array:
    """Convert the values that are not None one by one. Raises DataError with the row."""
    converted = []
    for row, value in enumerate(values):
        try:
            converted.append(None if value is None else convert(value))
        except DataError as error:
            raise error.at(row=row) from None
    return pa.array(converted, kind)


def _inferred(values: list[Any], name: str) -> Array:
    """Convert values to the type that Arrow infers from them."""
    try:
        return pa.array(values)
    except pa.ArrowMemoryError:
        raise
    except (pa.ArrowException, OverflowError, TypeError, UnicodeError) as error:
        raise DataError(
            f"the column's values are not of one type: {error}",
            field=name,
            remedy="Give a column of one type, or append the rows one by one to see which is wrong.",
        ) from None


def _has_ones(array: Array) -> bool:
    """Whether a column of floats has numbers that may have been booleans."""
    numbers = array.flatten() if is_list(array.type) else array
    if not (pt.is_float32(numbers.type) or pt.is_float64(numbers.type)):
        return False
    return bool(pc.any(pc.is_in(numbers, pa.array([0, 1], numbers.type))).as_py())


def _refuse_types(values: list[Any], types: Set[type], field: Field) -> None:
    """Raise DataError for the first value that has one of the types, or an element with one."""
    for row, value in enumerate(values):
        if type(value) in types or (isinstance(value, list | tuple) and not types.isdisjoint(map(type, value))):
            raise type_error(field, type(value).__name__, FORMS[field.type].python, row=row, value=value)


def _without_bfloat16(value: Any) -> Any:
    return value.astype(np.float32) if isinstance(value, np.ndarray) and value.dtype == _BFLOAT16 else value
