"""The files of tables in object stores."""

from __future__ import annotations

import pytest

from penstock.engines.lance.layout.files import ObjectFiles
from tests.support.faulty_store import Faults, FaultyStore, faulty_store
from tests.support.s3 import S3Server


def stored(s3: S3Server, proxy: FaultyStore, names: list[str]) -> tuple[str, ObjectFiles]:
    """A bucket with these files of a table; the table's files, through the proxy."""
    bucket = s3.make_bucket()
    for name in names:
        s3.put(bucket, f"t.lance/{name}", b"x")
    options = s3.settings | {"endpoint": proxy.url, "allow_http": "true"}
    return bucket, ObjectFiles(f"s3://{bucket}/t.lance", options)


def test_files_are_deleted_in_batches(s3: S3Server) -> None:
    with faulty_store(s3.endpoint, Faults(), seed=1) as proxy:
        bucket, files = stored(s3, proxy, [f"data/{number}.lance" for number in range(20)])
        files.delete([f"data/{number}.lance" for number in range(1_500)])  # the others don't exist
        assert s3.keys(bucket) == []
        assert [call.partition(" ")[0] for call in proxy.passed] == ["POST", "POST"]


@pytest.mark.parametrize("whole", [False, True], ids=["files", "table"])
def test_files_are_deleted_singly_in_stores_without_batches(s3: S3Server, *, whole: bool) -> None:
    with faulty_store(s3.endpoint, Faults(unknown="POST "), seed=1) as proxy:
        names = [f"data/{number}.lance" for number in range(3)]
        bucket, files = stored(s3, proxy, names)
        if whole:
            files.remove_all()
        else:
            files.delete([*names, "data/none.lance"])
        assert s3.keys(bucket) == []


def test_nothing_to_delete_needs_no_request(s3: S3Server) -> None:
    with faulty_store(s3.endpoint, Faults(), seed=1) as proxy:
        _, files = stored(s3, proxy, [])
        files.delete([])
        assert proxy.passed == []
