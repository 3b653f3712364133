"""Folders of object stores that exports are written into."""

from __future__ import annotations

import pytest

from penstock.errors import TargetNotEmpty
from penstock.sources.targets import Target
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
