"""Uploads whose files were lost."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from penstock.catalog import Catalog
from penstock.domain.access import ANONYMOUS
from penstock.domain.collections import Cluster
from penstock.domain.uploads import Upload
from penstock.errors import ImportRefused, StorageError, StorageFull, UploadCorrupt
from penstock.imports import upload_files
from penstock.imports.upload_files import UploadFolder
from penstock.imports.uploads import UploadLimits, UploadService, uploads_of
from tests.support.catalogs import CLUSTER, opened_catalog

CONTENT = b'{"id": 1, "vector": [1, 2]}\n'


@dataclass
class Uploads:
    """The uploads of a server, of one file."""

    catalog: Catalog
    folder: UploadFolder
    service: UploadService
    cluster: Cluster

    def create(self, name: str = "a.jsonl") -> tuple[Upload, int]:
        sha256 = hashlib.sha256(CONTENT).hexdigest()
        return self.service.create(ANONYMOUS, self.cluster, "default", name=name, size=len(CONTENT), sha256=sha256)

    def send(self, upload: Upload, offset: int, content: bytes) -> None:
        """Send bytes from an offset on, as a client that continues an upload."""
        writer = self.service.open(ANONYMOUS, self.cluster, "default", upload.id, offset=offset, length=len(content))
        try:
            writer.write(content)
            self.service.finish(writer)
        finally:
            self.service.close(writer)

    def get(self, upload: Upload) -> tuple[Upload, int]:
        return self.service.get(ANONYMOUS, self.cluster, "default", upload.id)

    def lose_files(self) -> None:
        for file in self.folder.folder.iterdir():
            file.unlink()


@pytest.fixture
def uploads(tmp_path: Path) -> Iterator[Uploads]:
    with opened_catalog(tmp_path) as catalog:
        folder = UploadFolder(tmp_path / "uploads")
        service = UploadService(catalog, folder, UploadLimits(size=1000, org_bytes=1000, age=1000.0))
        yield Uploads(catalog, folder, service, catalog.clusters.get(CLUSTER))


def test_a_file_that_was_lost_is_uploaded_again(uploads: Uploads) -> None:
    upload, offset = uploads.create()
    assert (upload.is_complete, offset) == (False, 0)
    uploads.send(upload, 0, CONTENT)
    again, offset = uploads.create()
    assert (again.path, again.is_complete, offset) == (upload.path, True, len(CONTENT))
    uploads.lose_files()
    again, offset = uploads.create()
    assert (again.path, again.is_complete, offset) == (upload.path, False, 0)
    uploads.send(again, 0, CONTENT)
    (upload_id,) = uploads_of(uploads.catalog, uploads.cluster.org_id, [[upload.path]])
    assert uploads.folder.path(upload_id).read_bytes() == CONTENT


def test_a_file_that_was_lost_is_verified_however_its_upload_is_continued(uploads: Uploads) -> None:
    upload, _ = uploads.create()
    uploads.send(upload, 0, CONTENT)
    uploads.lose_files()
    # A client that knows the upload neither creates it nor asks for its offset.
    uploads.send(upload, 0, CONTENT[:5])
    found, offset = uploads.get(upload)
    assert (found.is_complete, offset) == (False, 5)
    with pytest.raises(ImportRefused, match="is not complete: continue it"):
        uploads_of(uploads.catalog, uploads.cluster.org_id, [[upload.path]])
    with pytest.raises(UploadCorrupt, match="it was announced as"):
        uploads.send(upload, 5, b"x" * (len(CONTENT) - 5))


def test_a_lost_file_is_seen_by_who_asks_for_its_offset(uploads: Uploads) -> None:
    upload, _ = uploads.create()
    uploads.send(upload, 0, CONTENT)
    uploads.lose_files()
    found, offset = uploads.get(upload)
    assert (found.is_complete, offset) == (False, 0)


def test_an_upload_is_continued_where_the_disk_has_room_for_the_rest_alone(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, _ = uploads.create()
    uploads.send(upload, 0, CONTENT[:20])
    free = upload_files._SPARE_BYTES + len(CONTENT) - 20
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=free, f_frsize=1))
    with pytest.raises(StorageFull, match="lacks 28 bytes"):
        uploads.create("b.jsonl")
    found, offset = uploads.create()
    assert (found.id, offset) == (upload.id, 20)
    uploads.send(found, offset, CONTENT[20:])
    free = 0
    found, offset = uploads.create()
    assert (found.id, offset, found.is_complete) == (upload.id, len(CONTENT), True)


def test_a_folder_that_is_away_is_an_error_of_the_storage(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="the upload cannot be written: Not a directory"):
        UploadFolder(tmp_path / "file" / "uploads").check_space(1)
