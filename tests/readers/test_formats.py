"""The table of formats: each declares its name, its extensions, its options and how its files are grouped."""

from __future__ import annotations

import pytest

from penstock.domain.import_options import SERVED_OPTIONS
from penstock.errors import ImportRefused
from penstock.readers.formats import EXTENSIONS, FORMATS, check_options, format_named

OTHERS = ("npz", "Arrow", "ORC", "Avro", "HDF5", "fvecs", "ivecs", "bvecs", "fbin")


def test_names_are_those_of_plans_in_the_catalog() -> None:
    assert [spec.name for spec in FORMATS] == ["Parquet", "JSON", "JSONL", "CSV", "TSV", "Numpy", *OTHERS]
    assert all(format_named(spec.name) is spec for spec in FORMATS)


def test_an_extension_belongs_to_one_format() -> None:
    assert sorted(EXTENSIONS) == sorted(extension for spec in FORMATS for extension in spec.extensions)


def test_options_of_formats_are_known_to_clients() -> None:
    options = {name for spec in FORMATS for name in spec.options}
    assert options == {"datasets", "nullkey", "sep"}
    assert options <= SERVED_OPTIONS


def test_options_are_checked_whatever_the_files() -> None:
    assert check_options({}) == check_options({"sep": "", "nullkey": "NULL", "timeout": "soon"}) == []
    assert check_options({"sep": r"\t"}) == []
    assert check_options({"sep": "||"}) == ["option 'sep' is a single character: only the first one of '||' is used"]
    with pytest.raises(ImportRefused, match="unsupported csv separator"):
        check_options({"sep": "§"})
