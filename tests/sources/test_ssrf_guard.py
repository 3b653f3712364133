"""Where web sources may lead: never to what only this machine, or its network, can reach."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from penstock.errors import FileUnreadable, InvalidParameter, PathNotAllowed, PenstockError, SourceUnavailable
from penstock.server.storage_settings import source_stores
from penstock.settings import load_settings
from penstock.sources.base import Location
from penstock.sources.opening import open_source
from penstock.sources.roots import ImportRoots
from penstock.sources.ssrf_guard import is_allowed_address, parse_networks
from tests.support.web_server import LOOPBACK, WebServer, web_server


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as server:
        server.files["/a.json"] = b"[1]"
        yield server


def only(network: str) -> dict[str, dict[str, str]]:
    return {"http": {"networks": network}}


def read(location: Location) -> bytes:
    with open_source(location).open_stream() as stream:
        return stream.read()


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.1.2.3", "172.16.0.1", "172.31.255.255"),
        *("192.168.1.1", "169.254.169.254", "169.254.170.2", "100.64.0.1", "100.100.100.200", "192.0.0.192"),
        *("168.63.129.16", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.1.1", "239.1.1.1"),
        *("240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1"),
        *("fd00:ec2::254", "ff02::1", "ff0e::1", "2001:db8::1", "100::1", "64:ff9b:1::a01:203"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "::127.0.0.1", "::10.1.2.3"),
        *("2002:7f00:1::", "2002:a9fe:a9fe::1", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe"),
        "2001:0:4136:e378:8000:63bf:80ff:fffe",  # Teredo of 127.0.0.1
    ],
)
def test_addresses_that_are_not_the_internets(address: str) -> None:
    assert not is_allowed_address(address)
    assert is_allowed_address(address, parse_networks(["0.0.0.0/0", "::/0"]))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "104.18.0.1", "2606:4700::6810:1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]
)
def test_addresses_of_the_internet(address: str) -> None:
    assert is_allowed_address(address)


def test_networks_that_may_be_reached_as_well() -> None:
    networks = parse_networks(["10.1.0.0/16", "fd00:1::/32", "192.168.7.7"])
    for address in ("10.1.2.3", "fd00:1::5", "192.168.7.7", "::ffff:10.1.2.3", "64:ff9b::a01:203"):
        assert is_allowed_address(address, networks)
    for address in ("10.2.0.1", "fd00:2::5", "192.168.7.8", "127.0.0.1", "169.254.169.254", "::ffff:10.2.0.1"):
        assert not is_allowed_address(address, networks)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "LOCALHOST", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1"),
        *("017700000001", "0177.0.0.1", "0.0.0.0", "0", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]"),
    ],
)
def test_however_it_is_written_this_machine_is_not_reached(web: WebServer, host: str) -> None:
    """Were the address not looked at, all of them but the IPv6 ones would find the server."""
    url = f"http://{host}:{urlsplit(web.url).port}/"
    with pytest.raises(PathNotAllowed, match=r"has no public address.*--allow-private-networks"):
        ImportRoots([url]).locate(f"{url}a.json")
    assert web.asked == []


def test_a_redirect_into_a_network_that_is_closed(web: WebServer) -> None:
    with web_server(address="127.0.0.2") as open_one:
        open_one.redirects["/a.json"] = f"{web.url}/a.json"
        roots = ImportRoots([f"{open_one.url}/", f"{web.url}/"], only("127.0.0.2"))
        with pytest.raises(PathNotAllowed, match=r"the host 127\.0\.0\.1 has no public address"):
            roots.locate(f"{open_one.url}/a.json")
        assert (len(open_one.asked), web.asked) == (1, [])


class Rebinding:
    """A name service that gives another answer each time it is asked for ``rebound.example``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0
        self._look_up = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self)

    def __call__(self, host: Any, *arguments: Any, **options: Any) -> list[Any]:
        if host != "rebound.example":
            return list(self._look_up(host, *arguments, **options))
        self.asked += 1
        now = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        return [each for address in now for each in self._look_up(address, *arguments, **options)]


