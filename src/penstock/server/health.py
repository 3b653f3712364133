"""Check periodically that data dir, catalog, store and import roots exist and have free space.

``/healthz`` reports the result. While a disk is full the server answers reads, refuses writes and defers its
background work. All of that ends with the first check after the cause is gone.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import structlog

from penstock.catalog import Catalog
from penstock.engines.base import MaintainableEngine
from penstock.errors import CatalogFull, CatalogUnavailable, PenstockError, StorageError, StorageFull
from penstock.server.lost_catalog import keep_marks
from penstock.server.process.data_dir import LOCK
from penstock.settings import Settings
from penstock.sources.roots import ImportRoots

log = structlog.get_logger(__name__)

LEAST_FREE = 16 << 20
"""With fewer bytes free a disk counts as full: SQLite, Lance and logs need some to work at all."""

RESERVE = "reserve"
_RESERVE_BYTES = 4 << 20
"""Released to open an SQLite catalog on a full disk, which needs space for its WAL and its shared memory."""

_LOOK_SECONDS = 2.0
_REMOTE_LOOK_SECONDS = 60.0
"""Checks of an object store cost requests."""

_SLOW_SECONDS = 30.0
"""Timeout of a check: a network file system may hang instead of failing."""


def release_reserve(folder: Path) -> bool:
    """Delete the file that reserves space for a start on a full disk; return whether it existed."""
    try:
        (folder / RESERVE).unlink()
    except FileNotFoundError:
        return False
    return True


class Health:
    """Periodic health check. ``engine`` is that on the server's own store.

    ``begin`` starts the background work, at the first check that finds free space.
    """

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        engine: MaintainableEngine,
        roots: ImportRoots,
        begin: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._engine = engine
        self._roots = roots
        self._begin = begin
        self._begun = False
        self._store = settings.data_dir.resolve() / "collections" if settings.storage_url is None else None
        if settings.storage_url is not None and "://" not in settings.storage_url:
            self._store = Path(settings.storage_url)
        self._problem: str | None = None
        self._full: str | None = None
        self._next_remote_look = 0.0
        self._remote_problem: str | None = None
        self._seen_roots: set[str] = set()
        self._looking_since: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="health", daemon=True)

    def start(self) -> None:
        """Check once and begin the background work, in this thread; then check periodically in another."""
        self.look()
        self._begin_if_space_is_free()
        self._thread.start()

    def _begin_if_space_is_free(self) -> None:
        if self._begun or self.is_full:
            return
        try:
            self._begin()
            self._begun = True
        except (CatalogFull, StorageFull) as error:
            self._full = error.message

    def stop(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(_LOOK_SECONDS)
        with suppress(OSError):
            self._keep_reserve()

    def problem(self) -> str | None:
        """The reason why the server can't do all of its work now, or None."""
        since = self._looking_since
        if since is not None and time.monotonic() - since > _SLOW_SECONDS:
            return f"the data dir, the store or an import root has not responded for {_SLOW_SECONDS:.0f} s"
        return self._catalog.database.problem() or self._full or self._problem

    @property
    def is_full(self) -> bool:
        return self._full is not None

    def refuse_if_full(self) -> None:
        """Raise StorageFull before anything is begun that would fail on a full disk."""
        if self._full is not None:
            raise StorageFull(f"{self._full}. Until then this server only serves reads")

    def look(self) -> None:
        """Check everything once, then write the reserve and the markers where that is possible."""
        self._looking_since = time.monotonic()
        full: str | None = None
        problem: str | None = None
        try:
            full = next(self._full_disks(), None)
            problem = None if full else next(self._vanished(), None)
            if full is None and problem is None:
                self._keep_reserve()
                keep_marks(self._settings, self._catalog, self._engine)
        except CatalogUnavailable as error:
            # /healthz queries the catalog itself.
            log.warning("catalog.unavailable", component="health", error=str(error))
        except (CatalogFull, StorageFull) as error:
            full = error.message
        except (OSError, PenstockError) as error:
            problem = str(error)
        finally:
            self._looking_since = None
        self._log_change(full or problem)
        self._full, self._problem = full, problem

    def _log_change(self, problem: str | None) -> None:
        previous = self._full or self._problem
        if problem is not None and problem != previous:
            log.error("storage.unavailable", reason=problem)
        elif problem is None and previous is not None:
            log.info("storage.recovered")

    def _full_disks(self) -> Iterator[str]:
        folders = [self._settings.data_dir, *([self._store] if self._store else [])]
        for folder in folders:
            with suppress(OSError):  # an absent folder is reported by _vanished
                free = shutil.disk_usage(folder).free
                if free < LEAST_FREE:
                    yield f"the disk of {folder} is full: {free:,} bytes are free. Free at least {LEAST_FREE:,}"

    def _vanished(self) -> Iterator[str]:
        folder = self._settings.data_dir
        if not (folder / LOCK).exists():
            yield f"the data dir {folder} is missing, or was replaced. Mount it, or restart the server"
        elif not os.access(folder, os.W_OK):
            yield f"the data dir {folder} is not writable"
        yield from self._store_problems()
        absent = set(self._roots.absent_folders())
        for root in sorted(absent & self._seen_roots):
            yield f"the import root {root} is missing. Mount or restore it"
        self._seen_roots |= set(self._settings.import_root) - absent

    def _store_problems(self) -> Iterator[str]:
        if self._store is None:
            if time.monotonic() >= self._next_remote_look:
                self._remote_problem = self._store_problem()
                # An unavailable store is checked often, to notice soon when it is back.
                self._next_remote_look = time.monotonic() + (
                    _REMOTE_LOOK_SECONDS if self._remote_problem is None else _LOOK_SECONDS
                )
            problem = self._remote_problem
        else:
            problem = self._store_problem()
        if problem is not None:
            yield problem

    def _store_problem(self) -> str | None:
        try:
            self._engine.check(known=self._catalog.collections.ids_in("", self._engine.name))
        except StorageFull:
            raise
        except StorageError as error:
            return error.message
        return None

    def _keep_reserve(self) -> None:
        """Write the reserve, for SQLite only: a catalog elsewhere needs none here."""
        reserve = self._settings.data_dir / RESERVE
        if self._catalog.database.is_shared or reserve.exists():
            return
        if shutil.disk_usage(self._settings.data_dir).free < LEAST_FREE + _RESERVE_BYTES:
            return
        with reserve.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, _RESERVE_BYTES)

    def _work(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            try:
                self.look()
                self._begin_if_space_is_free()
            except Exception:
                log.exception("health.error")
