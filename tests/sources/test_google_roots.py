"""Import roots in Google Cloud Storage, whose XML protocol is that of S3: moto's server stands in for it.

It checks no keys; what is sent as a key is seen by asking which client was made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from obstore.store import GCSStore, S3Store

from penstock.errors import FileMissing, FileUnreadable, PathNotAllowed
from penstock.sources.base import Location
from penstock.sources.object_store_clients import connect
from penstock.sources.opening import open_source
from penstock.sources.roots import ImportRoots
from tests.support.faulty_store import Faults, faulty_store
from tests.support.s3 import S3Server


@pytest.fixture
def google(s3: S3Server) -> Iterator[Mapping[str, Mapping[str, str]]]:
    with faulty_store(s3.endpoint, Faults(plain_paths=True), seed=1) as proxy:
        yield {"gs": {"endpoint": proxy.url, "token": "the-servers-token"}}


def content(location: Location) -> bytes:
    with open_source(location).open_stream() as stream:
        return stream.read()


def test_objects_and_folders_below_a_root(s3: S3Server, google: Mapping[str, Mapping[str, str]]) -> None:
    bucket = s3.make_bucket()
    for key in ("in/docs/a b.json", "in/docs/c.json", "out.json"):
        s3.put(bucket, key, b"[1]")
    roots = ImportRoots([f"gs://{bucket}/in"], google)
    for path in (
        f"gs://{bucket}/in/docs/a b.json",
        f"https://storage.googleapis.com/{bucket}/in/docs/a%20b.json",
        "docs/a b.json",
    ):
        [found] = roots.locate(path)
        assert (found.uri, found.size) == (f"gs://{bucket}/in/docs/a b.json", 3)
        assert content(found) == b"[1]"
        assert content(roots.restore(found.to_json())) == b"[1]"
    assert [each.name for each in roots.locate("docs/")] == ["docs/a b.json", "docs/c.json"]
    with pytest.raises(PathNotAllowed):
        roots.check(f"gs://{bucket}/out.json", has_keys=True)
    with pytest.raises(PathNotAllowed):
        roots.check(f"s3://{bucket}/in/docs/c.json", has_keys=True)
    with pytest.raises(FileMissing):
        roots.locate("docs/d.json")
    roots.probe()


def test_an_object_that_was_overwritten(s3: S3Server, google: Mapping[str, Mapping[str, str]]) -> None:
    bucket = s3.make_bucket()
    s3.put(bucket, "a.json", b"[1]")
    [found] = ImportRoots([f"gs://{bucket}"], google).locate("a.json")
    s3.put(bucket, "a.json", b"[2]")
    with pytest.raises(FileUnreadable, match="has changed while it was imported"):
        content(found)


def test_the_callers_keys_are_hmac_keys_or_a_token(s3: S3Server, google: Mapping[str, Mapping[str, str]]) -> None:
    bucket = s3.make_bucket()
    s3.put(bucket, "a.json", b"[1]")
    roots = ImportRoots(["gs://"], google)
    with pytest.raises(PathNotAllowed, match="only with the caller's own credentials"):
        roots.check(f"gs://{bucket}/a.json", has_keys=False)
    for keys, kind in (({"access_key": "GOOG1", "secret_key": "hush"}, S3Store), ({"token": "ya29.hush"}, GCSStore)):
        [found] = roots.locate(f"gs://{bucket}/a.json", **keys)
        assert content(found) == b"[1]"
        assert isinstance(connect("gs", bucket, found.credentials), kind)
        assert "the-servers-token" not in str(found.credentials)
        assert "hush" not in repr(found)


def test_what_anybody_may_read_needs_no_keys(s3: S3Server, google: Mapping[str, Mapping[str, str]]) -> None:
    bucket = s3.make_bucket()
    s3.put(bucket, "a.json", b"[1]", public=True)
    s3.put(bucket, "b.json", b"[1]")
    roots = ImportRoots([f"gs://{bucket}"], {"gs": {"endpoint": google["gs"]["endpoint"], "anonymous": "true"}})
    assert content(roots.locate("a.json")[0]) == b"[1]"
    with pytest.raises(FileUnreadable, match="access denied"):
        roots.locate("b.json")
