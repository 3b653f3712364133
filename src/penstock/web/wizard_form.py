"""The form of the import wizard: decoded into the requests of the services, and kept from step to step.

Keys of an object store are in the form as it is sent, and never in a page that the server makes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from penstock.collections.index_requests import CreateIndex
from penstock.domain.access import Caller
from penstock.domain.import_options import IMPORT_OPTIONS, ImportOption
from penstock.domain.index import INDEX_TYPES, Metric
from penstock.domain.input_groups import grouped_paths
from penstock.domain.rest_schema import schema_from_rest, schema_to_rest
from penstock.domain.schema import CollectionSchema, Field
from penstock.errors import InvalidParameter
from penstock.imports.requests import CreateImport, StoreCredentials
from penstock.imports.schema_inference import InferSchema
from penstock.inference.infer import InferOptions
from penstock.inference.inferred import InferredSchema
from penstock.web.page import Values

SHOWN_OPTIONS: Sequence[ImportOption] = [
    option for option in IMPORT_OPTIONS if option.name not in ("mapping", "drop_columns", "dry_run")
]
"""The import options that have a control of their own; the mapping is chosen column by column."""
NO_COLUMN = "\N{SYMBOL FOR NULL}"
"""In place of a column's name: null, also where the files have a column of the field's name."""
_CHOICE = ("id_column", "vector_column", "auto_id")
"""What the inference is asked for."""
KEPT_FIELDS = (
    *("paths", "target", "new_name", "database", "partition", *_CHOICE, "schema"),
    *("index_type", "metric", "idempotency_key", "dry_job"),
)


@dataclass(frozen=True, slots=True)
class WizardForm:
    """What was chosen so far."""

    values: Values

    @property
    def paths(self) -> Sequence[str]:
        lines = self.values.get("paths").splitlines()
        return list(dict.fromkeys(line.strip() for line in lines if line.strip()))

    @property
    def groups(self) -> Sequence[Sequence[str]]:
        """The inputs of the import: a path each, but the ``.npy`` files of a folder together."""
        return grouped_paths(self.paths)

    @property
    def is_new(self) -> bool:
        """Whether the import creates its collection."""
        return not self.values.get("target")

    @property
    def database(self) -> str:
        return (
            self.values.get("database") if self.is_new else self.values.get("target").partition("/")[0]
        ) or "default"

    @property
    def collection(self) -> str:
        return self.values.get("new_name") if self.is_new else self.values.get("target").partition("/")[2]

    @property
    def keys(self) -> StoreCredentials:
        return StoreCredentials(
            access_key=self.values.get("access_key"),
            secret_key=self.values.get("secret_key"),
            token=self.values.get("token"),
        )

    @property
    def options(self) -> Mapping[str, str]:
        """The import options, with the mapping of columns to fields."""
        chosen = {option.name: self.values.get(f"option_{option.name}") for option in SHOWN_OPTIONS}
        options = {name: value for name, value in chosen.items() if value}
        mapping = self.mapping
        if mapping:
            options["mapping"] = orjson.dumps(mapping).decode()
        dropped = self.dropped
        if dropped:
            options["drop_columns"] = orjson.dumps(dropped).decode()
        return options

    @property
    def mapping(self) -> Mapping[str, Any]:
        """The columns and constants of the fields that don't have the column of their own name."""
        mapping: dict[str, Any] = {}
        for name, value in self.values.pairs:
            if name.startswith("column_") and value and value != name.removeprefix("column_"):
                mapping[name.removeprefix("column_")] = {"value": None} if value == NO_COLUMN else value
            if name.startswith("constant_") and value:
                mapping[name.removeprefix("constant_")] = {"value": _constant(value)}
        return mapping

    @property
    def dropped(self) -> Sequence[str]:
        return self.values.all("drop")

    def kept(self) -> Sequence[tuple[str, str]]:
        """The fields that a later step carries along, without keys of an object store."""
        prefixes = ("column_", "constant_", "option_")
        return [
            (name, value)
            for name, value in self.values.pairs
            if value and (name in KEPT_FIELDS or name == "drop" or name.startswith(prefixes))
        ]

    def infer_request(self, cluster_id: str, caller: Caller) -> InferSchema:
        options = {name: value for name, value in self.options.items() if name not in ("mapping", "drop_columns")}
        options.pop("auto_commit", None)
        return InferSchema(
            cluster_id=cluster_id,
            database=self.database,
            groups=self.groups,
            options=options,
            chosen=InferOptions(
                id=self.values.get("id_column"),
                vector=self.values.get("vector_column"),
                auto_id=bool(self.values.get("auto_id")),
            ),
            keys=self.keys,
            caller=caller,
        )

    def create_request(self, cluster_id: str, caller: Caller) -> CreateImport:
        return CreateImport(
            cluster_id=cluster_id,
            database=self.database,
            collection=self.collection,
            partition=self.values.get("partition") or None,
            groups=self.groups,
            options=self.options,
            keys=self.keys,
            idempotency_key=self.values.get("idempotency_key") or None,
            caller=caller,
        )

    def dry_run_request(self, cluster_id: str, caller: Caller) -> CreateImport:
        """The same import as a dry run, which reads and checks every row and stores none."""
        request = self.create_request(cluster_id, caller)
        options = {name: value for name, value in request.options.items() if name != "auto_commit"}
        return replace(request, options=options | {"dry_run": "true"}, idempotency_key=None)

    @property
    def choice(self) -> str:
        """What the inference was asked for: the key, the vector, and whether keys are generated."""
        return orjson.dumps([self.values.get(name) for name in _CHOICE]).decode()

    @property
    def is_chosen_since_inference(self) -> bool:
        """Whether the shown schema was inferred for another choice than the one that is sent."""
        return self.values.get("inferred_for") not in ("", self.choice)

    def with_schema(self, inferred: InferredSchema) -> WizardForm:
        """The form with the schema that was inferred for its choice."""
        return self._with(schema=schema_text(inferred), inferred_for=self.choice)

    def without_choice(self) -> WizardForm:
        """The form with the key and the vector left to the inference."""
        return self._with(**dict.fromkeys(_CHOICE, ""))

    def with_dry_job(self, job_id: int) -> WizardForm:
        """The form with the dry run that was made of it."""
        return self._with(dry_job=str(job_id))

    def _with(self, **changes: str) -> WizardForm:
        kept = [(name, value) for name, value in self.values.pairs if name not in changes]
        return WizardForm(Values([*kept, *changes.items()]))

    def schema(self) -> CollectionSchema:
        """The schema of the new collection: the inferred one, without dropped columns.

        Raises:
            InvalidParameter, InvalidSchema: the form's schema is none.
        """
        try:
            content = orjson.loads(self.values.get("schema"))
        except orjson.JSONDecodeError as error:
            raise InvalidParameter("the schema is missing: go back to Columns", name="schema") from error
        if not isinstance(content, dict):
            raise InvalidParameter("the schema is missing: go back to Columns", name="schema")
        schema = schema_from_rest(content)
        dropped = set(self.dropped)
        return replace(schema, fields=tuple(field for field in schema.fields if field.name not in dropped)).check(
            self.collection
        )

    def indexes(self, schema: CollectionSchema) -> Sequence[CreateIndex]:
        """The indexes of the new collection, one for each vector field; the chosen type is that of the first."""
        wanted, metric = self.values.get("index_type"), self.values.get("metric")
        return [
            CreateIndex(
                field_name=field.name,
                index_type=wanted if number == 0 and wanted in INDEX_TYPES else "",
                metric=metric if number == 0 and metric in set(Metric) else "",
            )
            for number, field in enumerate(schema.vectors)
        ]


