"""Probe the files of an import within its create call: the existence check of the v1 dialect.

Stores may hang, and a probe can't be cancelled. So each probe has its own thread, and an org a limited number of
them: stores that don't answer block neither the calls of other orgs nor the server's stop.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future

from penstock.errors import SourceUnavailable
from penstock.imports.planner import resolve_files
from penstock.imports.requests import StoreCredentials
from penstock.readers.base import InputFile
from penstock.sources.roots import ImportRoots

MAX_PROBES_PER_ORG = 4
"""Concurrent probes of one org."""


class FileProbe:
    """Checks that files exist, with a time limit. Thread-safe."""

    def __init__(self) -> None:
        self._permits: dict[str, threading.Semaphore] = defaultdict(lambda: threading.Semaphore(MAX_PROBES_PER_ORG))
        self._lock = threading.Lock()

    def probe(
        self,
        org_id: str,
        group: Sequence[str],
        roots: ImportRoots,
        keys: StoreCredentials,
        seconds: float,
        preset: str = "",
    ) -> list[InputFile]:
        """Resolve the files of a group within ``seconds``; ``preset`` is the import option ``from_format``.

        Raises as :func:`penstock.imports.planner.resolve_files`; SourceUnavailable after a timeout.
        """
        deadline = time.monotonic() + seconds
        with self._lock:
            permits = self._permits[org_id]
        if not permits.acquire(timeout=seconds):
            raise SourceUnavailable(
                f"{MAX_PROBES_PER_ORG} other create calls of your org are waiting for stores that do not respond. "
                "Try again later"
            )
        future: Future[list[InputFile]] = Future()

        def run() -> None:
            try:
                future.set_result(resolve_files([group], roots, keys, preset=preset))
            except Exception as error:  # noqa: BLE001 - it is the caller's, who waits for it
                future.set_exception(error)
            finally:
                permits.release()

        try:
            threading.Thread(target=run, name="file-probe", daemon=True).start()
        except RuntimeError as error:
            permits.release()
            raise SourceUnavailable("the server has no thread free to look for the files. Try again later") from error
        try:
            return future.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError as error:
            raise SourceUnavailable(f"the object store did not answer within {seconds:g} s") from error
