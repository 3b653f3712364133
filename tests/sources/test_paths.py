"""What a path's text means, and which texts are never looked at any further."""

from __future__ import annotations

import pytest

from penstock.errors import PathNotAllowed, Unsupported
from penstock.sources.paths import parse_path


@pytest.mark.parametrize(
    ("text", "scheme", "path"),
    [
        ("docs/a.parquet", "", "docs/a.parquet"),
        ("./docs//a.parquet", "", "docs/a.parquet"),
        ("/docs/a.parquet", "", "/docs/a.parquet"),
        ("100%.parquet", "", "100%.parquet"),
        ("file:///docs/a%20b.parquet", "file", "/docs/a b.parquet"),
        ("FILE:///docs/a.parquet", "file", "/docs/a.parquet"),
    ],
)
def test_a_path_below_a_root_or_on_the_local_disk(text: str, scheme: str, path: str) -> None:
    address = parse_path(text)
    assert (address.scheme, address.path, address.is_folder) == (scheme, path, False)


@pytest.mark.parametrize(
    ("text", "bucket", "key", "region"),
    [
        ("s3://docs/2024/a.parquet", "docs", "2024/a.parquet", ""),
        ("s3a://docs/a%20b.parquet", "docs", "a%20b.parquet", ""),
        ("https://s3.us-west-2.amazonaws.com/docs/a%20b.parquet", "docs", "a b.parquet", "us-west-2"),
        ("https://s3.amazonaws.com/docs/a.parquet", "docs", "a.parquet", ""),
        ("https://docs.s3.eu-central-1.amazonaws.com/x/a.parquet", "docs", "x/a.parquet", "eu-central-1"),
        ("https://my.docs.s3-us-west-2.amazonaws.com/a.parquet", "my.docs", "a.parquet", "us-west-2"),
        ("https://docs.s3.cn-north-1.amazonaws.com.cn/a.parquet", "docs", "a.parquet", "cn-north-1"),
    ],
)
def test_the_ways_to_write_an_object_of_s3(text: str, bucket: str, key: str, region: str) -> None:
    address = parse_path(text)
    assert (address.scheme, address.bucket, address.path, address.region) == ("s3", bucket, key, region)


@pytest.mark.parametrize(
    ("text", "scheme", "bucket", "key", "account"),
    [
        ("gs://docs/x/a b.parquet", "gs", "docs", "x/a b.parquet", ""),
        ("gcs://docs/a.parquet", "gs", "docs", "a.parquet", ""),
        ("https://storage.googleapis.com/docs/x/a%20b.parquet", "gs", "docs", "x/a b.parquet", ""),
        ("https://storage.cloud.google.com/docs/a.parquet", "gs", "docs", "a.parquet", ""),
        ("https://docs.storage.googleapis.com/a.parquet", "gs", "docs", "a.parquet", ""),
        ("az://docs/x/a.parquet", "az", "docs", "x/a.parquet", ""),
        ("azure://docs/a.parquet", "az", "docs", "a.parquet", ""),
        ("https://mine1.blob.core.windows.net/docs/x/a%20b.parquet", "az", "docs", "x/a b.parquet", "mine1"),
        ("abfss://docs@mine1.dfs.core.windows.net/a.parquet", "az", "docs", "a.parquet", "mine1"),
        ("wasbs://docs@mine1.blob.core.windows.net/a.parquet", "az", "docs", "a.parquet", "mine1"),
    ],
)
def test_the_ways_to_write_an_object_elsewhere(text: str, scheme: str, bucket: str, key: str, account: str) -> None:
    address = parse_path(text)
    assert (address.scheme, address.bucket, address.path, address.account) == (scheme, bucket, key, account)


@pytest.mark.parametrize(
    ("text", "scheme", "host", "path"),
    [
        ("https://data.example.org/vectors/a.parquet", "https", "data.example.org", "vectors/a.parquet"),
        (
            "HTTPS://Data.Example.org:443/vectors/A b%20c.parquet",
            "https",
            "data.example.org",
            "vectors/A%20b%20c.parquet",
        ),
        ("http://127.0.0.1:8080/a.parquet", "http", "127.0.0.1:8080", "a.parquet"),
        ("https://[::1]/a.parquet", "https", "[::1]", "a.parquet"),
        # Only look like a store.
        (
            "https://s3.us-west-2.amazonaws.com.example.com/docs/a",
            "https",
            "s3.us-west-2.amazonaws.com.example.com",
            "docs/a",
        ),
        ("https://s3.amazonaws.com:8080/docs/a", "https", "s3.amazonaws.com:8080", "docs/a"),
    ],
)
def test_files_of_web_servers(text: str, scheme: str, host: str, path: str) -> None:
    address = parse_path(text)
    assert (address.scheme, address.bucket, address.path) == (scheme, host, path)


@pytest.mark.parametrize(
    "text", ["docs/", "/docs/", "file:///docs/", "s3://docs/x/", "s3://docs", "https://docs.s3.amazonaws.com/x/"]
)
def test_a_slash_at_the_end_means_a_folder(text: str) -> None:
    assert parse_path(text).is_folder


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "../a.parquet",
        "docs/../../a.parquet",
        "docs/..",
        "docs\\..\\a.parquet",
        "file:///docs/../etc/passwd",
        "file:///docs/%2e%2e/etc/passwd",
        "file:///docs/.%2E/etc/passwd",
        "file:///docs/%252e%252e/etc/passwd",
        "file:///docs%2f..%2fetc/passwd",
        "%25252525252e%25252525252e/a",
        "s3://docs/../other",
        "https://s3.amazonaws.com/docs/%2e%2e/a",
        "docs/a\0.parquet",
        "file:///docs/a%00.parquet",
        "file://host/docs/a.parquet",
        "file://localhost/docs/a.parquet",
        "s3:///a.parquet",
        "s3://b@d/a.parquet",
        "https://user@s3.amazonaws.com/docs/a.parquet",
        "https://user:password@example.com/a.parquet",
        "https://example.com//a.parquet",
        "https://example.com/x/%2e%2e/a.parquet",
        "https://",
        "abfss://docs@evil.example/a.parquet",
        "s3://docs//a.parquet",
        "s3://docs/./a.parquet",
        "a" * 5000,
    ],
)
def test_forms_that_are_never_opened(text: str) -> None:
    with pytest.raises(PathNotAllowed, match="not allowed"):
        parse_path(text)


@pytest.mark.parametrize(
    "text",
    [
        "ftp://docs/a.parquet",
        "hdfs://docs/a.parquet",
        "https://docs.s3.amazonaws.com/a.parquet?X-Amz-Signature=abc",
        "https://example.com/a.parquet?sig=abc",
        "javascript://docs/a",
    ],
)
def test_schemes_that_cannot_be_read_say_what_can(text: str) -> None:
    with pytest.raises(Unsupported, match="s3://bucket/key"):
        parse_path(text)


def test_a_path_that_is_not_unicode() -> None:
    with pytest.raises(PathNotAllowed, match=r"docs/\\+udce9.*not Unicode") as raised:
        parse_path("docs/\udce9.parquet")
    assert raised.value.message.isascii()
