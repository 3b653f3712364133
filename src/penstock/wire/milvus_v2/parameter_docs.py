"""All parameter tables of this dialect, as ``docs/parameters.md`` shows them, and those that are only documented."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.collections.parameter_tables import (
    COLLECTION_PARAMS,
    COLLECTION_PROPERTIES,
    DATABASE_PROPERTIES,
    FIELD_PARAMS,
    FIELD_PROPERTIES,
    INDEX_PARAMS,
    INDEX_PROPERTIES,
    ITERATOR_PARAMS,
    ONE_PROCESS,
    QUERY_PARAMS,
    RANK_PARAMS,
    READS_ARE_STRONG,
    SEARCH_PARAMS,
)
from penstock.collections.parameters import ParameterTable, refused, served, unused
from penstock.domain.import_options import IMPORT_OPTIONS, ImportOption


def _about(option: ImportOption) -> str:
    values = f"; one of {', '.join(f'`{value}`' for value in option.values)}" if option.values else ""
    default = f"; default: {option.default}" if option.default else ""
    return f"{option.help}{values}{default}"


_IMPORT_OPTIONS = ParameterTable(
    title="`jobs/import/create`: `options`",
    where="options",
    rows=(
        *(served(option.name, about=_about(option)) for option in IMPORT_OPTIONS),
        refused("backup", "l0_import", about="files of Milvus's own storage cannot be read; `false` is accepted"),
    ),
)
REQUEST_KEYS = ParameterTable(
    title="Top-level keys of requests without effect",
    where="the request",
    rows=(
        unused("consistencyLevel", about=f"of create, query, get and search: checked; {READS_ARE_STRONG}"),
        unused(
            *(
                "dimension",
                "metricType",
                "idType",
                "autoID",
                "primaryFieldName",
                "vectorFieldName",
                "vectorFieldType",
            ),
            about="of `collections/create` with `schema.fields`, as in Milvus: they belong to the quick form",
        ),
        unused("replicaNumber", "resourceGroups", "loadFields", about=f"of `collections/load`: {ONE_PROCESS}"),
        unused(
            *("replica_number", "resource_groups", "load_fields", "skip_load_dynamic_field", "load_params"),
            about="of gRPC `LoadCollection` and `LoadPartitions`: rows are read from files, by every server process",
        ),
        unused("any other", about="ignored, as in Milvus: clients send keys of other calls and of other products"),
    ),
)
TABLES: Sequence[ParameterTable] = (
    *(COLLECTION_PARAMS, COLLECTION_PROPERTIES, FIELD_PARAMS, FIELD_PROPERTIES, DATABASE_PROPERTIES),
    *(INDEX_PARAMS, INDEX_PROPERTIES, SEARCH_PARAMS, ITERATOR_PARAMS, RANK_PARAMS, QUERY_PARAMS),
    *(_IMPORT_OPTIONS, REQUEST_KEYS),
)
