"""File names and times as clients see them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from penstock.wire.rendering import object_path, time_text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("s3://bucket/folder/1.parquet", "folder/1.parquet"),
        ("gs://bucket/folder/", "folder/"),
        ("https://s3.eu-west-1.amazonaws.com/bucket/a.json", "a.json"),
        ("https://bucket.s3.eu-west-1.amazonaws.com/a.json", "a.json"),
        ("https://acct.blob.core.windows.net/container/x/a.json?sig=secret", "x/a.json"),
        ("file:///data/a.csv", "/data/a.csv"),
        ("/data/a.csv", "/data/a.csv"),
        ("folder with blanks/a.csv", "folder with blanks/a.csv"),
        ("s3://b/id.npy s3://b/my vector.npy", "id.npy my vector.npy"),
        ("s3://bucket", ""),
    ],
)
def test_object_path(name: str, shown: str) -> None:
    assert object_path(name) == shown


def test_times_are_utc_in_whole_seconds() -> None:
    assert time_text(datetime(2024, 5, 18, 2, 57, 13, 999, tzinfo=UTC)) == "2024-05-18T02:57:13Z"
    east = timezone(timedelta(hours=2))
    assert time_text(datetime(2024, 5, 18, 2, 57, 13, tzinfo=east)) == "2024-05-18T00:57:13Z"
