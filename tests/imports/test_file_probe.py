"""Looking for files within a create call: whose places don't answer keeps nobody else waiting."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from penstock.errors import FileMissing, SourceUnavailable
from penstock.imports.file_probe import MAX_PROBES_PER_ORG, FileProbe
from penstock.imports.requests import StoreCredentials
from penstock.sources.roots import ImportRoots
from tests.support.web_server import LOOPBACK, WebServer, web_server


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as server:
        server.files["/a.json"] = b"[1]"
        try:
            yield server
        finally:
            server.drips = ""


def test_an_org_whose_places_do_not_answer_keeps_no_other_waiting(web: WebServer, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1]")
    roots, heads, keys = ImportRoots([f"{web.url}/", str(tmp_path)], LOOPBACK), FileProbe(), StoreCredentials()
    slow = [f"{web.url}/a.json"]
    [unit] = heads.probe("org-ann", slow, roots, keys, 60)
    assert unit.name == slow[0]

    web.drips = "head"
    with ThreadPoolExecutor(MAX_PROBES_PER_ORG) as pool:
        calls = [pool.submit(heads.probe, "org-ann", slow, roots, keys, 0.5) for _ in range(MAX_PROBES_PER_ORG)]
        for call in calls:
            with pytest.raises(SourceUnavailable, match=r"the object store did not answer within 0\.5 s"):
                call.result()
    with pytest.raises(SourceUnavailable, match="4 other create calls of your org are waiting for stores"):
        heads.probe("org-ann", [str(tmp_path / "a.json")], roots, keys, 0.1)
    [unit] = heads.probe("org-bob", [str(tmp_path / "a.json")], roots, keys, 60)
    assert unit.locations[0].size == 3

    web.drips = ""
    [unit] = heads.probe("org-ann", slow, roots, keys, 60)
    assert unit.locations[0].size == 3


def test_what_is_wrong_with_a_file_is_the_callers(tmp_path: Path) -> None:
    heads, roots = FileProbe(), ImportRoots([str(tmp_path)])
    for _ in range(MAX_PROBES_PER_ORG + 1):
        with pytest.raises(FileMissing):
            heads.probe("org-ann", ["a.json"], roots, StoreCredentials(), 60)


def test_probes_whose_thread_can_not_start_keep_no_permit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_text("[1]")
    probe, roots = FileProbe(), ImportRoots([str(tmp_path)])

    def no_thread(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr("threading.Thread.start", no_thread)
        for _ in range(MAX_PROBES_PER_ORG + 1):
            with pytest.raises(SourceUnavailable, match="the server has no thread free to look for the files"):
                probe.probe("org-ann", ["a.json"], roots, StoreCredentials(), 1)
    [unit] = probe.probe("org-ann", ["a.json"], roots, StoreCredentials(), 60)
    assert unit.locations[0].size == 3
