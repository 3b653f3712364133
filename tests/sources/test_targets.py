"""Folders of object stores that exports are written into."""

from __future__ import annotations

import pytest

from penstock.errors import TargetNotEmpty
from penstock.sources.targets import Target
from tests.support.faulty_store import Faults, faulty_store
from tests.support.s3 import S3Server


def test_a_folder_that_a_console_has_created_is_empty(s3: S3Server) -> None:
    bucket = s3.make_bucket()
    target = Target(uri=f"s3://{bucket}/out", name="out", credentials=s3.settings)
    target.check_empty()
    s3.put(bucket, "out/", b"")
    s3.put(bucket, "outer/a", b"x")
    target.check_empty()
    s3.put(bucket, "out/a.parquet", b"")
    with pytest.raises(TargetNotEmpty, match=r"it has 'a\.parquet'"):
        target.check_empty()


def test_files_are_deleted_in_stores_without_requests_for_several(s3: S3Server) -> None:
    bucket = s3.make_bucket()
    for name in ("a.parquet", "b.parquet", "other"):
        s3.put(bucket, f"out/{name}", b"x")
    with faulty_store(s3.endpoint, Faults(unknown="POST "), seed=1) as proxy:
        target = Target(uri=f"s3://{bucket}/out", name="out", credentials=s3.settings | {"endpoint": proxy.url})
        target.delete([], lambda name: name.endswith(".parquet"))
    assert s3.keys(bucket) == ["out/other"]
