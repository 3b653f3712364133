"""Import roots on web servers: what is opened, where redirects may lead, and how failures read."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.errors import FileMissing, FileUnreadable, PathNotAllowed, SourceUnavailable, Unsupported
from penstock.sources import min_throughput
from penstock.sources.base import Location
from penstock.sources.opening import open_source
from penstock.sources.roots import ImportRoots
from tests.support.certificates import self_signed
from tests.support.web_server import LOOPBACK, WebServer, basic, web_server


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as server:
        yield server


@pytest.fixture
def other() -> Iterator[WebServer]:
    with web_server() as server:
        yield server


def content(location: Location) -> bytes:
    with open_source(location).open_stream() as stream:
        return stream.read()


def test_a_file_below_a_root_by_its_address_or_its_name(web: WebServer) -> None:
    web.files["/vectors/a%20b.json"] = b"[1]"
    roots = ImportRoots([f"{web.url}/vectors/"], LOOPBACK)
    for path in (f"{web.url}/vectors/a%20b.json", f"{web.url}/vectors/a b.json", "a b.json", "/a b.json"):
        roots.check(path, has_keys=False)
        [found] = roots.locate(path)
        assert (found.name, found.uri, found.size) == (path, f"{web.url}/vectors/a%20b.json", 3)
        assert found.version.startswith('"')
        assert content(found) == b"[1]"
        assert content(roots.restore(found.to_json())) == b"[1]"


def test_what_lies_outside_of_the_roots(web: WebServer) -> None:
    roots = ImportRoots([f"{web.url}/vectors/"], LOOPBACK)
    for path in (f"{web.url}/vectors-2/a.json", f"{web.url}/a.json", "https://example.com/vectors/a.json"):
        with pytest.raises(PathNotAllowed, match="outside the import roots"):
            roots.check(path, has_keys=True)
        with pytest.raises(PathNotAllowed, match="outside the import roots"):
            roots.locate(path)
    with pytest.raises(PathNotAllowed, match="not allowed"):
        roots.check(f"{web.url}/vectors/%2e%2e/a.json", has_keys=False)
    assert web.asked == []


def test_the_scheme_and_the_port_belong_to_a_root() -> None:
    roots = ImportRoots(["https://example.com/vectors/"], LOOPBACK)
    roots.check("https://example.com:443/vectors/a.json", has_keys=False)
    for path in ("http://example.com/vectors/a.json", "https://example.com:8443/vectors/a.json"):
        with pytest.raises(PathNotAllowed):
            roots.check(path, has_keys=False)


def test_folders_cannot_be_listed(web: WebServer, tmp_path: Path) -> None:
    roots = ImportRoots([f"{web.url}/vectors/"], LOOPBACK)
    with pytest.raises(Unsupported, match="is a folder of a web server, which cannot be listed"):
        roots.check(f"{web.url}/vectors/set/", has_keys=False)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.json").write_bytes(b"[1]")
    both = ImportRoots([f"{web.url}/vectors/", str(tmp_path)], LOOPBACK)
    assert [each.name for each in both.locate("set/")] == ["set/a.json"]


def test_redirects_are_followed_below_the_roots_only(web: WebServer, other: WebServer) -> None:
    other.files["/data/a.json"] = b"[1]"
    web.redirects["/vectors/here.json"] = f"{other.url}/data/a.json"
    web.redirects["/vectors/round.json"] = "/vectors/round.json"
    web.redirects["/vectors/inside.json"] = "here.json"
    web.redirects["/vectors/metadata.json"] = "http://169.254.169.254/latest/meta-data/"
    only_one = ImportRoots([f"{web.url}/vectors/"], LOOPBACK)
    for name in ("here.json", "inside.json"):
        with pytest.raises(PathNotAllowed, match=r"redirects to http://127\.0\.0\.1/data/a\.json, which is outside"):
            only_one.locate(name)
    with pytest.raises(PathNotAllowed, match=r"169\.254\.169\.254"):
        only_one.locate("metadata.json")
    with pytest.raises(FileUnreadable, match="redirects more than 5 times"):
        only_one.locate("round.json")
    assert other.asked == []
    both = ImportRoots([f"{web.url}/vectors/", f"{other.url}/data/"], LOOPBACK)
    for name in ("here.json", "inside.json"):
        [found] = both.locate(name, token="callers-token")
        assert content(found) == b"[1]"
    assert {given for _, _, given in web.asked[-2:]} == {"Bearer callers-token"}
    assert {given for _, _, given in other.asked} == {""}, "keys stay with the server that they are for"
    # A root that was taken away meanwhile closes the way for jobs that were planned before.
    [found] = both.locate("here.json")
    with pytest.raises(PathNotAllowed):
        content(only_one.restore(found.to_json()))


def test_redirects_within_the_roots_of_a_key(web: WebServer, other: WebServer) -> None:
    web.files["/acme/a.json"] = web.files["/globex/a.json"] = other.files["/acme/a.json"] = b"[1]"
    web.redirects["/acme/same.json"] = "a.json"
    web.redirects["/acme/up.json"] = "/globex/a.json"
    web.redirects["/acme/dots.json"] = "../globex/a.json"
    web.redirects["/acme/away.json"] = f"{other.url}/acme/a.json"
    server = ImportRoots([f"{web.url}/", f"{other.url}/"], LOOPBACK)
    mine = server.within([[f"{web.url}/acme/"]])
    assert content(mine.locate(f"{web.url}/acme/same.json")[0]) == b"[1]"
    for name in ("up", "dots", "away"):
        assert server.locate(f"{web.url}/acme/{name}.json")
        with pytest.raises(PathNotAllowed, match=r"redirects to .*, which is outside the import roots"):
            mine.locate(f"{web.url}/acme/{name}.json")
    relative = server.within([["acme"]])
    assert relative.locate(f"{web.url}/acme/away.json"), "acme of either server"
    with pytest.raises(PathNotAllowed):
        relative.locate(f"{web.url}/acme/up.json")


def test_the_callers_keys(web: WebServer) -> None:
    web.files["/a.json"] = b"[1]"
    roots = ImportRoots([f"{web.url}/"], LOOPBACK)
    for authorization, keys in (
        (basic("user", "password"), {"access_key": "user", "secret_key": "password"}),
        ("Bearer the-token", {"token": "the-token"}),
    ):
        web.authorization = authorization
        [found] = roots.locate("a.json", **keys)
        assert content(found) == b"[1]"
        assert "password" not in repr(found) + str(found.to_json())
        with pytest.raises(FileUnreadable, match="access denied"):
            roots.locate("a.json")


def test_keys_of_the_users_netrc_are_not_sent(
    web: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    web.files["/a.json"] = b"[1]"
    assert content(ImportRoots([f"{web.url}/"], LOOPBACK).locate("a.json")[0]) == b"[1]"
    assert {given for _, _, given in web.asked} == {""}


def test_a_large_file_reads_in_any_order(web: WebServer) -> None:
    data = random.Random(1).randbytes(5_000_000)
    web.files["/big.bin"] = data
    [found] = ImportRoots([f"{web.url}/"], LOOPBACK).locate("big.bin")
    source = open_source(found)
    assert (source.size, source.local_path()) == (len(data), None)
    with source.open_stream(12_345, 2_000_000) as stream:
        assert stream.read() == data[12_345:2_000_000]
    with source.open_arrow() as file:
        for place in (len(data) - 100, 0, 1_000_000):
            file.seek(place)
            assert file.read(500_000) == data[place : place + 500_000]


def test_a_server_without_ranges_is_read_from_the_beginning(web: WebServer) -> None:
    web.ranges = False
    data = random.Random(1).randbytes(3_000_000)
    web.files["/a.jsonl"] = data
    roots = ImportRoots([f"{web.url}/"], LOOPBACK)
    [found] = roots.locate("a.jsonl")
    assert (found.size, found.whole) == (len(data), True)
    for location in (found, roots.restore(found.to_json())):
        assert content(location) == data
        with open_source(location).open_stream(1_234_567, 2_000_000) as stream:
            assert stream.read() == data[1_234_567:2_000_000]
    with (
        pytest.raises(FileUnreadable, match="does not support range requests"),
        open_source(found).open_arrow() as file,
    ):
        file.read(10)
    web.files["/a.jsonl"] = data[:-1]
    with pytest.raises(FileUnreadable, match="has changed while it was imported"):
        content(found)


def test_a_part_of_a_file_of_unknown_size_is_not_taken_for_the_file(web: WebServer) -> None:
    web.files["/a.csv"] = b"id,text\n1,a\n"
    web.knows_sizes = False
    with pytest.raises(FileUnreadable, match="does not report its size"):
        ImportRoots([f"{web.url}/"], LOOPBACK).locate("a.csv")


def test_an_empty_file(web: WebServer) -> None:
    web.files["/empty.json"] = b""
    [found] = ImportRoots([f"{web.url}/"], LOOPBACK).locate("empty.json")
    assert (found.size, content(found)) == (0, b"")


def test_failures(web: WebServer) -> None:
    web.files["/a.json"] = b"[1, 2]"
    roots = ImportRoots([f"{web.url}/"], LOOPBACK)
    with pytest.raises(FileMissing, match=f"Looked in: {web.url}/b.json"):
        roots.locate("b.json")
    [found] = roots.locate("a.json")
    web.failures = [503, 429, 500]
    assert content(found) == b"[1, 2]", "a hiccup is ridden out"
    web.failures = [503] * 4
    with pytest.raises(SourceUnavailable, match="status 503"):
        content(found)
    web.files["/a.json"] = b"[3, 4]"
    with pytest.raises(FileUnreadable, match="has changed while it was imported"):
        content(found)
    with pytest.raises(SourceUnavailable, match="cannot be reached"):
        ImportRoots(["http://127.0.0.1:1/"], LOOPBACK).locate("a.json")


def test_https_with_a_certificate_that_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = self_signed(tmp_path)
    with web_server(certificate) as web:
        web.files["/a.json"] = b"[1]"
        roots = ImportRoots([f"{web.url}/"], LOOPBACK)
        with pytest.raises(FileUnreadable, match=r"is not trusted\..*REQUESTS_CA_BUNDLE"):
            roots.locate("a.json")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
        assert content(roots.locate("a.json")[0]) == b"[1]"


@pytest.mark.parametrize("drips", ["head", "body"])
@pytest.mark.parametrize("ranges", [True, False])
def test_a_server_that_sends_a_byte_now_and_then_is_not_waited_for(
    web: WebServer, monkeypatch: pytest.MonkeyPatch, drips: str, ranges: bool
) -> None:
    """Else one web server could hold the workers of all who import for days."""
    monkeypatch.setattr(min_throughput, "GRACE_SECONDS", 0.2)
    web.files["/a.json"] = b"[1]" * 10_000
    web.ranges = ranges
    roots = ImportRoots([f"{web.url}/"], LOOPBACK)
    [found] = roots.locate("a.json")
    web.drips = drips
    with pytest.raises(FileUnreadable, match=r"a\.json.*sends fewer than 64 KiB a second"):
        content(found)
    if drips == "head":
        with pytest.raises(FileUnreadable, match="sends fewer than"):
            roots.locate("a.json")


def test_a_reader_may_take_its_time(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the time counts for which the server is waited for."""
    monkeypatch.setattr(min_throughput, "GRACE_SECONDS", 0.2)
    web.files["/a.json"] = b"[1]" * 1_000_000
    web.ranges = False
    [found] = ImportRoots([f"{web.url}/"], LOOPBACK).locate("a.json")
    with open_source(found).open_stream() as stream:
        for _ in range(3):
            assert len(stream.read(1000)) == 1000
            time.sleep(0.2)
        assert len(stream.read()) == 3_000_000 - 3000
