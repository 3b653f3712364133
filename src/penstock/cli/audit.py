"""``penstock audit``."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.admin import org_names, with_catalog
from penstock.domain.durations import parse_duration
from penstock.errors import ImportRefused

if TYPE_CHECKING:
    from penstock.catalog import Catalog
    from penstock.domain.audit import AuditEntry

_FIELDS = (
    *("at", "caller", "caller_id", "org_id", "address", "action", "cluster_id", "database", "collection", "job_id"),
    *("subject", "outcome", "reason", "times"),
)
_SCREENFUL = 500
"""Rows per table: a table is laid out as a whole, and the log may exceed the memory."""


class _Moment(click.ParamType["datetime"]):
    """Convert ``24h`` (ago), or a time such as 2026-11-01T00:00Z."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        with suppress(ImportRefused):
            return datetime.now(UTC) - timedelta(seconds=parse_duration(value))
        try:
            time = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a time. Write 24h for a day ago, or 2026-11-01T00:00Z.", param, ctx)
        return time if time.tzinfo else time.replace(tzinfo=UTC)


@click.command()
@click.option("--since", type=_Moment(), help="Start: 24h for a day ago, or 2026-11-01T00:00Z; default: all entries.")
@click.option("--until", type=_Moment(), help="End (exclusive).")
@click.option("--org", help="Only entries of callers of this org.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "jsonl", "csv"]),
    default="table",
    show_default=True,
    help="A table, or all columns as JSON Lines or CSV.",
)
@with_catalog
def audit(catalog: Catalog, since: datetime | None, until: datetime | None, org: str | None, form: str) -> None:
    """Print the audit log, oldest entry first: who changed what, and who was denied what.

    It works on the data dir (or the catalog) directly, also while a server runs.
    """
    entries = catalog.audit.read(since, until, None if org is None else catalog.orgs.get(org).id)
    if form == "jsonl":
        for entry in entries:
            click.echo(json.dumps(_facts(entry), ensure_ascii=False))
    elif form == "csv":
        writer = csv.writer(sys.stdout)
        writer.writerow(_FIELDS)
        writer.writerows([_cell(value) for value in _facts(entry).values()] for entry in entries)
    else:
        _print_tables(entries, org_names(catalog))


def _facts(entry: AuditEntry) -> dict[str, Any]:
    facts = {name: getattr(entry, name) for name in _FIELDS}
    return facts | {
        "at": None if entry.at is None else entry.at.isoformat(timespec="milliseconds"),
        # Text, as everywhere in JSON, where such numbers lose their last digits.
        "job_id": None if entry.job_id is None else str(entry.job_id),
    }


def _cell(value: object) -> object:
    """Escape values that a spreadsheet would run as formulas: callers choose these texts."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _print_tables(entries: Iterable[AuditEntry], orgs: Mapping[str, str]) -> None:
    from penstock.cli.output import moment, print_table

    columns = ["Time", "Who", "Org", "From", "What", "On", "Outcome", "Times"]
    for page in _pages(entries):
        rows = [
            (
                moment(entry.at),
                entry.caller,
                orgs.get(entry.org_id or "", entry.org_id),
                entry.address,
                entry.action,
                _on(entry),
                _outcome(entry),
                entry.times,
            )
            for entry in page
        ]
        print_table(columns, rows, none="No entries.")


def _pages(entries: Iterable[AuditEntry]) -> Iterator[list[AuditEntry]]:
    remaining = iter(entries)
    yield list(islice(remaining, _SCREENFUL))
    while page := list(islice(remaining, _SCREENFUL)):
        yield page


def _on(entry: AuditEntry) -> str:
    place = "/".join(filter(None, (entry.cluster_id, entry.database, entry.collection)))
    job = None if entry.job_id is None else f"job {entry.job_id}"
    return " ".join(filter(None, (place, job, entry.subject)))


def _outcome(entry: AuditEntry) -> str:
    return entry.outcome if entry.reason is None else f"{entry.outcome}: {entry.reason}"
