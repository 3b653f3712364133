"""Admission of a call: authentication, its cluster, authorization, and the audit log. Knows no wire protocol.

Every dialect runs its calls within :meth:`Admission.call`. Where the whole request is decoded before, as in gRPC::

    with admission.call("partition.create", authorization=credentials, address=peer) as call:
        call.names = CallNames(collection="docs", subjects=["p1"])
        cluster = call.enter(cluster_id=None)
        call.authorize(Role.WRITER, database="default")
        ...  # the use case; its errors are recorded too

A dialect that must not decode a body before its caller is known decodes it within the context, and fills in the
names then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from penstock.access.audit import Audit
from penstock.access.authentication import Authentication
from penstock.domain.access import Caller, Role
from penstock.domain.audit import AuditEntry, entry_of, plain
from penstock.domain.collections import Cluster
from penstock.errors import AccessDenied, ClusterNotFound, PenstockError

_READS = re.compile(
    r"(list|describe|events|errors|deliveries|infer|has|get|query|search|hybrid_search|advanced_search|run_analyzer)(_|[A-Z]|\Z)"
)
_MAX_NAME_LENGTH = 256
"""Longer names, which are no valid ones, are cut in the audit log."""


class Clusters(Protocol):
    """The clusters of the catalog."""

    def get(self, cluster_id: str) -> Cluster:
        """Raises ClusterNotFound."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CallNames:
    """The objects that a call names, as sent, for the audit log: they need be neither valid nor there.

    ``job_id`` is within 64 bits; ``subjects`` are further objects: partitions, indexes, users, roles.
    """

    cluster_id: str | None = None
    database: str | None = None
    collection: str | None = None
    job_id: int | None = None
    subjects: Sequence[str] = ()


class AdmittedCall:
    """A call whose caller is authenticated. ``names`` are its objects, filled in as the request is decoded."""

    def __init__(self, action: str, caller: Caller, clusters: Clusters, own_cluster_id: str) -> None:
        self.action = action
        self.caller = caller
        self.names = CallNames()
        self._clusters = clusters
        self._own_cluster_id = own_cluster_id
        self._cluster: Cluster | None = None

    @property
    def cluster(self) -> Cluster:
        """The cluster of the call, after :meth:`enter`."""
        assert self._cluster is not None, "enter() comes first"
        return self._cluster

    @property
    def is_change(self) -> bool:
        """Whether the action changes something; its last word says so: ``collection.get_stats`` reads."""
        return not _READS.match(self.action.rpartition(".")[2])

    def enter(self, cluster_id: str | None) -> Cluster:
        """Resolve the call's cluster: the named one, else the only one of the caller's grants, else the server's own.

        Raises:
            ClusterNotFound: there is none, or it is of another org, which is not revealed.
        """
        cluster_id = cluster_id or self.caller.home(self._own_cluster_id)
        cluster = self._clusters.get(cluster_id)
        if not self.caller.same_org(cluster):
            raise ClusterNotFound(f"cluster {cluster_id} does not exist", cluster_id=cluster_id)
        self._cluster = cluster
        self.names = replace(self.names, cluster_id=cluster.id)
        return cluster

    def authorize(self, role: Role | None, database: str | None) -> None:
        """Require a role in a database of the entered cluster, or with None in the whole cluster.

        ``role`` None requires nothing: the use case authorizes the caller by itself.

        Raises:
            PermissionDenied: the caller lacks the role.
        """
        if database is not None:
            self.names = replace(self.names, database=database)
        if role is not None:
            self.caller.require(role, self.cluster, database)

    def audit_entry(self) -> AuditEntry:
        """The entry of the call's success."""
        names = self.names
        return replace(
            entry_of(self.caller, self.action),
            cluster_id=_shown(names.cluster_id),
            database=_shown(names.database),
            collection=_shown(names.collection),
            job_id=names.job_id,
            subject=" ".join(filter(None, map(_shown, names.subjects))) or None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Admit calls of all dialects. ``cluster_id`` is the server's own cluster."""

    authentication: Authentication
    clusters: Clusters
    audit: Audit
    cluster_id: str

    @contextmanager
    def call(
        self, action: str, *, authorization: str, address: str, stores_entry: bool = False
    ) -> Iterator[AdmittedCall]:
        """Authenticate a call, and write what comes of the work in this context to the audit log.

        Recorded are all outcomes of changes, and refusals of reads: an error of the context is re-raised.

        Args:
            action: ``noun.verb``, such as ``collection.drop``.
            authorization: the ``Authorization`` header, or what stands for it.
            address: the client's network address.
            stores_entry: the use case writes the audit entry of its success itself, in its own transaction.

        Raises:
            Unauthenticated, TooManyAttempts: before the context begins.
        """
        caller = self.authentication.identify(authorization, address)
        call = AdmittedCall(action, caller, self.clusters, self.cluster_id)
        try:
            yield call
        except Exception as error:
            if call.is_change or _is_refusal(error, caller):
                code, reason = "internal", None
                if isinstance(error, PenstockError):
                    code, reason = error.code, plain(str(error))
                self.audit.refused(replace(call.audit_entry(), outcome=code, reason=reason))
            raise
        if call.is_change and not stores_entry:
            self.audit.done(call.audit_entry())


def _is_refusal(error: Exception, caller: Caller) -> bool:
    """Whether the call was denied, also where the error hides that the object exists."""
    if isinstance(error, AccessDenied):
        return True
    hidden = isinstance(error, PenstockError) and bool(error.details.get("hidden"))
    return hidden or (isinstance(error, ClusterNotFound) and not caller.is_anybody)


def _shown(name: str | None) -> str | None:
    return name[:_MAX_NAME_LENGTH] if name else None
