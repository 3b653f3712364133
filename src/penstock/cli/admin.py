"""Shared code of the commands for keys, users and clusters, which open the catalog, with or without a server.

Access to the data folder, or the catalog's URL, is what makes an administrator.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.server_options import CATALOG_SETTINGS, settings_options
from penstock.domain.access import Grant, Role
from penstock.settings import Settings, load_settings

if TYPE_CHECKING:
    from penstock.catalog import Catalog

_HERE = "this machine"


def with_catalog(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command with the catalog's options; its first argument is the opened catalog."""

    @wraps(command)
    def run(catalog: Catalog, settings: Settings, **flags: Any) -> None:
        del settings
        command(catalog, **flags)

    return with_settings_and_catalog(run)


def with_settings_and_catalog(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command as :func:`with_catalog` does; its second argument is the settings."""

    @wraps(command)
    def run(**flags: Any) -> None:
        config: Path | None = flags.pop("config")
        settings = load_settings({name: flags.pop(name) for name in CATALOG_SETTINGS}, config)
        with opened_catalog(settings) as catalog:
            command(catalog, settings, **flags)

    return settings_options(run, CATALOG_SETTINGS)


@contextmanager
def opened_catalog(settings: Settings) -> Iterator[Catalog]:
    """Open the catalog of these settings, creating a missing one: keys may be created before the first start.

    A note warns about a wrong folder: a key in a new catalog opens no existing server.
    """
    from penstock.catalog import open_catalog
    from penstock.server.lost_catalog import mark_keys
    from penstock.server.process.data_dir import make_data_folder, private_umask
    from penstock.server.storage_settings import catalog_file, catalog_url, encryption_key

    with private_umask():
        make_data_folder(settings.data_dir)
        if settings.catalog_url is None and not catalog_file(settings).exists():
            click.echo(
                f"Note: created a new catalog in {settings.data_dir}, which had none. "
                "If your server uses another data dir, set --data-dir or PENSTOCK_DATA_DIR.",
                err=True,
            )
        catalog = open_catalog(catalog_url(settings), encryption_key(settings))
        try:
            catalog.orgs.ensure("default")
            yield catalog
            if catalog.accounts.any_made():
                mark_keys(settings.data_dir)
        finally:
            catalog.close()


def org_names(catalog: Catalog) -> Mapping[str, str]:
    """Map the id of each org to its name, which ``--org`` takes."""
    return {org.id: org.name for org in catalog.orgs.list()}


def record(
    catalog: Catalog, action: str, org_id: str, subject: str | None = None, cluster_id: str | None = None
) -> None:
    """Record an action of the local user in the audit log."""
    from penstock.domain.audit import AuditEntry

    catalog.audit.add(
        AuditEntry(
            caller=_user_name(),
            org_id=org_id,
            address=_HERE,
            action=action,
            cluster_id=cluster_id,
            subject=subject,
        )
    )


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a uid without a name
        return f"uid {os.getuid()}"


roots_option = click.option(
    "--root",
    "roots",
    multiple=True,
    help="Restrict imports to files below this folder, s3://bucket/prefix or web address, within the import roots of "
    "the server; a relative folder is resolved below each import root. Repeatable; default: all import roots.",
)
org_option = click.option("--org", default="default", show_default=True, help="The org (tenant) that owns it.")


def role_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add ``--role``, ``--cluster`` and ``--database``, which :func:`grants_of` takes."""
    for option in (
        click.option("--database", help="Restrict the role to this database; default: the whole cluster."),
        click.option("--cluster", help="Restrict the role to this cluster; default: every cluster of the org."),
        click.option(
            "--role",
            type=click.Choice([role.value for role in Role]),
            required=True,
            help="A reader lists and searches; a writer also imports; an admin also manages databases and users.",
        ),
    ):
        command = option(command)
    return command


def grants_of(role: str, cluster: str | None, database: str | None) -> Sequence[Grant]:
    """Build the grants of the role options. Raises click.UsageError for a database without its cluster."""
    if database is not None and cluster is None:
        raise click.UsageError("--database needs --cluster: databases of different clusters may have the same name.")
    return [Grant(role=Role(role), cluster_id=cluster, database=database)]