def _constant(text: str) -> str | None:
    """A constant as the import reads it: text as a cell of CSV, so that 2024 is a number for a field of numbers and
    text for one of texts; ``null`` is not a value."""
    return None if text.strip() == "null" else text


def schema_text(inferred: InferredSchema) -> str:
    """The inferred schema as the form keeps it."""
    return orjson.dumps(schema_to_rest(inferred.schema)).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedField:
    """A field of an existing collection and where its values come from.

    ``may_be_null``: null can be chosen although the files have a column of the field's name.
    """

    field: Field
    column: str
    constant: str
    is_missing: bool
    may_be_null: bool


def mapped_fields(form: WizardForm, schema: CollectionSchema, columns: Sequence[str]) -> Sequence[MappedField]:
    """The fields that files have values of, each with its chosen column, else the one of its name."""
    mapped = []
    for field in schema.fields:
        if schema.is_computed(field):
            continue
        chosen = form.values.get(f"column_{field.name}")
        constant = form.values.get(f"constant_{field.name}")
        own = field.name if field.name in columns else ""
        column = "" if chosen == NO_COLUMN else chosen or own
        is_missing = not (column or constant or field.nullable or field.default is not None)
        mapped.append(
            MappedField(
                field=field,
                column=column,
                constant=constant,
                is_missing=is_missing,
                may_be_null=bool(own) and field.nullable,
            )
        )
    return mapped
