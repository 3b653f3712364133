"""``penstock clusters``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from penstock.cli.admin import org_names, org_option, record, with_catalog, with_settings_and_catalog
from penstock.cli.client_options import json_option
from penstock.cli.groups import Group
from penstock.cli.renamed import renamed_option
from penstock.domain.names import check_cluster_id

if TYPE_CHECKING:
    from penstock.catalog import Catalog
    from penstock.settings import Settings


@click.group(cls=Group)
def clusters() -> None:
    """Create, list and drop clusters.

    A cluster has its own databases and belongs to an org (tenant). These commands work on the data dir (or the
    catalog) directly.
    """


@clusters.command()
@click.argument("cluster_id")
@org_option
@click.option("--name", default="", help="Display name; default: the id.")
@click.option("--region", default="local", show_default=True, help="The region in the host name of v1 calls.")
@renamed_option("--store", "--storage-url")
@click.option(
    "--storage-url",
    metavar="PLACE",
    help="Store of its collections, a folder or s3://bucket/prefix; default: the server's own store.",
)
@with_settings_and_catalog
def create(
    catalog: Catalog, settings: Settings, cluster_id: str, org: str, name: str, region: str, storage_url: str | None
) -> None:
    """Create the cluster CLUSTER_ID, such as in01-search, and its org if it is new.

    An object store is accessed with the endpoint and credentials of the server's own store, from the environment or
    --config. Every server and worker must reach it.
    """
    from penstock.server.engine_factory import check_store_of_cluster

    check_cluster_id(cluster_id)
    place = "" if storage_url is None else check_store_of_cluster(settings, storage_url)
    owner = catalog.orgs.ensure(org).id
    catalog.clusters.create(cluster_id, region, name, owner, place)
    record(catalog, "cluster.create", owner, cluster_id=cluster_id)
    click.echo(f"Created cluster {cluster_id} of org {org}" + (f", stored in {place}." if place else "."))


@clusters.command("list")
@json_option
@with_catalog
def list_clusters(catalog: Catalog, as_json: bool) -> None:
    """List the clusters of all orgs."""
    from penstock.cli.output import print_json, print_table

    all_clusters = catalog.clusters.list()
    if as_json:
        print_json(
            [
                {
                    "id": cluster.id,
                    "org": cluster.org_id,
                    "region": cluster.region,
                    "name": cluster.name,
                    "store": cluster.store or None,
                }
                for cluster in all_clusters
            ]
        )
        return
    orgs = org_names(catalog)
    rows = [
        (cluster.id, orgs[cluster.org_id], cluster.region, cluster.name, cluster.store or "the server's")
        for cluster in all_clusters
    ]
    print_table(["Id", "Org", "Region", "Name", "Store"], rows, none="No clusters.")


@clusters.command()
@click.argument("cluster_id")
@with_catalog
def drop(catalog: Catalog, cluster_id: str) -> None:
    """Drop a cluster without collections, and its finished jobs."""
    owner = catalog.clusters.get(cluster_id).org_id
    catalog.clusters.drop(cluster_id)
    record(catalog, "cluster.drop", owner, cluster_id=cluster_id)
    click.echo(f"Dropped cluster {cluster_id}.")
