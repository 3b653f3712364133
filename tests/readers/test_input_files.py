"""The format of files by their extension, and the input files that the paths of a group make up."""

from __future__ import annotations

import pytest

from penstock.errors import ImportRefused
from penstock.readers.arrow_ipc import ARROW_IPC
from penstock.readers.base import FormatSpec
from penstock.readers.csv.reader import CSV, TSV
from penstock.readers.hdf5 import HDF5
from penstock.readers.input_files import check_group, detect, expand
from penstock.readers.json.array_reader import JSON
from penstock.readers.json.lines_reader import JSON_LINES
from penstock.readers.numpy import NUMPY
from penstock.readers.numpy_archive import NUMPY_ARCHIVE
from penstock.readers.parquet.reader import PARQUET
from penstock.sources.base import Listing, ListingKind, Location


@pytest.mark.parametrize(
    ("group", "format"),
    [
        (["a.parquet"], PARQUET),
        (["x/y.z/A.PARQUET"], PARQUET),
        (["s3://bucket/a.json"], JSON),
        (["a.jsonl"], JSON_LINES),
        (["a.ndjson"], JSON_LINES),
        (["a.csv"], CSV),
        (["a.tsv"], TSV),
        (["a.b/c.d.json.GZ"], JSON),
        (["s3://bucket/a.jsonl.zst"], JSON_LINES),
        (["a.csv.bz2"], CSV),
        (["a.npz"], NUMPY_ARCHIVE),
        (["a.feather"], ARROW_IPC),
        (["a.H5"], HDF5),
        (["x/id.npy", "y/vector.NPY", "$meta.npy"], NUMPY),
    ],
)
def test_the_extension_tells(group: list[str], format: FormatSpec) -> None:
    assert detect(group) is format
    assert check_group(group) is format


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ([], "no file to import"),
        (["a.txt"], r"unexpected file type, files=\[a\.txt\]\. Files that can be imported end in \.parquet, \.json,"),
        (["parquet"], "unexpected file type"),
        (["folder.json/a"], "unexpected file type"),
        (["json.gz"], "unexpected file type"),
        (["a.json.xz"], "Decompress it first"),
        (["a.gz"], r"\.fbin; text also in \.gz, \.zst, \.bz2, as in rows\.jsonl\.gz"),
        (["a.parquet.gz"], "Decompress it first"),
        (["id.npy", "a.json"], r"inconsistency in file types, \(id\.npy\) vs \(a\.json\)"),
        (["a.json", "b.json"], r"for JSON import, accepts only one file\. .*\[\[file\], \[file\]\]"),
        (["a.parquet", "b.parquet"], "for Parquet import, accepts only one file"),
        (["a.csv", "b.csv"], "for CSV import, accepts only one file"),
        (["a.jsonl", "b.ndjson"], "for JSONL import, accepts only one file"),
    ],
)
def test_groups_that_are_refused(group: list[str], message: str) -> None:
    for judge in (detect, check_group):
        with pytest.raises(ImportRefused, match=message):
            judge(group)


def test_of_folders_only_the_plan_can_tell() -> None:
    assert check_group(["docs/"]) is None
    assert check_group(["docs/", "a.parquet"]) is PARQUET


def at(*names: str) -> list[Location]:
    return [Location(uri=f"file:///{name}", name=name, size=1) for name in names]


def inputs(*paths: tuple[str, list[Location]]) -> list[list[str]]:
    listings = [
        Listing(path=path, kind=ListingKind.FOLDER if path.endswith("/") else ListingKind.FILE, locations=locations)
        for path, locations in paths
    ]
    return [[location.name for location in file.locations] for file in expand(listings)]


@pytest.mark.parametrize("path", ["d/*", "d/**", "d/part-*", "d/a.p*", "d/*.gz", "d/x.manifest", "x.MANIFEST.json"])
def test_of_a_pattern_of_any_extension_only_the_plan_can_tell(path: str) -> None:
    assert check_group([path]) is None


@pytest.mark.parametrize("path", ["d/*.parquet", "d/[ab].parquet", "**/*.parquet"])
def test_a_pattern_with_an_extension_has_its_format(path: str) -> None:
    assert check_group([path]) is PARQUET
    with pytest.raises(ImportRefused, match="unexpected file type"):
        check_group([path.replace("parquet", "txt")])


def test_named_files_are_one_input() -> None:
    assert inputs(("a.json", at("a.json"))) == [["a.json"]]
    assert inputs(("x/id.npy", at("x/id.npy")), ("y/v.npy", at("y/v.npy"))) == [["x/id.npy", "y/v.npy"]]


def test_each_file_of_a_folder_is_an_input() -> None:
    assert inputs(("d/", at("d/1.csv", "d/2.csv", "d/deep/3.csv"))) == [["d/1.csv"], ["d/2.csv"], ["d/deep/3.csv"]]


def test_each_folder_of_npy_files_is_a_set() -> None:
    assert inputs(("d/", at("d/1/id.npy", "d/1/v.npy"))) == [["d/1/id.npy", "d/1/v.npy"]]
    located = at("d/1/id.npy", "d/1/v.npy", "d/1/x/id.npy", "d/1/x/v.npy", "d/10/id.npy", "d/2/id.npy")
    assert [len(names) for names in inputs(("d/", located))] == [2, 2, 1, 1]


def test_several_folders_and_files_beside_them() -> None:
    found = (("d/", at("d/1.json")), ("e/", at("e/2.json")), ("f.json", at("f.json")))
    assert inputs(*found) == [["f.json"], ["d/1.json"], ["e/2.json"]]


def test_a_folder_of_several_kinds_is_refused() -> None:
    with pytest.raises(ImportRefused, match=r"inconsistency in file types, \(d/1\.json\) vs \(d/2\.csv\)\. A folder"):
        inputs(("d/", at("d/1.json", "d/2.csv")))
    with pytest.raises(ImportRefused, match=r"unexpected file type, files=\[d/readme\.txt\]"):
        inputs(("d/", at("d/1.json", "d/readme.txt")))
    with pytest.raises(ImportRefused, match="no file to import"):
        inputs()
