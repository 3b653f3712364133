"""Field names and the columns that hold them."""

from __future__ import annotations

import pytest

from penstock.engines.lance.layout.names import field_name, quoted, stored_name


@pytest.mark.parametrize(
    ("field", "column"),
    [("color", "color"), ("$meta", "$meta"), ("_rowid", "$_rowid"), ("__part", "$__part"), ("select", "select")],
)
def test_names_are_escaped_and_come_back(field: str, column: str) -> None:
    assert stored_name(field) == column
    assert field_name(column) == field
    assert quoted(field) == f"`{column}`"


def test_hidden_columns_are_no_fields() -> None:
    assert field_name("__part") == "__part"
