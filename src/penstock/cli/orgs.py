"""``penstock orgs``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from penstock.cli.admin import record, with_catalog
from penstock.cli.client_options import json_option
from penstock.cli.groups import Group
from penstock.domain.parameter_values import MAX_INT64
from penstock.domain.quotas import Quota
from penstock.domain.sizes import parse_size
from penstock.errors import InvalidParameter

if TYPE_CHECKING:
    from penstock.catalog import Catalog

_NONE, _DEFAULT = "none", "default"
_UNCHANGED = -1


class _Limit(click.ParamType["int | None"]):
    """Convert a number, or a size such as 2TiB for bytes; ``none`` becomes 0, ``default`` None."""

    name = "limit"

    def __init__(self, *, size: bool = False) -> None:
        self._size = size

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if isinstance(value, int):
            return value
        if value in (_NONE, _DEFAULT):
            return 0 if value == _NONE else None
        try:
            number = parse_size(value) if self._size else int(value)
        except (InvalidParameter, ValueError):
            number = 0
        if not 0 < number <= MAX_INT64:
            what = "a size such as 2TiB" if self._size else "a number above 0"
            self.fail(f"{value!r} is not a limit. Use {what}, {_NONE} or {_DEFAULT}.", param, ctx)
        return number


@click.group(cls=Group)
def orgs() -> None:
    """Create and list orgs, and set their quotas.

    An org is a tenant: it owns clusters, keys and users. These commands work on the data dir (or the catalog)
    directly; a running server applies changes within a second.
    """


@orgs.command()
@click.argument("name")
@with_catalog
def create(catalog: Catalog, name: str) -> None:
    """Create the org NAME; no error if it exists."""
    if not name.strip() or len(name) > 64 or not name.isprintable():
        raise InvalidParameter("an org's name has 1 to 64 printable characters")
    record(catalog, "org.create", catalog.orgs.ensure(name).id, name)
    click.echo(f"Created org {name}.")


@orgs.command("list")
@json_option
@with_catalog
def list_orgs(catalog: Catalog, as_json: bool) -> None:
    """List the orgs with their usage and quotas."""
    from penstock.cli.output import print_json, print_table

    org_facts = [_facts(catalog, org.name) for org in catalog.orgs.list()]
    if as_json:
        print_json(org_facts)
        return
    rows = [(facts["name"], *(_of(facts, name) for name in _LIMITS)) for facts in org_facts]
    print_table(["Name", "Unfinished jobs", "Running jobs", "Bytes today (UTC)"], rows, none="No orgs.")


@orgs.command()
@click.argument("name")
@json_option
@with_catalog
def describe(catalog: Catalog, name: str, as_json: bool) -> None:
    """Show the usage and quotas of an org."""
    from penstock.cli.output import print_facts, print_json

    facts = _facts(catalog, name)
    if as_json:
        print_json(facts)
        return
    print_facts(
        {
            "Name": facts["name"],
            "Clusters": ", ".join(facts["clusters"]) or _NONE,
            "Unfinished jobs": _of(facts, "jobs"),
            "Running jobs": _of(facts, "running_jobs"),
            "Bytes today (UTC)": _of(facts, "daily_bytes"),
        }
    )


@orgs.command("set")
@click.argument("name")
@click.option("--max-jobs", type=_Limit(), default=_UNCHANGED, show_default=False, help="Unfinished jobs.")
@click.option(
    "--max-running-jobs",
    type=_Limit(),
    default=_UNCHANGED,
    show_default=False,
    help="Running jobs.",
)
@click.option(
    "--max-daily-bytes",
    type=_Limit(size=True),
    default=_UNCHANGED,
    show_default=False,
    help="Bytes of import files per day, from midnight UTC.",
)
@with_catalog
def set_limits(
    catalog: Catalog, name: str, max_jobs: int | None, max_running_jobs: int | None, max_daily_bytes: int | None
) -> None:
    """Set the quotas of the org NAME.

    Each limit is a number, none, or default, which means the server's setting. Omitted limits are unchanged.
    """
    org = catalog.orgs.get(name)
    own = catalog.quotas.get(org.id)
    quota = Quota(
        jobs=own.jobs if max_jobs == _UNCHANGED else max_jobs,
        running_jobs=own.running_jobs if max_running_jobs == _UNCHANGED else max_running_jobs,
        daily_bytes=own.daily_bytes if max_daily_bytes == _UNCHANGED else max_daily_bytes,
    )
    catalog.quotas.set(org.id, quota)
    limits = ", ".join(f"{limit} {_word(getattr(quota, limit))}" for limit in _LIMITS)
    record(catalog, "org.set", org.id, f"{org.name}: {limits}")
    click.echo(f"Set the limits of org {org.name}.")


_LIMITS = ("jobs", "running_jobs", "daily_bytes")


def _facts(catalog: Catalog, name: str) -> dict[str, Any]:
    org = catalog.orgs.get(name)
    usage, quota = catalog.quotas.usage(org.id), catalog.quotas.get(org.id)
    return {
        "id": org.id,
        "name": org.name,
        "clusters": [cluster.id for cluster in catalog.clusters.list(org.id)],
        "has": {limit: getattr(usage, limit) for limit in _LIMITS},
        "may_have": {limit: _word(getattr(quota, limit)) for limit in _LIMITS},
    }


def _word(limit: int | None) -> int | str:
    return _DEFAULT if limit is None else limit or _NONE


def _of(facts: dict[str, Any], name: str) -> str:
    has, may = facts["has"][name], facts["may_have"][name]
    if isinstance(may, int):
        return f"{has:,} of {may:,}"
    return f"{has:,} (no limit)" if may == _NONE else f"{has:,} (the server's limit)"
