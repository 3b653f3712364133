"""Clusters and databases in the catalog."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, exists, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from penstock.catalog.db import tables
from penstock.catalog.db.connection import CatalogDatabase, now_millis, upsert_insert
from penstock.domain.collections import Cluster, Database
from penstock.domain.ids import new_id
from penstock.domain.names import DEFAULT_DATABASE
from penstock.domain.store_location import overlap
from penstock.errors import (
    ClusterExists,
    ClusterNotEmpty,
    ClusterNotFound,
    DatabaseExists,
    DatabaseNotEmpty,
    DatabaseNotFound,
    InvalidParameter,
)

DEFAULT_ORG = "org-default"

# Built once, every call needs them: building such a statement takes longer than running it.
_CLUSTER = select(tables.cluster).where(tables.cluster.c.id == bindparam("id"))
_DATABASE = select(tables.database).where(
    tables.database.c.cluster_id == bindparam("cluster_id"), tables.database.c.name == bindparam("name")
)

_OF_CLUSTER = (
    *(tables.job, tables.job_counter, tables.job_day, tables.export),
    *(tables.account_grant, tables.webhook, tables.database),
)


class ClusterRepository:
    """Create, look up, list and drop clusters."""

    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def ensure(self, cluster_id: str, region: str) -> Cluster:
        """Return the cluster, created with a ``default`` database if it is missing; sets its region."""
        with self._database.write() as connection:
            row = connection.execute(select(tables.cluster).where(tables.cluster.c.id == cluster_id)).one_or_none()
            if row is None:
                _insert_cluster(connection, cluster_id, region)
            elif row.region != region:
                connection.execute(
                    tables.cluster.update().where(tables.cluster.c.id == cluster_id).values(region=region)
                )
        return self.get(cluster_id)

    def ids(self) -> Sequence[str]:
        with self._database.read() as connection:
            return list(connection.execute(select(tables.cluster.c.id).order_by(tables.cluster.c.id)).scalars())

    def get(self, cluster_id: str) -> Cluster:
        """Raises ClusterNotFound."""

        def read(connection: Connection) -> Cluster:
            row = connection.execute(_CLUSTER, {"id": cluster_id}).one_or_none()
            if row is None:
                raise ClusterNotFound(f"cluster {cluster_id} does not exist", cluster_id=cluster_id)
            return _cluster(row)

        return self._database.read_cached(("cluster", cluster_id), read)

    def of_org(self, org_id: str, cluster_id: str) -> Cluster:
        """Raises ClusterNotFound, also for a cluster of another org."""
        cluster = self.get(cluster_id)
        if cluster.org_id != org_id:
            raise ClusterNotFound(f"cluster {cluster_id} does not exist", cluster_id=cluster_id)
        return cluster

    def list(self, org_id: str | None = None) -> Sequence[Cluster]:
        """Clusters by id; of all orgs if ``org_id`` is None."""
        query = select(tables.cluster).order_by(tables.cluster.c.id)
        if org_id is not None:
            query = query.where(tables.cluster.c.org_id == org_id)
        with self._database.read() as connection:
            return [_cluster(row) for row in connection.execute(query).all()]

    def create(self, cluster_id: str, region: str, name: str, org_id: str, store: str = "") -> Cluster:
        """Create a cluster with a ``default`` database.

        ``store`` is normalized, see :func:`penstock.domain.store_location.normal_place`.

        Raises:
            ClusterExists.
            InvalidParameter: the store is that of another cluster, contains it or lies within it.
        """
        with self._database.write() as connection:
            # Lock: one creation at a time, so that no two get overlapping stores.
            connection.execute(select(tables.org.c.id).where(tables.org.c.id == DEFAULT_ORG).with_for_update())
            existing = connection.execute(_CLUSTER, {"id": cluster_id}).one_or_none()
            if existing is not None:
                raise ClusterExists(f"the cluster {cluster_id} already exists", cluster_id=cluster_id)
            _refuse_overlap(connection, store)
            _insert_cluster(connection, cluster_id, region, name, org_id, store)
        return self.get(cluster_id)

    def drop(self, cluster_id: str) -> None:
        """Delete a cluster without collections, with the history of its jobs and exports and the grants in it.

        Raises:
            ClusterNotFound.
            ClusterNotEmpty: it has collections, or files of dropped ones, of their jobs or exports.
        """
        with self._database.write() as connection:
            self._database.allow_long_statements(connection)
            lock = select(tables.cluster.c.id).where(tables.cluster.c.id == cluster_id).with_for_update()
            if connection.execute(lock).one_or_none() is None:
                raise ClusterNotFound(f"cluster {cluster_id} does not exist", cluster_id=cluster_id)
            _refuse_unless_empty(connection, cluster_id)
            jobs, exports, webhooks = (
                select(table.c.id).where(table.c.cluster_id == cluster_id)
                for table in (tables.job, tables.export, tables.webhook)
            )
            for table in tables.PARTS_OF_JOB:
                connection.execute(delete(table).where(table.c.job_id.in_(jobs)))
            connection.execute(delete(tables.export_part).where(tables.export_part.c.export_id.in_(exports)))
            delivery = tables.webhook_delivery
            connection.execute(delete(delivery).where(delivery.c.webhook_id.in_(webhooks)))
            for table in _OF_CLUSTER:
                connection.execute(delete(table).where(table.c.cluster_id == cluster_id))
            connection.execute(delete(tables.cluster).where(tables.cluster.c.id == cluster_id))


def _refuse_unless_empty(connection: Connection, cluster_id: str) -> None:
    collection, job = tables.collection.c, tables.job.c
    live, dropped = connection.execute(
        select(
            func.count().filter(collection.dropped_at.is_(None)),
            func.count().filter(collection.dropped_at.is_not(None)),
        ).where(collection.cluster_id == cluster_id)
    ).one()
    if live:
        raise ClusterNotEmpty(
            f"the cluster {cluster_id} has {live} collections. Drop them first", cluster_id=cluster_id
        )
    export = tables.export.c
    busy = connection.execute(
        select(
            exists().where(job.cluster_id == cluster_id, job.finished_at.is_(None) | job.has_staged_files)
            | exists().where(export.cluster_id == cluster_id, export.finished_at.is_(None) | export.has_files)
        )
    ).scalar_one()
    if dropped or busy:
        raise ClusterNotEmpty(
            f"the files of dropped collections of the cluster {cluster_id}, or of their jobs or exports, still "
            "exist. Try again in a minute, while a server runs: it removes them",
            cluster_id=cluster_id,
        )


def _refuse_overlap(connection: Connection, store: str) -> None:
    cluster = tables.cluster.c
    for row in connection.execute(select(cluster.id, cluster.store).where(cluster.store != "")) if store else ():
        if overlap(store, row.store):
            raise InvalidParameter(
                f"the store {store} and that of the cluster {row.id}, {row.store}, overlap. Give each "
                "cluster its own location",
                store=store,
                cluster_id=row.id,
            )


def _cluster(row: Row[Any]) -> Cluster:
    return Cluster(id=row.id, org_id=row.org_id, region=row.region, name=row.name, store=row.store)


def _insert_cluster(
    connection: Connection,
    cluster_id: str,
    region: str,
    name: str = "",
    org_id: str = DEFAULT_ORG,
    store: str = "",
) -> None:
    """Insert a cluster and its ``default`` database, unless they exist: servers may start concurrently."""
    now = now_millis()
    rows = (
        (tables.org, {"id": DEFAULT_ORG, "name": "default"}),
        (
            tables.cluster,
            {"id": cluster_id, "org_id": org_id, "region": region, "name": name or cluster_id, "store": store},
        ),
        (tables.database, {"id": new_id(), "cluster_id": cluster_id, "name": DEFAULT_DATABASE, "properties": {}}),
    )
    for table, values in rows:
        connection.execute(
            upsert_insert(connection.dialect.name, table).values(**values, created_at=now).on_conflict_do_nothing()
        )


class DatabaseRepository:
    """The databases of a cluster."""

    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def create(self, cluster_id: str, name: str, properties: Mapping[str, str]) -> Database:
        """Create a database. Raises DatabaseExists, ClusterNotFound."""
        values = {"id": new_id(), "cluster_id": cluster_id, "name": name, "properties": dict(properties)}
        try:
            with self._database.write() as connection:
                connection.execute(insert(tables.database).values(**values, created_at=now_millis()))
        except IntegrityError as error:
            ClusterRepository(self._database).get(cluster_id)
            raise DatabaseExists(f"database already exist: {name}", database=name) from error
        return self.get(cluster_id, name)

    def get(self, cluster_id: str, name: str) -> Database:
        """Raises DatabaseNotFound."""

        def read(connection: Connection) -> Database:
            row = connection.execute(_DATABASE, {"cluster_id": cluster_id, "name": name}).one_or_none()
            if row is None:
                raise DatabaseNotFound(f"database not found[database={name}]", database=name)
            return _database(row)

        return self._database.read_cached(("database", cluster_id, name), read)

    def list(self, cluster_id: str) -> Sequence[Database]:
        """Oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(tables.database)
                .where(tables.database.c.cluster_id == cluster_id)
                .order_by(tables.database.c.id)
            ).all()
        return [_database(row) for row in rows]

    def alter(self, cluster_id: str, name: str, change: Callable[[Mapping[str, str]], Mapping[str, str]]) -> Database:
        """Replace the properties by ``change(properties)``. Raises DatabaseNotFound."""
        database = self.get(cluster_id, name)
        column = tables.database.c
        with self._database.write() as connection:
            properties = connection.execute(
                select(column.properties).where(column.id == database.id).with_for_update()
            ).scalar_one_or_none()
            if properties is not None:
                connection.execute(
                    update(tables.database)
                    .where(column.id == database.id)
                    .values(properties=dict(change(properties)))
                )
        return self.get(cluster_id, name)

    def drop(self, cluster_id: str, name: str) -> None:
        """Delete a database. Raises DatabaseNotFound; DatabaseNotEmpty: it has collections."""
        database = self.get(cluster_id, name)
        with self._database.write() as connection:
            # The concurrent creation of a collection in it waits, then fails for the missing database.
            connection.execute(
                select(tables.database.c.id).where(tables.database.c.id == database.id).with_for_update()
            )
            collections = connection.execute(
                select(func.count())
                .select_from(tables.collection)
                .where(tables.collection.c.database_id == database.id, tables.collection.c.dropped_at.is_(None))
            ).scalar_one()
            if collections:
                raise DatabaseNotEmpty(
                    f"database:{name} not empty, must drop all collections before drop database",
                    database=name,
                    collections=collections,
                )
            # A dropped collection keeps its row until its files are gone; it is hidden, so any database can have it.
            default = select(tables.database.c.id).where(
                tables.database.c.cluster_id == cluster_id, tables.database.c.name == DEFAULT_DATABASE
            )
            connection.execute(
                update(tables.collection)
                .where(tables.collection.c.database_id == database.id)
                .values(database_id=default.scalar_subquery())
            )
            connection.execute(delete(tables.database).where(tables.database.c.id == database.id))


def _database(row: Row[tuple[object, ...]]) -> Database:
    return Database(id=row.id, cluster_id=row.cluster_id, name=row.name, properties=row.properties)
