"""Looking for the files of an import within its create call, which the v1 dialect answers by what is there.

Places may be slow or away, and a look at one can't be broken off. So each look has a thread of its own, and one org a
few of them: whose places don't answer keeps nobody else's calls from looking, nor the server from stopping.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future

from penstock.errors import SourceUnavailable
from penstock.imports.planner import InputFile, resolve_files
from penstock.imports.requests import StoreCredentials
from penstock.sources.roots import ImportRoots

__all__ = ["FileProbe"]

MAX_PROBES_PER_ORG = 4
"""Looks of an org at the same time."""


class FileProbe:
    """Safe to share between threads."""

    def __init__(self) -> None:
        self._places: dict[str, threading.Semaphore] = defaultdict(lambda: threading.Semaphore(MAX_PROBES_PER_ORG))
        self._lock = threading.Lock()

    def probe(
        self, org_id: str, group: Sequence[str], roots: ImportRoots, keys: StoreCredentials, seconds: float
    ) -> list[InputFile]:
        """The files of a group. Raises as :func:`penstock.imports.planner.resolve_files`; SourceUnavailable: too
        late."""
        until = time.monotonic() + seconds
        with self._lock:
            places = self._places[org_id]
        if not places.acquire(timeout=seconds):
            raise SourceUnavailable(
                f"{MAX_PROBES_PER_ORG} other create calls of your org wait for stores that don't answer. "
                "Try again when they do"
            )
        look: Future[list[InputFile]] = Future()

        def run() -> None:
            try:
                look.set_result(resolve_files([group], roots, keys))
            except Exception as error:  # noqa: BLE001 - it is the caller's, who waits for it
                look.set_exception(error)
            finally:
                places.release()

        threading.Thread(target=run, name="head", daemon=True).start()
        try:
            return look.result(max(0.0, until - time.monotonic()))
        except TimeoutError as error:
            raise SourceUnavailable(f"the object store did not answer within {seconds:g} s") from error
