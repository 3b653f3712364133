"""Follow import jobs to their end: progress on the standard error, a summary on the standard output."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import click

from penstock.cli.errors import FAILED, INTERRUPTED, UNFINISHED
from penstock.cli.live_table import POLL_SECONDS, LiveTable
from penstock.cli.output import print_json
from penstock.domain.check_report import Report
from penstock.domain.control_characters import escape_controls
from penstock.domain.sizes import size_text
from penstock.sdk.errors import JobFailed, JobUnfinished
from penstock.sdk.job_meter import JobMeter

if TYPE_CHECKING:
    from penstock.sdk.client import Client
    from penstock.sdk.jobs import ImportedFile, ImportJob

_BAD_ROW = re.compile(r", row \d+\b")
"""How the server's reason names a row of a file."""
_FILES_SHOWN = 20
MAX_ERRORS = 50
"""Kinds of problems of a dry run that are printed."""
_STEP_PERCENT = 10
_STEP_SECONDS = 10.0
# Servers report times in whole seconds, and the client polls every two.
_WHOLE_SECONDS = 3.5
_UNCOMMITTED = "Uncommitted"
# As in Milvus: no state of its own, but a failure for this reason.
ABORTED = "aborted by user"


def follow(
    client: Client,
    job_ids: Sequence[str],
    *,
    timeout: float | None = None,
    as_json: bool = False,
    if_all_failed: str = "",
) -> None:
    """Wait for jobs, one after the other; print how each ended, and exit with the corresponding code.

    ``if_all_failed`` is printed, too, where each of them has failed.
    """
    started = time.monotonic()
    jobs: list[ImportJob] = []
    unfinished = False
    for position, job_id in enumerate(job_ids, 1):
        try:
            with _shown(position, len(job_ids)) as show:
                left = None if timeout is None else max(0.0, timeout - (time.monotonic() - started))
                job = client.imports.wait(job_id, timeout=left, progress=show)
        except JobFailed as error:
            job = error.job
        except JobUnfinished as error:
            job = error.job
            unfinished = True
        except KeyboardInterrupt:
            _leave(job_ids[position - 1 :])
        jobs.append(job)
        if not as_json:
            click.echo(summary(job, time.monotonic() - started))
    if as_json:
        print_json([job.raw for job in jobs])
    elif any(job.report for job in jobs):
        from penstock.cli.check_reports import print_report

        for job in jobs:
            if job.report is not None:
                print_report(Report.from_json(job.report), (), max_errors=MAX_ERRORS, as_json=False)
    if any(job.report is not None and not job.report["clean"] for job in jobs):
        sys.exit(FAILED)
    if any(job.is_finished and not job.has_succeeded for job in jobs):
        if if_all_failed and all(job.is_finished and not job.has_succeeded for job in jobs):
            click.echo(if_all_failed, err=True)
        sys.exit(FAILED)
    if unfinished:
        sys.exit(UNFINISHED)


def watch_files(client: Client, job_id: str) -> None:
    """Draw the progress of each file of a job on the standard error until the job ends or waits for its commit."""
    table = LiveTable(1, err=True)
    meter = JobMeter()

    def rows(job: ImportJob) -> list[tuple[object, ...]]:
        total = (
            "all",
            job.state if job.is_finished else job.stage or job.state,
            int(100 * meter.observe(job).share),
            job.rows,
            job.size,
        )
        files = sorted(job.files, key=lambda file: file.progress == 100)[:_FILES_SHOWN]
        return [
            (name, state, percent, rows, size_text(size) if size else "-")
            for name, state, percent, rows, size in [
                *((file.name, file.state, file.progress, file.rows, file.size) for file in files),
                total,
            ]
        ]

    def is_last(job: ImportJob) -> bool:
        return job.is_finished or job.state == _UNCOMMITTED

    def show(job: ImportJob) -> None:
        table.draw(["File", "State", "%", "Rows", "Size"], rows(job), is_last=is_last(job))

    from penstock.sdk.polling import poll_until

    try:
        poll_until(lambda: client.imports.get(job_id), is_last, pause=POLL_SECONDS, show=show)
    except KeyboardInterrupt:
        _leave([job_id])


def _leave(job_ids: Sequence[str]) -> NoReturn:
    ids = " ".join(job_ids)
    many = len(job_ids) > 1
    click.echo(
        f"\nStopped watching. The job{'s continue' if many else ' continues'} on the server.\n"
        f"To follow {'them' if many else 'it'} again: penstock jobs wait {ids}\n"
        f"To abort {'them' if many else 'it'}: penstock jobs abort {ids}",
        err=True,
    )
    sys.exit(INTERRUPTED)


@contextmanager
def _shown(position: int, jobs: int) -> Iterator[Callable[[ImportJob], None]]:
    which = f"job {position} of {jobs}: " if jobs > 1 else ""
    if sys.stderr.isatty():
        from penstock.sdk.progress import progress_bar

        with progress_bar(sys.stderr) as show:
            yield show
    else:
        yield _Lines(which).show


