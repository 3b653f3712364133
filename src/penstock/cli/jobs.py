"""``penstock jobs``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from penstock.cli.client_options import cluster_option, json_option, with_client
from penstock.cli.errors import Failure
from penstock.cli.groups import Group
from penstock.cli.job_list import list_jobs
from penstock.cli.output import duration_text, moment
from penstock.cli.server_names import complete_jobs
from penstock.domain.control_characters import escape_controls
from penstock.domain.sizes import size_text
from penstock.domain.verification import verification_text

if TYPE_CHECKING:
    from penstock.sdk.client import Client
    from penstock.sdk.jobs import ImportJob


@click.group(cls=Group)
def jobs() -> None:
    """List, describe, wait for, commit, abort, retry, replay and revert import jobs; show their errors."""


jobs.add_command(list_jobs)


@jobs.command()
@click.argument("job_id", shell_complete=complete_jobs, metavar="ID")
@click.option("--watch", is_flag=True, help="Show the progress of each file live first, until the job has ended.")
@cluster_option
@json_option
@with_client
def describe(client: Client, job_id: str, watch: bool, as_json: bool) -> None:
    """Show a job in full: progress, files, warnings, and the reason of a failure."""
    from penstock.cli.output import print_json
    from penstock.cli.watch import MAX_ERRORS, can_retry, watch_files

    if watch:
        watch_files(client, job_id)
    job = client.imports.get(job_id)
    if as_json:
        print_json(job.raw)
        return
    _print_job(job)
    if job.report is not None:
        from penstock.cli.check_reports import print_report
        from penstock.domain.check_report import Report

        print_report(Report.from_json(job.report), (), max_errors=MAX_ERRORS, as_json=False)
    if can_retry(job):
        click.echo(f"\nAfter fixing the cause, resume it: penstock jobs retry {job.id}")


@jobs.command()
@click.argument("job_ids", shell_complete=complete_jobs, nargs=-1, required=True, metavar="ID...")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Maximum time to wait.")
@cluster_option
@json_option
@with_client
def wait(client: Client, job_ids: tuple[str, ...], timeout: float | None, as_json: bool) -> None:
    """Show the progress of jobs until they are finished.

    The exit code is 0 when all are completed, 1 when one failed or was aborted, 3 on timeout.
    """
    from penstock.cli.watch import follow

    follow(client, job_ids, timeout=timeout, as_json=as_json)


@jobs.command()
@click.argument("job_ids", shell_complete=complete_jobs, nargs=-1, required=True, metavar="ID...")
@cluster_option
@with_client
def abort(client: Client, job_ids: tuple[str, ...]) -> None:
    """Abort jobs that are not committed yet. None of their rows become visible."""
    from penstock.cli.watch import ABORTED

    for job_id in job_ids:
        client.imports.abort(job_id)
        reason = client.imports.get(job_id).reason
        # As in Milvus, the call also succeeds for a job that had failed by itself.
        outcome = "is aborted." if reason == ABORTED else f"failed before: {reason}"
        click.echo(f"Job {job_id} {outcome}")


@jobs.command()
@click.argument("job_ids", shell_complete=complete_jobs, nargs=-1, required=True, metavar="ID...")
@cluster_option
@with_client
def commit(client: Client, job_ids: tuple[str, ...]) -> None:
    """Publish the rows of jobs created with --option auto_commit=false."""
    for job_id in job_ids:
        client.imports.commit(job_id)
        click.echo(f"Job {job_id} is being committed. To follow it: penstock jobs wait {job_id}")


@jobs.command()
@click.argument("job_ids", shell_complete=complete_jobs, nargs=-1, required=True, metavar="ID...")
@cluster_option
@with_client
def retry(client: Client, job_ids: tuple[str, ...]) -> None:
    """Resume failed jobs with what is missing.

    A job that was created with keys of an object store needs them again, since a server forgets them when a job ends:
    put them into PENSTOCK_SOURCE_ACCESS_KEY, PENSTOCK_SOURCE_SECRET_KEY and, for short-lived ones,
    PENSTOCK_SOURCE_TOKEN.
    """
    # Not PENSTOCK_ENCRYPTION_KEY: that is a server's own, and must not be sent anywhere.
    names = ("access_key", "secret_key", "token")
    keys = {name: os.environ.get(f"PENSTOCK_SOURCE_{name.upper()}", "") for name in names}
    for job_id in job_ids:
        client.imports.retry(job_id, **keys)
        click.echo(f"Job {job_id} resumes. To follow it: penstock jobs wait {job_id}")


@jobs.command()
@click.argument("job_id", shell_complete=complete_jobs, metavar="ID")
@click.option("--group", is_flag=True, help="Count the errors by rule, field and file, with examples.")
@click.option("--file", metavar="NAME", help="Only errors of this file.")
@click.option("--field", metavar="NAME", help="Only errors of this field.")
@click.option("--rule", metavar="NAME", help="Only errors of this rule.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Errors to show.")
@click.option("--out", type=click.Path(dir_okay=False), metavar="FILE", help="Write the rejected rows to a file.")
@cluster_option
@json_option
@with_client
def errors(
    client: Client,
    job_id: str,
    group: bool,
    file: str | None,
    field: str | None,
    rule: str | None,
    limit: int,
    out: str | None,
    as_json: bool,
) -> None:
    """Show the rows and files that a job rejected, and why.

    --out writes the rows as Parquet (.parquet) or JSON Lines, with their reasons in columns that begin with _error:
    correct them, and import them by penstock jobs replay.
    """
    from penstock.cli.job_errors import print_errors, print_groups

    if out is not None:
        path = client.imports.download_errors(job_id, out)
        click.echo(f"Wrote {path}. Corrected, it can be imported: penstock jobs replay {job_id} --file {path}")
    elif group:
        print_groups(client.imports.error_groups(job_id), as_json=as_json)
    else:
        found = client.imports.errors(job_id, file=file, field=field, rule=rule)
        print_errors(found, limit, as_json=as_json)


@jobs.command()
@click.argument("job_id", shell_complete=complete_jobs, metavar="ID")
@click.option("--file", "files", multiple=True, metavar="FILE", help="A corrected file, in place of the job's.")
@cluster_option
@with_client
def replay(client: Client, job_id: str, files: tuple[str, ...]) -> None:
    """Import what a job has left out: its rejected rows, or its bad files, with its options.

    Keys of an object store are read as for penstock jobs retry.
    """
    from penstock.cli.paths import import_groups

    groups = import_groups(files) if files else None
    names = ("access_key", "secret_key", "token")
    keys = {name: os.environ.get(f"PENSTOCK_SOURCE_{name.upper()}", "") for name in names}
    job = client.imports.replay(job_id, groups, **keys)
    click.echo(f"Job {job.id} imports what job {job_id} left out. To follow it: penstock jobs wait {job.id}")


@jobs.command()
@click.argument("job_ids", shell_complete=complete_jobs, nargs=-1, required=True, metavar="ID...")
@cluster_option
@with_client
def revert(client: Client, job_ids: tuple[str, ...]) -> None:
    """Remove the rows of completed jobs, and bring back those that they replaced.

    Jobs whose rows a later job has replaced are refused: revert the later ones first, the newest one first. Replaced
    rows are kept for the server's setting replaced_row_retention.
    """
    for job_id in job_ids:
        job = client.imports.revert(job_id)
        if job.revert != "Reverted":
            raise Failure("\n".join([f"Job {job_id} was not reverted.", *(note.message for note in job.warnings)]))
        restored = f" {job.restored_rows:,} rows that it had replaced are back." if job.restored_rows else ""
        click.echo(f"Job {job_id} is reverted: its rows are gone from {job.collection}.{restored}")


def _print_job(job: ImportJob) -> None:
    from penstock.cli.output import print_facts, print_table

    print_facts(
        {
            "Job": job.id,
            "Collection": job.collection,
            "State": f"{job.state}, {job.progress} %",
            "Stage": None if job.is_finished else job.stage,
            "Revert": job.revert,
            "Rows": job.rows if job.is_finished or not job.total_rows else f"{job.rows or 0:,} of {job.total_rows:,}",
            "Rejected rows": job.rejected_rows or None,
            "Skipped files": job.skipped_files or None,
            "Replay of": job.replay_of,
            "Replaced rows": job.replaced_rows,
            "Restored rows": job.restored_rows,
            "Size": _size(job.size),
            "Created": moment(job.created_at),
            "Finished": moment(job.completed_at),
            "Took": duration_text(job.duration),
            "Reason": job.reason,
            "Verified": None if job.verification is None else verification_text(job.verification),
        }
    )
    for warning in job.warnings:
        text = f"Warning: {warning.message}" + (f" ({warning.count:,} rows)" if warning.count > 1 else "")
        click.echo(escape_controls(text))
    if job.files:
        click.echo()
        rows = [
            (
                file.name,
                file.state,
                file.progress,
                file.rows,
                file.rejected_rows or "",
                _size(file.size),
                file.reason or "",
            )
            for file in job.files
        ]
        print_table(["File", "State", "%", "Rows", "Rejected", "Size", "Reason"], rows, none="")


def _size(size: int | None) -> str | None:
    return None if size is None else size_text(size)
