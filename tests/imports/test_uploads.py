"""Uploads whose files were lost."""

from __future__ import annotations

import hashlib
from pathlib import Path

from penstock.domain.access import ANONYMOUS
from penstock.imports.upload_files import UploadFolder
from penstock.imports.uploads import UploadLimits, UploadService, uploads_of
from tests.support.catalogs import CLUSTER, opened_catalog

CONTENT = b'{"id": 1, "vector": [1, 2]}\n'


def test_a_file_that_was_lost_is_uploaded_again(tmp_path: Path) -> None:
    with opened_catalog(tmp_path) as catalog:
        folder = UploadFolder(tmp_path / "uploads")
        service = UploadService(catalog, folder, UploadLimits(size=1000, org_bytes=1000, age=1000.0))
        cluster = catalog.clusters.get(CLUSTER)

        def upload() -> tuple[str, bool, int]:
            """Upload the file as clients do; its path, and whether the server had it."""
            made, offset = service.create(
                ANONYMOUS,
                cluster,
                "default",
                name="a.jsonl",
                size=len(CONTENT),
                sha256=hashlib.sha256(CONTENT).hexdigest(),
            )
            if not made.is_complete:
                writer = service.open(ANONYMOUS, cluster, "default", made.id, offset=offset, length=None)
                writer.write(CONTENT[offset:])
                service.finish(writer)
                service.close(writer)
            return made.path, made.is_complete, offset

        path, *new = upload()
        assert new == [False, 0]
        assert upload() == (path, True, len(CONTENT))
        for file in folder.folder.iterdir():
            file.unlink()
        assert upload() == (path, False, 0)
        (upload_id,) = uploads_of(catalog, cluster.org_id, [[path]])
        assert folder.path(upload_id).read_bytes() == CONTENT
