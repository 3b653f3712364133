"""Import roots in object stores, on a real S3 server: whose keys open what, and how failures read."""

from __future__ import annotations

import pickle
import random

import pytest

from penstock.errors import FileMissing, FileUnreadable, PathNotAllowed, SourceUnavailable
from penstock.sources.base import Location
from penstock.sources.credentials import settings_from_environment
from penstock.sources.opening import open_source
from penstock.sources.roots import ImportRoots
from tests.support.s3 import S3Server, s3_server

OWN = {"access_key": "own-key", "secret_key": "own-secret"}


def content(location: Location) -> bytes:
    with open_source(location).open_stream() as stream:
        return stream.read()


def test_an_object_in_a_root_with_the_servers_keys_or_the_callers(s3: S3Server) -> None:
    bucket = s3.make_bucket()
    s3.put(bucket, "in/docs/a b.json", b"[1]")
    roots = ImportRoots([f"s3://{bucket}/in"], s3.stores)
    for path in ("docs/a b.json", "/docs/a b.json", f"s3://{bucket}/in/docs/a b.json"):
        roots.check(path, has_keys=False)
        for keys in ({}, OWN):
            [found] = roots.locate(path, **keys)
            assert (found.name, found.uri, found.size) == (path, f"s3://{bucket}/in/docs/a b.json", 3)
            assert found.credentials["access_key_id"] == ("own-key" if keys else "server-key")
            assert content(found) == b"[1]"


def test_the_addresses_of_amazon_mean_the_same_object(s3: S3Server) -> None:
    bucket = s3.make_bucket()
    s3.put(bucket, "a.json", b"[1]")
    roots = ImportRoots([f"s3://{bucket}"], s3.stores)
    for path in (
        f"https://s3.us-east-1.amazonaws.com/{bucket}/a.json",
        f"https://{bucket}.s3.us-east-1.amazonaws.com/a.json",
    ):
        assert [content(each) for each in roots.locate(path)] == [b"[1]"]


def test_what_lies_outside_of_the_roots(s3: S3Server) -> None:
    bucket = s3.make_bucket()
    only_one = ImportRoots([f"s3://{bucket}/in"], s3.stores)
    for path in (f"s3://{bucket}/into/a.json", f"s3://{bucket}/a.json", "s3://other/in/a.json", "file:///a.json"):
        with pytest.raises(PathNotAllowed, match=f"import roots \\(s3://{bucket}/in\\)"):
            only_one.check(path, has_keys=True)


def test_any_bucket_opens_only_with_the_callers_own_keys(s3: S3Server) -> None:
    bucket = s3.make_bucket()
    path = s3.put(bucket, "a.json", b"[1]")
    roots = ImportRoots(["s3://"], s3.stores)
    with pytest.raises(
        PathNotAllowed, match=r"only with the caller's own credentials\. Pass accessKey and secretKey"
    ):
        roots.check(path, has_keys=False)
    with pytest.raises(PathNotAllowed):
        roots.locate(path)
    roots.check(path, has_keys=True)
    [found] = roots.locate(path, **OWN)
    assert found.credentials["secret_access_key"] == "own-secret"
    assert content(found) == b"[1]"
    with pytest.raises(PathNotAllowed, match=r"outside the import roots \(s3://\)"):
        roots.check("a.json", has_keys=True)


def test_the_environment_is_not_mixed_into_the_callers_keys(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "the server's token")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    assert settings_from_environment({"AWS_ENDPOINT_URL": s3.endpoint, "AWS_SESSION_TOKEN": "t", "HOME": "/"}) == {
        "endpoint": s3.endpoint,
        "session_token": "t",
    }
    bucket = s3.make_bucket()
    path = s3.put(bucket, "a.json", b"[1]")
    roots = ImportRoots(["s3://"], {"s3": s3.settings | {"session_token": "the server's token"}})
    [found] = roots.locate(path, **OWN)
    assert "session_token" not in found.credentials
    [found] = roots.locate(path, **OWN, token="own-token")
    assert found.credentials["session_token"] == "own-token"


def test_what_anybody_may_read_needs_no_keys(s3: S3Server) -> None:
    bucket = s3.make_bucket()
    s3.put(bucket, "a.json", b"[1]", public=True)
    s3.put(bucket, "b.json", b"[1]")
    nobody = {"s3": {"endpoint": s3.endpoint, "region": "us-east-1", "anonymous": "true"}}
    roots = ImportRoots([f"s3://{bucket}"], nobody)
    assert content(roots.locate("a.json")[0]) == b"[1]"
    with pytest.raises(FileUnreadable, match="access denied"):
        roots.locate("b.json")
    [found] = roots.locate("b.json", **OWN)
    assert content(found) == b"[1]"


def test_the_bucket_in_the_host_name(s3: S3Server) -> None:
    """The bucket ``127`` at ``0.0.1`` is the host 127.0.0.1, where the path is all that is left of the address."""
    bucket = s3.make_bucket()
    s3.put(bucket, "a.json", b"[1]")
    hosts = s3.settings | {"endpoint": s3.endpoint.replace("127.", ""), "addressing": "virtual"}
    [found] = ImportRoots(["s3://127"], {"s3": hosts}).locate(f"{bucket}/a.json")
    assert (found.uri, content(found)) == (f"s3://127/{bucket}/a.json", b"[1]")


