"""Check that the import roots can be read."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.errors import PenstockError
from penstock.server.doctor.result import CheckResult, fail, ok, warn
from penstock.server.storage_settings import source_stores
from penstock.settings import Settings
from penstock.sources.roots import ImportRoots


def check_roots(settings: Settings) -> Iterator[CheckResult]:
    if not settings.import_root:
        remedy = "Set --import-root as for the server: folders or s3://bucket/prefix"
        yield warn("import root", "none is set, so nothing can be imported", remedy)
        return
    for text in settings.import_root:
        try:
            ImportRoots([text], source_stores(settings)).probe()
        except PenstockError as error:
            message, _, remedy = str(error).partition(". ")
            yield fail("import root", message, remedy or "Make it readable, or remove it from --import-root")
        else:
            yield ok("import root", f"{text} can be read")
