"""``penstock jobs list``: once, or live until no job is running."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

import click

from penstock.cli.client_options import cluster_option, json_option, with_client
from penstock.cli.errors import INTERRUPTED
from penstock.cli.live_table import POLL_SECONDS, LiveTable
from penstock.cli.output import duration_text, moment, print_csv, print_json, print_table
from penstock.cli.server_names import complete_collections
from penstock.cli.since import parse_since
from penstock.domain.sizes import size_text

if TYPE_CHECKING:
    from penstock.sdk.client import Client
    from penstock.sdk.job_meter import JobMeter
    from penstock.sdk.jobs import ImportJob

STATES = ("Pending", "Importing", "Uncommitted", "Committing", "Completed", "Failed")
_RUNNING = ("Pending", "Importing", "Committing")
FORMATS = ("table", "json", "csv")
_REASON_SHOWN = 100
_CSV_COLUMNS = ("job", "collection", "state", "progress", "rows", "total_rows", "bytes", "created", "completed")


@click.command("list")
@click.option(
    "--collection", shell_complete=complete_collections, metavar="NAME", help="Only jobs into this collection."
)
@click.option("--state", type=click.Choice(STATES, case_sensitive=False), help="Only jobs in this state.")
@click.option(
    "--since", callback=parse_since, metavar="TIME", help="Only jobs created since: 2h ago, or 2026-11-30T08:15."
)
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Maximum number of jobs.")
@click.option("--all-databases", is_flag=True, help="Jobs of all databases.")
@click.option(
    "--format", "output_format", type=click.Choice(FORMATS), default="table", show_default=True, help="Output format."
)
@click.option("--watch", is_flag=True, help="Show the running jobs live, until all of them have ended.")
@cluster_option
@json_option
@with_client
def list_jobs(
    client: Client,
    collection: str | None,
    state: str | None,
    since: datetime | None,
    limit: int,
    all_databases: bool,
    output_format: str,
    watch: bool,
    as_json: bool,
) -> None:
    """List jobs, newest first.

    Lists all unfinished and recently finished jobs (by default within a day). With --cluster-id (default of a
    server: in01-local), all finished jobs are listed, too. --json is --format json.
    """

    def selected() -> list[ImportJob]:
        found = client.imports.list(collection, state=state, since=since, all_databases=all_databases)
        return list(islice(found, limit))

    output_format = "json" if as_json else output_format
    if watch:
        if output_format != "table":
            raise click.UsageError(f"--watch draws a table; leave out --watch or --format {output_format}.")
        _watch(client, collection, state, since, limit, all_databases)
    elif output_format == "json":
        print_json([job.raw for job in selected()])
    elif output_format == "csv":
        print_csv([*_CSV_COLUMNS, "seconds", "rejected_rows", "skipped_files", "reason"], map(_csv_row, selected()))
    else:
        columns = ["Job", "Collection", "State", "%", "Rows", "Size", "Created", "Took", "Reason"]
        print_table(columns, map(_row, selected()), none="No jobs.")


def _row(job: ImportJob) -> Sequence[object]:
    return (
        job.id,
        job.collection,
        job.state,
        job.progress,
        job.rows,
        size_text(job.size) if job.size else "-",
        moment(job.created_at),
        duration_text(job.duration),
        _shortened(job.reason or ("dry run" if job.dry_run else _left_out(job))),
    )


def _left_out(job: ImportJob) -> str | None:
    """What a job has left out, by its option on_error."""
    parts = [
        f"{count:,} {noun}{'' if count == 1 else 's'}"
        for count, noun in ((job.rejected_rows, "bad row"), (job.skipped_files, "bad file"))
        if count
    ]
    return f"{' and '.join(parts)} left out" if parts else None


def _csv_row(job: ImportJob) -> Sequence[object]:
    return (
        job.id,
        job.collection,
        job.state,
        job.progress,
        job.rows,
        job.total_rows,
        job.size,
        job.created_at.isoformat() if job.created_at else None,
        job.completed_at.isoformat() if job.completed_at else None,
        round(job.duration.total_seconds()) if job.duration is not None else None,
        job.rejected_rows,
        job.skipped_files,
        job.reason,
    )


def _watch(
    client: Client, collection: str | None, state: str | None, since: datetime | None, limit: int, all_databases: bool
) -> None:
    """Draw the jobs that run, and those that end meanwhile, until none runs."""
    from penstock.sdk.job_meter import JobMeter
    from penstock.sdk.polling import poll_until

    meters: dict[str, JobMeter] = {}
    drawing = LiveTable()

    def watched() -> tuple[list[ImportJob], bool]:
        """The jobs to draw, and whether any job runs."""
        found = {
            job.id: job.state
            for word in ([state] if state else _RUNNING)
            for job in client.imports.list(collection, state=word, since=since, all_databases=all_databases)
            if not job.is_finished
        }
        running = list(found)[:limit]
        others = [job_id for job_id in meters if job_id not in running]
        drawn = {*running, *others[max(0, len(others) + len(running) - limit) :]}
        # Only a job's own description has its files, and so the bytes that are read.
        jobs = [client.imports.get(job_id) for job_id in dict.fromkeys([*meters, *running]) if job_id in drawn]
        # One that waits for its commit doesn't run.
        return jobs, any(word in _RUNNING for word in [*found.values(), *(job.state for job in jobs)])

    def show(now: tuple[list[ImportJob], bool]) -> None:
        jobs, is_running = now
        rows = [_live_row(job, meters.setdefault(job.id, JobMeter())) for job in jobs]
        drawing.draw(["Job", "Collection", "State", "%", "Progress"], rows, is_last=not is_running)

    try:
        poll_until(watched, lambda now: not now[1], pause=POLL_SECONDS, show=show)
    except KeyboardInterrupt:
        click.echo("\nStopped watching. The jobs continue on the server.", err=True)
        sys.exit(INTERRUPTED)
    if not meters:
        click.echo("No job is running. To list those that have ended: penstock jobs list", err=True)


def _live_row(job: ImportJob, meter: JobMeter) -> Sequence[object]:
    reading = meter.observe(job)
    text = _shortened(job.reason) if job.reason else reading.text()
    percent = job.progress if job.is_finished else max(job.progress, int(100 * reading.share))
    return job.id, job.collection, job.state if job.is_finished else job.stage or job.state, percent, text


def _shortened(reason: str | None) -> str:
    text = " ".join((reason or "").split())
    return text if len(text) <= _REASON_SHOWN else text[: _REASON_SHOWN - 1] + "…"