def test_an_object_that_was_overwritten_with_one_of_the_same_size(s3: S3Server) -> None:
    bucket = s3.make_bucket()
    s3.put(bucket, "a.json", b"[1]")
    roots = ImportRoots([f"s3://{bucket}"], s3.stores)
    located = roots.locate("a.json") + roots.locate(f"s3://{bucket}/")
    s3.put(bucket, "a.json", b"[2]")
    for each in located:
        with pytest.raises(FileUnreadable, match="has changed while it was imported"):
            content(each)


def test_secrets_are_never_shown(s3: S3Server) -> None:
    bucket = s3.make_bucket()
    path = s3.put(bucket, "a.json", b"[1]")
    [found] = ImportRoots(["s3://"], s3.stores).locate(path, **OWN)
    for text in (repr(found), str(found), str(found.to_json()), repr(open_source(found))):
        assert "own-secret" not in text
        assert "own-key" not in text
    assert pickle.loads(pickle.dumps(found)).credentials["secret_access_key"] == "own-secret"


def test_a_miss_names_bucket_and_key_of_every_place(s3: S3Server, tmp_path: object) -> None:
    bucket = s3.make_bucket()
    roots = ImportRoots([str(tmp_path), f"s3://{bucket}/in", "s3://no-such-bucket"], s3.stores)
    looked = f"Looked in: {tmp_path}/x.json, s3://{bucket}/in/x.json, s3://no-such-bucket/x.json"
    with pytest.raises(FileMissing, match=looked):
        roots.locate("x.json")
    with pytest.raises(FileMissing, match=f"s3://{bucket}/in/x/, s3://no-such-bucket/x/$"):
        roots.locate("x/")


def test_a_prefix_gives_its_objects_by_name(s3: S3Server) -> None:
    bucket = s3.make_bucket()
    s3.put(bucket, "set", b"not in the folder")
    s3.put(bucket, "set-2/a.json", b"not in the folder")
    for key in ("set/", "set/v1.2/", "set/_SUCCESS", "set/b.json"):
        s3.put(bucket, key, b"")
    for key in ("set/a.json", "set/v1.2/c.json", "set/.hidden/d.json", "set/.e.json"):
        s3.put(bucket, key, b"[1]")
    found = ImportRoots([f"s3://{bucket}"], s3.stores).locate("set/")
    assert [(each.name, each.size) for each in found] == [
        ("set/a.json", 3),
        ("set/b.json", 0),
        ("set/v1.2/c.json", 3),
    ]
    assert content(found[0]) == b"[1]"
    whole = ImportRoots([f"s3://{bucket}"], s3.stores).locate(f"s3://{bucket}/set/")
    assert [each.name for each in whole] == [f"s3://{bucket}/{each.name}" for each in found]


def test_a_key_that_cannot_be_named_is_told(s3: S3Server) -> None:
    bucket = s3.make_bucket()
    s3.put(bucket, "set/a//b.json", b"[1]")
    with pytest.raises(PathNotAllowed, match="Copy the objects to plain keys"):
        ImportRoots([f"s3://{bucket}"], s3.stores).locate("set/")


def test_access_denied_names_the_object_and_no_secret() -> None:
    with s3_server(open_calls=2) as strict:
        path = strict.put(strict.make_bucket("closed"), "a.json", b"[1]")
        roots = ImportRoots(["s3://"], strict.stores)
        for wanted in (path, "s3://closed/"):
            with pytest.raises(FileUnreadable, match=r"s3://closed/.*access denied. Check the credentials") as raised:
                roots.locate(wanted, **OWN)
            assert "own-" not in str(raised.value)
            assert raised.value.__cause__ is None
            assert raised.value.__suppress_context__


def test_a_store_that_is_down_is_worth_another_try(s3: S3Server) -> None:
    bucket = s3.make_bucket()
    path = s3.put(bucket, "a.json", b"[1]")
    [found] = ImportRoots([f"s3://{bucket}"], s3.stores).locate(path)
    gone = Location(uri=found.uri, name=path, size=3, credentials=s3.settings | {"endpoint": "http://127.0.0.1:1"})
    with pytest.raises(SourceUnavailable, match="cannot be reached"):
        content(gone)


def test_an_object_that_vanished_or_shrank(s3: S3Server) -> None:
    bucket = s3.make_bucket()
    path = s3.put(bucket, "a.json", b"[1, 2, 3]")
    [found] = ImportRoots([f"s3://{bucket}"], s3.stores).locate(path)
    s3.put(bucket, "a.json", b"[1]")
    with pytest.raises(FileUnreadable, match="has changed while it was imported"):
        content(found)
    with pytest.raises(FileMissing, match=r"s3://.*does not exist"):
        content(Location(uri=f"s3://{bucket}/b.json", name="b", size=3, credentials=s3.settings))


def test_a_large_object_reads_in_any_order(s3: S3Server) -> None:
    data = random.Random(1).randbytes(30_000_000)
    bucket = s3.make_bucket()
    [found] = ImportRoots([f"s3://{bucket}"], s3.stores).locate(s3.put(bucket, "big.bin", data))
    source = open_source(found)
    assert source.local_path() is None
    assert content(found) == data
    with source.open_stream(12_345, 20_000_000) as stream:
        assert stream.read(10) == data[12_345:12_355]
        assert stream.read() == data[12_355:20_000_000]
    with source.open_arrow() as file:
        assert file.size() == len(data)
        for place in (len(data) - 100, 0, 15_000_000, 1_000_000, 29_000_000):
            file.seek(place)
            assert file.read(2_000_000) == data[place : place + 2_000_000]
        file.seek(5)
        assert file.read(7) == data[5:12]
