"""The form of the wizard becomes the requests of the services."""

from __future__ import annotations

import json

import pytest

from penstock.domain.access import ANONYMOUS
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import InvalidParameter
from penstock.web.page import Values
from penstock.web.wizard_copies import import_copies
from penstock.web.wizard_form import NO_COLUMN, WizardForm, mapped_fields

SCHEMA = {
    "autoId": False,
    "enableDynamicField": True,
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "title", "dataType": "VarChar", "elementTypeParams": {"max_length": 99}},
        {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 4}},
    ],
}


def form(**fields: str) -> WizardForm:
    return WizardForm(Values(list(fields.items())))


def test_paths_are_inputs_and_numpy_files_of_a_folder_are_one() -> None:
    chosen = form(paths="a.json\n\n b/id.npy \nb/vector.npy\na.json\ns3://bucket/folder/")
    assert chosen.groups == [["a.json"], ["b/id.npy", "b/vector.npy"], ["s3://bucket/folder/"]]


def test_a_mapping_names_the_columns_of_other_names_and_constants() -> None:
    chosen = form(
        target="sales/docs", column_id="key", column_title="title", column_x="", constant_year="1990", constant_a="b"
    )
    request = chosen.create_request("in01-local", ANONYMOUS)
    assert (request.database, request.collection) == ("sales", "docs")
    # Text of digits: the import makes a number of it for a field of numbers only.
    assert json.loads(request.options["mapping"]) == {"id": "key", "year": {"value": "1990"}, "a": {"value": "b"}}


def test_null_can_be_chosen_although_the_files_have_the_column() -> None:
    title = Field(name="title", type=DataType.VARCHAR, max_length=9, nullable=True)
    schema = CollectionSchema(fields=(Field(name="id", type=DataType.INT64, primary=True), title))
    (_, untouched) = mapped_fields(form(), schema, ["id", "title"])
    assert (untouched.column, untouched.may_be_null) == ("title", True)
    chosen = form(column_id="id", column_title=NO_COLUMN)
    (_, nulled) = mapped_fields(chosen, schema, ["id", "title"])
    assert (nulled.column, nulled.is_missing) == ("", False)
    assert chosen.mapping == {"title": {"value": None}}
    assert ("column_title", NO_COLUMN) in chosen.kept()


def test_options_are_those_of_the_table() -> None:
    chosen = form(new_name="docs", option_sep=";", option_nothing="x", option_auto_commit="false")
    assert chosen.options == {"sep": ";", "auto_commit": "false"}
    assert "auto_commit" not in chosen.infer_request("in01-local", ANONYMOUS).options


def test_keys_of_a_store_are_sent_and_never_kept_in_the_page() -> None:
    chosen = form(paths="s3://bucket/a.json", access_key="AKIA", secret_key="hidden", token="t")
    assert chosen.create_request("in01-local", ANONYMOUS).keys.secret_key == "hidden"
    assert chosen.kept() == [("paths", "s3://bucket/a.json")]


def test_the_new_collection_has_the_inferred_schema_without_dropped_columns() -> None:
    chosen = form(new_name="docs", schema=json.dumps(SCHEMA), drop="title", index_type="HNSW", metric="IP")
    schema = chosen.schema()
    assert schema.names == ("id", "vector")
    (index,) = chosen.indexes(schema)
    assert (index.field_name, index.index_type, index.metric) == ("vector", "HNSW", "IP")
    assert json.loads(chosen.options["drop_columns"]) == ["title"]


def test_the_calls_to_copy_create_the_collection_in_the_cluster_of_the_import() -> None:
    chosen = form(paths="a.json", new_name="docs", schema=json.dumps(SCHEMA))
    created, imported = import_copies("in02-far", chosen).curl.rstrip().split("\ncurl ")
    assert "/collections/create" in created
    assert "/jobs/import/create" in imported
    assert all('"clusterId": "in02-far"' in call for call in (created, imported))


@pytest.mark.parametrize("schema", ["", "[]", "{", "7"])
def test_a_form_without_a_schema_is_explained(schema: str) -> None:
    with pytest.raises(InvalidParameter, match="go back to Columns"):
        form(new_name="docs", schema=schema).schema()
