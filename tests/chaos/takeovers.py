"""Time from the kill of a server until another one has claimed its jobs."""

from __future__ import annotations

import threading
import time

import psycopg

__all__ = ["Takeovers"]

_LOOK_SECONDS = 0.25


class Takeovers:
    """Poll a PostgreSQL catalog; ``seconds`` has the time of each takeover so far."""

    def __init__(self, catalog_url: str) -> None:
        self.seconds: list[float] = []
        self._connection = psycopg.connect(catalog_url, autocommit=True)
        self._lock = threading.Lock()
        self._died: dict[tuple[int, int], float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Takeovers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._connection.close()

    @property
    def waiting(self) -> list[int]:
        """Jobs of killed servers that no other has claimed yet."""
        self._look()
        with self._lock:
            return [job_id for job_id, _ in self._died]

    def died(self, pid: int) -> None:
        """Note what this server held."""
        with self._lock:
            held = self._connection.execute(
                "SELECT id, epoch FROM job WHERE owner LIKE %s AND finished_at IS NULL", [f"%-{pid}-%"]
            ).fetchall()
            self._died |= {(job_id, epoch): time.monotonic() for job_id, epoch in held}

    def _work(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        with self._lock:
            if not self._died:
                return
            rows = self._connection.execute("SELECT id, epoch, finished_at IS NOT NULL FROM job").fetchall()
            jobs = {job_id: (epoch, ended) for job_id, epoch, ended in rows}
            for job_id, before in list(self._died):
                epoch, ended = jobs[job_id]
                if epoch > before:
                    self.seconds.append(time.monotonic() - self._died.pop((job_id, before)))
                elif ended:
                    # The database still did what the server had asked for when it died.
                    del self._died[job_id, before]
