"""Infer a collection's schema from samples of files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from penstock.domain.index import IndexSpec, Metric, default_metric
from penstock.domain.schema import MAX_FIELDS, MAX_VECTOR_FIELDS, META_FIELD, CollectionSchema, DataType
from penstock.errors import ImportRefused, shorten
from penstock.inference.arrow_columns import observe_arrow
from penstock.inference.fields import (
    is_clear_vector,
    is_possible_vector,
    plain_field,
    unfit_name,
    vector_field,
    vector_type,
)
from penstock.inference.inferred import DynamicColumn, InferredField, InferredSchema
from penstock.inference.json_columns import observe_cells, observe_json
from penstock.inference.keys import choose_key
from penstock.inference.observations import Kind, Observation, merge
from penstock.readers.base import Sample
from penstock.readers.unknown_columns import listed, nearest

_SEPARATORS = ";\t|"
_DESCRIBED = 10
"""Columns that the error about a missing vector describes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InferOptions:
    """What the caller decides: the columns of the primary key and of the vector to search, and generated keys."""

    id: str = ""
    vector: str = ""
    auto_id: bool = False


def infer_schema(
    samples: Mapping[str, Sample], options: InferOptions = InferOptions(), *, is_complete: bool = True
) -> InferredSchema:
    """Infer the schema for the rows of files, of which there are samples by file name.

    Each column becomes a field, or a dynamic value where it fits none. ``is_complete`` says that there are no files
    but these.

    Raises:
        ImportRefused: the files have no rows, no vector or not the columns that ``options`` name.
    """
    if options.id and options.auto_id:
        raise ImportRefused("the key is either a column (id) or generated (autoId), not both", option="id")
    is_complete = is_complete and all(sample.is_complete for sample in samples.values())
    rows = sum(sample.rows for sample in samples.values())
    if not rows:
        raise ImportRefused(
            f"no schema can be inferred, since {listed(list(samples))} has no rows. Create the collection from a "
            "schema file",
            rule="no_rows",
        )
    columns, notes = _observe_all(samples)
    notes += _use_most_vectors(columns, options.vector)
    vectors = _choose_vectors(columns, options.vector, listed(list(samples)))
    key, key_notes = choose_key(
        columns,
        set(vectors),
        chosen=options.id,
        auto_id=options.auto_id,
    )
    notes += key_notes
    auto_id = key.field.name not in columns
    fields, dynamic = _fields(columns, vectors, key, is_complete=is_complete)
    if not all(sample.has_all_columns for sample in samples.values()):
        notes.append("the files have too many columns to look at: the others become dynamic values")
    if len(vectors) > 1:
        notes.append(
            f"vector fields are {listed(list(vectors))}: searches use {next(iter(vectors))}, unless they name another"
        )
    schema = CollectionSchema(fields=tuple(field.field for field in fields), auto_id=auto_id, dynamic=True).check()
    return InferredSchema(
        schema=schema,
        fields=fields,
        dynamic=dynamic,
        indexes=[_index(field, columns[field.field.name]) for field in fields if field.field.type.is_vector],
        rows=rows,
        sampled=list(samples),
        is_complete=is_complete,
        notes=notes,
    )


def _observe_all(samples: Mapping[str, Sample]) -> tuple[dict[str, Observation], list[str]]:
    """Observe each column over all samples, in the order of the files; notes name those that a file lacks."""
    columns: dict[str, Observation] = {}
    places: dict[str, str] = {}
    lacking: dict[str, list[str]] = {}
    rows_before = 0
    filled = {file: sample for file, sample in samples.items() if sample.rows}
    for file, sample in filled.items():
        observed = _observe(sample)
        for name, seen in observed.items():
            if seen.most is not None and len(filled) > 1:
                seen = replace(seen, most=replace(seen.most, misfit=f"{seen.most.misfit} in {file}"))
            if name in columns:
                columns[name] = merge(columns[name], seen, (places[name], file))
            else:
                nulls = Observation(kind=Kind.NULL, rows=rows_before, nulls=rows_before)
                columns[name] = merge(nulls, seen, ("", file)) if rows_before else seen
                places[name] = file
                if rows_before:
                    lacking[name] = [
                        other for other in filled if other != file and name not in samples[other].columns
                    ]
        for name in [name for name in columns if name not in observed]:
            nulls = Observation(kind=Kind.NULL, rows=sample.rows, nulls=sample.rows)
            columns[name] = merge(columns[name], nulls, (places[name], file))
            lacking.setdefault(name, []).append(file)
        rows_before += sample.rows
    notes = [
        f"column {name!r} is missing in {listed(sorted(set(files)))}, and null there"
        for name, files in lacking.items()
    ]
    return columns, notes


def _observe(sample: Sample) -> dict[str, Observation]:
    observed = {}
    for name, values in sample.columns.items():
        if name in sample.arrow:
            observed[name] = observe_arrow(values, sample.arrow[name])
        elif sample.null_text is not None:
            observed[name] = observe_cells(values, sample.null_text)
        else:
            observed[name] = observe_json(values)
    return observed