def test_the_address_that_was_judged_is_the_one_that_is_connected_to(
    web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Rebinding(monkeypatch, ["127.0.0.2"], ["127.0.0.1"])
    with web_server(address="127.0.0.2") as open_one:
        open_one.files["/a.json"] = b"[2]"
        url = f"http://rebound.example:{urlsplit(open_one.url).port}/"
        [found] = ImportRoots([url], only("127.0.0.2")).locate("a.json")
        assert (names.asked, len(open_one.asked)) == (1, 1)
    with pytest.raises(PathNotAllowed, match=r"the host rebound\.example has no public address"):
        read(found)
    assert web.asked == []


def test_of_several_addresses_only_the_open_ones_are_tried(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    port = urlsplit(web.url).port
    url = f"http://rebound.example:{port}/"
    Rebinding(monkeypatch, ["127.0.0.1", "127.0.0.3"])
    with pytest.raises(SourceUnavailable, match="cannot be reached"):  # nothing listens at 127.0.0.3
        ImportRoots([url], only("127.0.0.3")).locate("a.json")
    assert web.asked == []
    Rebinding(monkeypatch, ["10.0.0.1", "127.0.0.3", "127.0.0.1"])
    [found] = ImportRoots([url], only("127.0.0.0/8")).locate("a.json")
    assert found.size == 3


def test_proxies_of_the_environment_are_not_asked(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with web_server() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert ImportRoots([f"{web.url}/"], LOOPBACK).locate("a.json")
        with pytest.raises(PathNotAllowed, match="has no public address"):
            ImportRoots([f"{web.url}/"]).locate("a.json")
        assert proxy.asked == []


def test_cookies_of_one_callers_import_are_not_sent_with_anothers(web: WebServer) -> None:
    web.cookie = "session=callers; Path=/"
    roots = ImportRoots([f"{web.url}/"], LOOPBACK)
    for token in ("one", "other"):
        roots.locate("a.json", token=token)
    assert (len(web.asked), web.cookies) == (2, [])


def test_a_server_that_sends_more_than_was_asked_for_is_not_read_to_its_end(web: WebServer) -> None:
    [found] = ImportRoots([f"{web.url}/"], LOOPBACK).locate("a.json")
    web.surplus = 50_000_000
    with pytest.raises(FileUnreadable, match="has changed while it was imported"):
        read(found)


def test_the_setting() -> None:
    settings = load_settings({"allow_private_networks": ("10.1.0.0/16", "fd00::/8")}, environment={})
    for scheme in ("http", "https"):
        assert source_stores(settings)[scheme] == {"networks": "10.1.0.0/16,fd00::/8"}
    with pytest.raises(InvalidParameter, match="allow_private_networks"):
        load_settings({"allow_private_networks": ("10.1.0.1/16",)}, environment={})


@pytest.mark.parametrize(
    "path",
    [
        *("s3://user@169.254.169.254/b/k", "s3://169.254.169.254:80/k", "s3://[::1]/k", "s3://a%2eb/k"),
        *("az://box@169.254.169.254/k", "az://box@evil.example/k", "abfss://box@mine1.dfs.core.windows.net.evil/k"),
        *("https://mine1.blob.core.windows.net.evil/box/k", "https://evil.example/mine1.blob.core.windows.net/k"),
        *(
            "https://s3.eu-central-1.amazonaws.com.evil/b/k",
            "https://b.s3.evil.example/k",
            "http://169.254.169.254/k",
        ),
        *("https://storage.googleapis.com.evil/b/k", "https://x@storage.googleapis.com/b/k"),
    ],
)
def test_a_caller_names_buckets_never_the_host_of_a_store(path: str) -> None:
    """Endpoints of object stores are the server's settings, or Amazon's, Google's and Azure's own."""
    with pytest.raises(PathNotAllowed):
        ImportRoots(["s3://", "gs://", "az://"]).check(path, has_keys=True)


@pytest.mark.parametrize("keys", [("evil.example/x", "k", ""), ("a.b", "", "sig=x"), ("169.254.169.254", "k", "")])
def test_nor_does_the_name_of_an_account(keys: tuple[str, str, str]) -> None:
    with pytest.raises(FileUnreadable, match="not the name of an Azure storage account"):
        ImportRoots(["az://"]).locate("az://box/a.json", *keys)


def test_half_a_pair_of_keys_does_not_borrow_the_machines_own_account() -> None:
    with pytest.raises(PenstockError, match="accessKey without secretKey"):
        ImportRoots(["gs://"]).locate("gs://bucket/a.json", access_key="mine")