class _Lines:
    """Progress for logs: a line when the stage changes, and every 10 percent or 10 seconds."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._meter = JobMeter()
        self._printed_at = 0.0
        self._printed: tuple[str, int] = ("", -_STEP_PERCENT)
        self._reason: str | None = None

    def show(self, job: ImportJob) -> None:
        now = time.monotonic()
        reading = self._meter.observe(job)
        if not job.is_finished and job.reason not in (None, self._reason):
            click.echo(f"{self._prefix}{escape_controls(str(job.reason))}", err=True)
        self._reason = job.reason
        stage, percent = self._printed
        current = job.state if job.is_finished else job.stage or job.state
        is_change = current != stage or job.progress >= percent + _STEP_PERCENT
        if not is_change and now < self._printed_at + _STEP_SECONDS:
            return
        details = reading.text()
        click.echo(f"{self._prefix}{current} {job.progress} %{', ' if details else ''}{details}", err=True)
        self._printed, self._printed_at = (current, job.progress), now


def can_retry(job: ImportJob) -> bool:
    """Whether a retry can help: the job failed by itself, and not because its collection was dropped."""
    return (
        job.is_finished
        and not job.has_succeeded
        and job.revert is None
        and job.reason != ABORTED
        and not _lost_collection(job)
    )


def _lost_collection(job: ImportJob) -> bool:
    return job.reason == f"collection {job.collection} dropped"


def summary(job: ImportJob, seconds: float) -> str:
    """Summarize how a job ended (or its state) in a few lines. ``seconds`` is how long it was watched."""
    if job.has_succeeded and job.dry_run:
        lines = [f"Dry run {job.id} has checked the files for {job.collection}; nothing was imported."]
    elif job.has_succeeded:
        lines = [_success(job, _took(job, seconds))]
    elif job.is_finished:
        lines = _failure(job)
    elif job.state == _UNCOMMITTED:
        lines = [
            f"Job {job.id} has staged {job.rows or 0:,} rows, not visible yet.",
            f"To publish them: penstock jobs commit {job.id}",
        ]
    else:
        lines = [
            f"Job {job.id} is {job.state} at {job.progress} % after {seconds:.1f} s and continues.",
            f"To follow it: penstock jobs wait {job.id}",
        ]
    for warning in job.warnings:
        lines.append(f"Warning: {warning.message}" + (f" ({warning.count:,} rows)" if warning.count > 1 else ""))
    return escape_controls("\n".join(lines))


def _took(job: ImportJob, watched: float) -> float:
    """Return the seconds from create to end, by the client's finer clock if it watched all of the job."""
    if job.created_at is None or job.completed_at is None:
        return watched
    server_seconds = (job.completed_at - job.created_at).total_seconds()
    return watched if abs(watched - server_seconds) < _WHOLE_SECONDS else server_seconds


def _success(job: ImportJob, seconds: float) -> str:
    rows = job.rows or 0
    size = f", {size_text(job.size)}" if job.size else ""
    files = f"{len(job.files):,} file{'' if len(job.files) == 1 else 's'}{size}"
    rate = f": {rows / seconds:,.0f} rows/s" if seconds >= 0.1 and rows else ""
    replaced = f" They replaced {job.replaced_rows:,} rows." if job.replaced_rows else ""
    return f"Imported {rows:,} rows from {files} into {job.collection} in {seconds:.1f} s{rate}.{replaced}"


def _failure(job: ImportJob) -> list[str]:
    if job.revert is not None:
        return [f"Job {job.id} was reverted: its rows are gone from {job.collection}."]
    lines = [
        f"Job {job.id} failed, and none of its rows are visible in {job.collection}.",
        f"Reason: {job.reason or 'none given by the server'}",
    ]
    failed = [file for file in job.files if file.reason and file.reason != job.reason]
    lines += [f"  {_file(file)}" for file in failed[:_FILES_SHOWN]]
    if len(failed) > _FILES_SHOWN:
        lines.append(f"  and {len(failed) - _FILES_SHOWN:,} more files; see: penstock jobs describe {job.id}")
    if can_retry(job):
        lines.append(f"After fixing the cause, resume it: penstock jobs retry {job.id}")
        # Rows with the same key are no bad rows: none is left out.
        if _BAD_ROW.search(job.reason or "") and "option duplicates=" not in (job.reason or ""):
            lines.append("Or import again with --on-error skip_row: bad rows are left out, and kept for a correction")
    elif _lost_collection(job):
        lines.append(
            f"It cannot be resumed: the collection {job.collection} was dropped. Create it and import again: "
            f"penstock collections create {job.collection}"
        )
    return lines


def _file(file: ImportedFile) -> str:
    # A reason that names the file needs no name before it.
    return file.reason or "" if file.name in (file.reason or "") else f"{file.name}: {file.reason}"
