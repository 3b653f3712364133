"""What users type, and the groups of files that go out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.cli.paths import import_groups, server_groups
from penstock.errors import FileMissing, FileUnreadable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "a.parquet",
        "b.parquet",
        "deep/er/c.parquet",
        "set/id.npy",
        "set/vector.npy",
        "one.npy",
        "we[i]rd.csv",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_files_get_absolute_paths_each_in_a_group_of_its_own(folder: Path) -> None:
    assert import_groups(["a.parquet", "./deep/../b.parquet"], folder) == [
        [f"{folder}/a.parquet"],
        [f"{folder}/b.parquet"],
    ]


def test_a_folder_ends_in_a_slash(folder: Path) -> None:
    assert import_groups(["deep", "set/"], folder) == [[f"{folder}/deep/"], [f"{folder}/set/"]]


def test_a_pattern_that_the_shell_left_alone(folder: Path) -> None:
    assert import_groups(["*.parquet"], folder) == [[f"{folder}/a.parquet"], [f"{folder}/b.parquet"]]
    assert [f"{folder}/deep/er/c.parquet"] in import_groups(["**/*.parquet"], folder)


def test_a_pattern_in_a_folder_whose_name_looks_like_one(tmp_path: Path) -> None:
    (tmp_path / "run[1]" / "deep").mkdir(parents=True)
    for name in ("a.csv", "deep/b.csv"):
        (tmp_path / "run[1]" / name).touch()
    assert import_groups(["*.csv", "deep/../deep/*.csv"], tmp_path / "run[1]") == [
        [f"{tmp_path}/run[1]/a.csv"],
        [f"{tmp_path}/run[1]/deep/b.csv"],
    ]


def test_a_file_whose_name_looks_like_a_pattern(folder: Path) -> None:
    assert import_groups(["we[i]rd.csv"], folder) == [[f"{folder}/we[i]rd.csv"]]


def test_numpy_files_of_one_folder_are_one_group(folder: Path) -> None:
    assert import_groups(["set/id.npy", "a.parquet", "one.npy", "set/vector.npy"], folder) == [
        [f"{folder}/set/id.npy", f"{folder}/set/vector.npy"],
        [f"{folder}/a.parquet"],
        [f"{folder}/one.npy"],
    ]


def test_the_same_file_twice_goes_out_once(folder: Path) -> None:
    assert import_groups(["a.parquet", "*.parquet"], folder) == [[f"{folder}/a.parquet"], [f"{folder}/b.parquet"]]


def test_addresses_go_out_as_they_are() -> None:
    addresses = ["s3://bucket/*.parquet", "file:///data/a.csv", "https://bucket.s3.amazonaws.com/a.json"]
    assert import_groups(addresses) == [[address] for address in addresses]


@pytest.mark.parametrize("path", ["absent.parquet", "no*.parquet"])
def test_what_is_not_there(folder: Path, path: str) -> None:
    with pytest.raises(FileMissing, match=path.replace("*", r"\*")):
        import_groups([path], folder)


def test_paths_that_only_the_server_knows() -> None:
    assert server_groups(["docs/a.parquet", "/set/id.npy", "/set/v.npy"]) == [
        ["docs/a.parquet"],
        ["/set/id.npy", "/set/v.npy"],
    ]


def test_a_name_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.parquet")
    (tmp_path / name).touch()
    for path in (name, "*.parquet"):
        with pytest.raises(FileUnreadable, match=r"\\xff\.parquet is not UTF-8"):
            import_groups([path], tmp_path)


def test_a_home_of_nobody_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match="no file ~nobody-has-this-name"):
        import_groups(["~nobody-has-this-name/a.parquet"], tmp_path)
