"""Arrow columns whose slices share values: dictionaries, runs of equal values, and views into texts.

Arrow counts what is shared as a whole: a slice of one row is as large as the column, and a run of a million long
texts as small as one. It takes no single rows out of views and runs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from penstock.rules.rule import Array

_VIEW_BYTES = 16
"""Of one value of a view: its length in four bytes, then the text or its place."""
_OFFSET_BYTES = 8


def decoded_bytes(batch: pa.RecordBatch) -> int:
    """The bytes that the values of a batch take without dictionaries, runs and views."""
    return sum(_decoded_bytes(column) for column in batch.columns)


def without_shared_values(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Decode all that the rows of a batch share with others, so that it holds its own values only."""
    return _with_columns(batch, [_takeable(_without_dictionary(column)) for column in batch.columns])


def takeable(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Decode views and runs, of which Arrow takes no single rows; a batch without is returned as it is."""
    return _with_columns(batch, [_takeable(column) for column in batch.columns])


def with_takeable_dictionaries(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Decode the values of dictionaries as :func:`takeable`, once for all slices that the batch is cut into."""
    columns = [_with_takeable_values(column) if pt.is_dictionary(column.type) else column for column in batch.columns]
    return _with_columns(batch, columns)


def _with_columns(batch: pa.RecordBatch, columns: list[Array]) -> pa.RecordBatch:
    if all(new is old for new, old in zip(columns, batch.columns, strict=True)):
        return batch
    fields = [field.with_type(column.type) for field, column in zip(batch.schema, columns, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def _without_dictionary(array: Array) -> Array:
    return decoded_dictionary(array) if pt.is_dictionary(array.type) else array


def decoded_dictionary(array: Array) -> Array:
    """Decode a dictionary, which Arrow does not if its values are views."""
    return _with_takeable_values(array).dictionary_decode()


def _with_takeable_values(array: Array) -> Array:
    values = _takeable(array.dictionary)
    if values.type == array.type.value_type:
        return array
    return pa.DictionaryArray.from_arrays(array.indices, values, ordered=array.type.ordered)


def _takeable(array: Array) -> Array:
    if pt.is_run_end_encoded(array.type):
        return _takeable(pc.call_function("run_end_decode", [array]))
    if pt.is_dictionary(array.type):
        return _with_takeable_values(array)
    kind = _without_views(array.type)
    return array if kind == array.type else array.cast(kind)


def _without_views(kind: Any) -> Any:
    """The type of the same values without views of texts; views of lists are no obstacle."""
    if pt.is_string_view(kind):
        return pa.large_string()
    if pt.is_binary_view(kind):
        return pa.large_binary()
    if pt.is_struct(kind):
        return pa.struct([member.with_type(_without_views(member.type)) for member in kind])
    if pt.is_map(kind):
        return pa.map_(_without_views(kind.key_type), _without_views(kind.item_type), kind.keys_sorted)
    if not (pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind)):
        return kind
    element = kind.value_field.with_type(_without_views(kind.value_type))
    if pt.is_fixed_size_list(kind):
        return pa.list_(element, kind.list_size)
    return pa.large_list(element) if pt.is_large_list(kind) else pa.list_(element)


def _decoded_bytes(array: Array) -> int:
    kind = array.type
    if not _shares_values(kind):
        return int(array.nbytes)
    if isinstance(kind, pa.BaseExtensionType):
        return _decoded_bytes(array.storage)
    if pt.is_dictionary(kind):
        return int(array.indices.nbytes) + _total(pc.take(pa.array(_sizes(array.dictionary)), array.indices))
    if pt.is_run_end_encoded(kind):
        runs: Any = pa.RunEndEncodedArray.from_arrays(array.run_ends, pa.array(_sizes(array.values)))
        return _total(pc.call_function("run_end_decode", [runs.slice(array.offset, len(array))]))
    if _is_view(kind):
        return int(_sizes(array).sum())
    if pt.is_struct(kind):
        return sum(_decoded_bytes(array.field(number)) for number in range(kind.num_fields))
    return _decoded_bytes(array.flatten()) + _OFFSET_BYTES * len(array)


def _shares_values(kind: Any) -> bool:
    """Whether slices of a column of this type share more than they hold; lists and structs of such, too."""
    if isinstance(kind, pa.BaseExtensionType):
        return _shares_values(kind.storage_type)
    if pt.is_dictionary(kind) or pt.is_run_end_encoded(kind) or _is_view(kind):
        return True
    if pt.is_list_view(kind) or pt.is_large_list_view(kind):
        return True
    if pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind):
        return _shares_values(kind.value_type)
    return pt.is_struct(kind) and any(_shares_values(member.type) for member in kind)


def _is_view(kind: Any) -> bool:
    return pt.is_string_view(kind) or pt.is_binary_view(kind)


def _sizes(values: Array) -> npt.NDArray[np.int64]:
    """The bytes of each value; the mean of those that are neither text nor bytes."""
    kind = values.type
    if _is_view(kind):
        views = np.frombuffer(values.buffers()[1] or b"", np.int32)[:: _VIEW_BYTES // 4]
        lengths = views[values.offset : values.offset + len(values)].astype(np.int64)
        lengths[values.is_null().to_numpy(zero_copy_only=False)] = 0
        return lengths + _VIEW_BYTES
    if pt.is_string(kind) or pt.is_binary(kind) or pt.is_large_string(kind) or pt.is_large_binary(kind):
        texts: Array = pc.binary_length(values)
        return np.asarray(texts.fill_null(0).to_numpy(zero_copy_only=False), np.int64)
    return np.full(len(values), -(-_decoded_bytes(values) // max(1, len(values))), np.int64)


def _total(sizes: Array) -> int:
    return pc.sum(sizes).as_py() or 0