def _use_most_vectors(columns: dict[str, Observation], chosen: str) -> list[str]:
    """Take columns as vectors of which a few rows are none, if they are chosen or the files have no others.

    Returns notes on these rows.
    """
    most = {name: seen.most for name, seen in columns.items() if seen.most is not None}
    if chosen:
        most = {name: seen for name, seen in most.items() if name == chosen}
    elif any(is_clear_vector(name, seen) for name, seen in columns.items()):
        return []
    notes = []
    for name, seen in most.items():
        if name == chosen or is_clear_vector(name, seen):
            columns[name] = seen
            notes.append(
                f"{seen.misfits:,} of {seen.rows:,} rows have no vector of {seen.length} numbers in {name} "
                f"({seen.misfit}): the import refuses them; with on_error=skip_row it leaves them out and keeps "
                "them for a correction"
            )
    return notes


def _choose_vectors(columns: Mapping[str, Observation], chosen: str, files: str) -> dict[str, str]:
    """The vector columns, the one to search by default first, each with the reason as an ending of a sentence.

    Raises:
        ImportRefused: there is none, or the chosen column is none.
    """
    fit = {name: seen for name, seen in columns.items() if unfit_name(name) is None}
    vectors: dict[str, str] = {}
    if chosen:
        _check_chosen(columns, chosen)
        vectors[chosen] = ", chosen as the vector"
    for name, seen in fit.items():
        if name not in vectors and is_clear_vector(name, seen):
            vectors[name] = ", all of one length" if seen.kind is Kind.LIST and not seen.is_fixed else ""
    if not vectors:
        possible = [name for name, seen in fit.items() if is_possible_vector(seen)]
        vectors = dict.fromkeys(possible[:1], ", all of one length, and no column is a clearer vector")
    if not vectors:
        raise _no_vector(columns, files)
    return dict(list(vectors.items())[:MAX_VECTOR_FIELDS])


def _check_chosen(columns: Mapping[str, Observation], name: str) -> None:
    if name not in columns:
        near = nearest(name, list(columns))
        hint = f" Did you mean {near!r}?" if near else ""
        raise ImportRefused(
            f"the files have no column {shorten(name)!r} for the vector. Columns: {listed(list(columns))}.{hint}",
            option="vector",
        )
    fault = unfit_name(name)
    if fault is None and vector_type(columns[name]) is None:
        fault = f"it holds {_shown(columns[name])}, and a vector is a list of numbers, of one length in all rows"
    if fault is not None:
        raise ImportRefused(f"the column {shorten(name)!r} can't be the vector: {fault}", option="vector")


def _no_vector(columns: Mapping[str, Observation], files: str) -> ImportRefused:
    shown = [f"{shorten(name)} ({_shown(seen)})" for name, seen in list(columns.items())[:_DESCRIBED]]
    more = f" and {len(columns) - _DESCRIBED:,} more" if len(columns) > _DESCRIBED else ""
    named = [name for name, seen in columns.items() if vector_type(seen) is not None]
    unfit = next((name for name in named if unfit_name(name) is not None), None)
    if unfit is not None:
        step = f"Rename the column {shorten(unfit)!r}: {unfit_name(unfit)}"
    elif named:
        step = f"If {named[0]} is a vector, say so: vector={named[0]}"
    elif len(columns) == 1 and (separator := next((c for c in _SEPARATORS if c in next(iter(columns))), None)):
        step = f"The header has one column: is {separator!r} the separator (option sep)?"
    else:
        step = "Write the vectors as lists of numbers, one length in all rows"
    return ImportRefused(
        f"no vector column, which a collection needs, is in {files}. Columns: {', '.join(shown)}{more}. {step}",
        rule="no_vector",
    )


def _shown(seen: Observation) -> str:
    text = seen.describe()
    return text if not seen.note or seen.note == text else f"{text}: {seen.note}"


def _fields(
    columns: Mapping[str, Observation], vectors: Mapping[str, str], key: InferredField, *, is_complete: bool
) -> tuple[list[InferredField], list[DynamicColumn]]:
    """The fields, the key first and then the vectors before the others, and the columns that are none."""
    fields = [key, *(vector_field(name, columns[name], why=why) for name, why in vectors.items())]
    dynamic: list[DynamicColumn] = []
    taken = {field.field.name for field in fields}
    for name, seen in columns.items():
        if name in taken:
            continue
        if name == META_FIELD:
            continue
        unfit = unfit_name(name)
        found = plain_field(name, seen, is_complete=is_complete)
        if unfit is not None:
            dynamic.append(DynamicColumn(name=name, reason=unfit))
        elif isinstance(found, DynamicColumn):
            dynamic.append(found)
        elif len(fields) == MAX_FIELDS:
            dynamic.append(DynamicColumn(name=name, reason=f"a collection has at most {MAX_FIELDS} fields"))
        else:
            fields.append(found)
    return fields, dynamic


def _index(field: InferredField, seen: Observation) -> IndexSpec:
    kind = field.field.type
    metric = default_metric(field.field)
    if kind.is_dense_vector and kind is not DataType.BINARY_VECTOR and not seen.unit_norms:
        metric = Metric.L2
    return IndexSpec(name=field.field.name, field_name=field.field.name, metric=metric)
