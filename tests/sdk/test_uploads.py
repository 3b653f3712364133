"""Which files an upload sends, in which groups and under which names; and what a server may answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import penstock
from penstock.sdk.errors import InvalidResponse
from penstock.sdk.uploads import upload_items
from tests.sdk.recording_server import recording_server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("set/id.npy", "set/vector.npy", "a.csv", "lang=de/b.csv", "_tmp/c.csv", ".x.csv", "d.manifest"):
        (tmp_path / "f" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "f" / name).write_bytes(b"1")
    (tmp_path / "f" / "_SUCCESS").write_bytes(b"")
    return tmp_path / "f"


def test_a_folder_is_a_group_per_file_and_one_per_numpy_set(folder: Path) -> None:
    groups = upload_items([[f"{folder}/"]])
    assert [[item[1] for item in group] for group in groups] == [
        ["a.csv"],
        ["lang=de/b.csv"],
        ["set/id.npy", "set/vector.npy"],
    ]
    assert groups[0] == [(folder / "a.csv", "a.csv")]


def test_folders_that_are_partition_columns_stay_in_the_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert upload_items([[str(folder / "lang=de" / "b.csv")]])[0][0][1] == "lang=de/b.csv"
    assert upload_items([[str(folder / "lang=de")]])[0][0][1] == "lang=de/b.csv"
    monkeypatch.chdir(folder / "lang=de")
    assert upload_items([["b.csv"]])[0][0][1] == "lang=de/b.csv"


def test_an_address_is_sent_as_it_is(folder: Path) -> None:
    named = str(folder / "a.csv")
    assert upload_items([["s3://b/x.csv"], [named]]) == [["s3://b/x.csv"], [(Path(named), "a.csv")]]


def test_what_cannot_be_uploaded(folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no file .* here to upload"):
        upload_items([[str(folder / "none.csv")]])
    with pytest.raises(ValueError, match="is a manifest, whose files the server would look for"):
        upload_items([[str(folder / "d.manifest")]])
    with pytest.raises(ValueError, match="has no files"):
        upload_items([[str(folder / "empty")]])
    (folder / "linked").symlink_to(folder / "set")
    with pytest.raises(ValueError, match="is a link to a folder"):
        upload_items([[str(folder)]])


@pytest.mark.parametrize("answer", ["<html>a portal</html>", {"code": 0, "data": None}])
def test_an_answer_that_is_none_to_an_upload_is_told(folder: Path, answer: Any) -> None:
    with recording_server() as server, penstock.Client(server.url) as client:
        server.answer("/v2/vectordb/jobs/import/uploads", answer)
        with pytest.raises(InvalidResponse, match="the response is not valid"):
            client.imports.upload(folder / "a.csv")
